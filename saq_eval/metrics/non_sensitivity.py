"""Non-sensitivity: whether the pixels without relevance are the pixels without effect on the logit."""

from __future__ import annotations

import numpy as np
import torch

from saq_eval.core.specs import Share
from saq_eval.data.fills import Fill
from saq_eval.metrics.base import Task, register_metric
from saq_eval.metrics.hiding import MaskedNetwork
from saq_eval.metrics.maps import is_degenerate, read


@register_metric(
    "NonSensitivity",
    category="axiomatic",
    range=(0.0, 1.0),
    reference="Nguyen and Rodríguez Martínez 2020, arXiv 2007.07584",
    higher_is_better=False,
)
def non_sensitivity(task: Task, *, eps: Share = 0.01, fill: Fill = "black") -> np.ndarray:
    """Share of the pixels that are relevant, or that change the logit when hidden, but not both.

    A pixel is relevant above `eps` times the map's largest magnitude. It changes the logit above `eps` times the image's
    largest change. So the score depends neither on the logits' scale nor on the map's. A hundredth is far above the
    rounding of logits in single precision. The metric needs one pass per pixel, 784 on 28x28.
    """
    scores = np.full(len(task.maps), np.nan)
    for position in np.flatnonzero(~is_degenerate(task.maps)):
        changes = _changes(task, position, fill)
        relevance = read("magnitudes", task.maps[position][None]).reshape(-1)
        scores[position] = ((relevance > eps) != (changes > eps * changes.max())).mean()
    return scores


def _changes(task: Task, position: int, fill: Fill) -> np.ndarray:
    """Return the absolute changes of an image's logit when each pixel is hidden alone, float64 (h · w,)."""
    image = task.images[position]
    height, width = image.shape[1:]
    shown = torch.cat([torch.ones(1, height * width), 1 - torch.eye(height * width)]).reshape(-1, 1, height, width)
    network = MaskedNetwork(task.network, image[None], fill, task.device)
    with torch.no_grad():
        logits = [network(part)[:, task.targets[position]].cpu() for part in shown.split(task.batch_size)]
    whole, hidden = torch.cat(logits).double().split([1, height * width])
    return (hidden - whole).abs().numpy()
