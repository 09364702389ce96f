"""Why a metric cannot score maps of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from saq_eval.core.errors import Unsupported
from saq_eval.metrics.base import Scorer
from saq_eval.networks.modules import as_module


def refusal(scorer: Scorer, network: nn.Module | Callable[..., Any]) -> str | None:
    """Return why a metric cannot score maps of a network, as text for a table; `None` if it can.

    This looks at the network's layers and weights, and passes no image. Whether a method can explain the network is
    another question, `saq_eval.attribution.refusal`; a metric that needs "explanations" asks for further maps of it.

    Args:
        network: a module or a function; see `saq_eval.networks.modules.as_module`. It is not changed.

    Returns:
        `Unsupported.reason`, such as "no weights to randomise".
    """
    try:
        scorer.metric.check(as_module(network))
    except Unsupported as error:
        return error.reason
    return None
