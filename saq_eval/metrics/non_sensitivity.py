"""Non-sensitivity: whether the pixels without relevance are the pixels without effect on the logit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.specs import Pixels, Share
from saq_eval.data.fills import Fill
from saq_eval.metrics.base import Shape, Task, register_metric
from saq_eval.metrics.hiding import MaskedNetwork
from saq_eval.metrics.maps import is_degenerate, read


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
    scores = np.full(len(task.maps), np.nan)
    side = _sides({"patch_size": patch_size}, task.images.shape[1:])["patch_size"]
    patches = _patches(task.maps.shape[1], task.maps.shape[2], side)
    pixels = np.bincount(patches.ravel())
    for position in np.flatnonzero(~is_degenerate(task.maps)):
        changes = _changes(task, position, patches, fill)
        magnitudes = read("magnitudes", task.maps[position][None]).reshape(-1)
        relevance = np.bincount(patches.ravel(), weights=magnitudes) / pixels
        relevance /= relevance.max()
        differ = (relevance > eps) != (changes > eps * changes.max())
        scores[position] = (differ * pixels).sum() / pixels.sum()
    return scores


def _patches(height: int, width: int, side: int) -> np.ndarray:
    """Return the patch of each pixel, numbered by rows from 0: int64 (h, w)."""
    across = -(-width // side)
    return np.arange(height)[:, None] // side * across + np.arange(width)[None] // side


def _changes(task: Task, position: int, patches: np.ndarray, fill: Fill) -> np.ndarray:
    """Return the absolute changes of an image's logit when each patch is hidden alone, float64 (patches,)."""
    network = MaskedNetwork(task.network, task.images[position][None], fill, task.device)
    where = torch.from_numpy(patches)[None, None]
    logits = []
    # Number −1 is no patch, so nothing is hidden first.
    for some in torch.arange(-1, int(patches.max()) + 1).split(task.batch_size):
        shown = (where != some[:, None, None, None]).float()
        with torch.no_grad():
            logits.append(network(shown)[:, task.targets[position]].cpu())
    every = torch.cat(logits).double()
    return (every[1:] - every[:1]).abs().numpy()
