"""Non-sensitivity: whether the pixels without relevance are the pixels without effect on the logit."""

from __future__ import annotations

from typing import Any

import numpy as np

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.specs import Pixels, Share
from saq_eval.data.fills import Fill
from saq_eval.metrics.base import Shape, Task, register_metric
from saq_eval.metrics.maps import read
from saq_eval.metrics.native.hidden import patch_drops, patch_passes, patches
from saq_eval.metrics.passes import MetricPasses


def _sides(parameters: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Return the parameters for images of a shape: about 28 patches along the shorter side, a pixel at least."""
    side = parameters["patch_size"] or max(1, min(shape[1:]) // 28)
    if side > min(shape[1:]):
        raise SaqEvalError(f"NonSensitivity: patch_size={side} does not fit into an image of {shape[1]}x{shape[2]}")
    return parameters | {"patch_size": side}


@register_metric(
    "NonSensitivity",
    category="axiomatic",
    range=(0.0, 1.0),
    reference="Nguyen and Rodríguez Martínez 2020, arXiv 2007.07584",
    higher_is_better=False,
    passes=lambda settings, shape: MetricPasses(shared=patch_passes(shape, settings["patch_size"], settings["fill"])),
    resolve=_sides,
)
def non_sensitivity(
    task: Task, *, eps: Share = 0.01, patch_size: Pixels | None = None, fill: Fill = "black"
) -> np.ndarray:
    """Share of the pixels that are relevant, or that change the logit when hidden, but not both.

    A pixel is relevant above `eps` times the map's largest magnitude. It changes the logit above `eps` times the image's
    largest change. So the score depends neither on the logits' scale nor on the map's. A hundredth is far above the
    rounding of logits in single precision. The metric needs one pass per pixel, 784 on 28x28.

    In larger images, patches of `patch_size` x `patch_size` pixels take the place of pixels: 8x8 at 224x224, so that there
    are 784 passes too. A patch's relevance is the mean magnitude of its pixels. Patches at the right and lower border may be
    smaller.
    """
    side = _sides({"patch_size": patch_size}, task.images.shape[1:])["patch_size"]
    patch = patches(task.maps.shape[1], task.maps.shape[2], side).ravel()
    pixels = np.bincount(patch)
    changes = np.abs(patch_drops(task, side, fill))
    magnitudes = read("magnitudes", task.maps).reshape(len(task.maps), -1)
    relevance = np.stack([np.bincount(patch, weights=row) for row in magnitudes]) / pixels
    differ = _large(relevance, eps) != _large(changes, eps)
    return (differ * pixels).sum(axis=1) / pixels.sum()


def _large(values: np.ndarray, share: float) -> np.ndarray:
    """Tell which values are above a share of their row's largest value: (n, m) -> bool (n, m)."""
    return values > share * values.max(axis=1, keepdims=True)
