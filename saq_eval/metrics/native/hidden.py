"""The outputs of a network for images with some of their pixels hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from saq_eval.data.fills import Fill, fill_images
from saq_eval.metrics.base import Task
from saq_eval.networks.hidden import Reads, masks_at_once, outputs_with_hidden


def parts(task: Task, positions: np.ndarray, pictures: int) -> Iterator[np.ndarray]:
    """Yield positions of images in parts, so that the masks of `pictures` pictures of each image fit into memory."""
    size = masks_at_once(pictures * task.images[0, 0].size, max(task.batch_size, 1))
    for start in range(0, len(positions), size):
        yield positions[start : start + size]


def outputs(task: Task, positions: np.ndarray, hidden: Tensor, fill: Fill, reads: Reads) -> Tensor:
    """Return the target's logit or probability for pictures of images in which the fill replaces some pixels.

    Whole pixels are hidden, with all their channels. Pictures of an image that are equal are passed once.

    Args:
        positions: int (k,), the images' positions in the task.
        hidden: bool (k, m, h · w), on the task's device: the pixels that are hidden in each of m pictures of an image.

    Returns:
        float64 (k, m), on the task's device.
    """
    images = torch.from_numpy(task.images[positions])
    filled = fill_images(images, fill).to(task.device)
    targets = torch.from_numpy(task.targets[positions]).to(task.device)
    return outputs_with_hidden(
        task.logits, images.to(task.device), filled, targets, hidden, batch_size=task.batch_size, reads=reads
    )


def in_both_orders(relevance: Tensor, *, rising: bool = False) -> Tensor:
    """Return each pixel's place when pixels are sorted by relevance, in two opposite orders of the tied pixels.

    Args:
        relevance: (k, pixels).
        rising: whether the least relevant pixel comes first.

    Returns:
        int64 (k, 2, pixels): ties are first broken by position, then by position from the end.
    """
    both = torch.stack([relevance, relevance.flip(1)], dim=1)
    sorted_places = places(both if rising else -both)
    return torch.stack([sorted_places[:, 0], sorted_places[:, 1].flip(1)], dim=1)


def places(values: Tensor) -> Tensor:
    """Return each value's place when values are sorted along the last axis, the lowest first; ties by position: int64."""
    order = torch.argsort(values, dim=-1, stable=True)
    numbers = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, numbers)


def patches(height: int, width: int, side: int) -> np.ndarray:
    """Return the square patch of each pixel, numbered by rows from 0: int64 (h, w); those at the border may be smaller."""
    across = -(-width // side)
    return np.arange(height)[:, None] // side * across + np.arange(width)[None] // side


def patch_passes(shape: tuple[int, int, int], side: int, fill: Fill) -> dict[str, int]:
    """Return the passes of `patch_drops` for an image of shape (c, h, w), by its name; see `MetricPasses`."""
    count = int(patches(*shape[1:], side).max()) + 1
    parts_of_them = -(-count // masks_at_once(shape[1] * shape[2], count))  # the image itself is passed with each
    return {_alone(side, fill): count + parts_of_them}


def _alone(side: int, fill: Fill) -> str:
    return f"patches hidden alone {side} {fill}"


def patch_drops(task: Task, side: int, fill: Fill) -> np.ndarray:
    """Return the drops of the target's logit when each patch is hidden alone, once for all methods: float64 (n, patches)."""
    patch = torch.from_numpy(patches(task.images.shape[2], task.images.shape[3], side).ravel()).to(task.device)
    count = int(patch.max()) + 1
    size = masks_at_once(len(patch), count)

    def drops() -> np.ndarray:
        every = np.empty((len(task.images), count))
        for positions in parts(task, np.arange(len(every)), size + 1):
            for start in range(0, count, size):
                numbers = torch.arange(start - 1, min(start + size, count), device=patch.device)
                numbers[0] = -1  # no patch, so nothing is hidden
                masks = (patch == numbers[:, None]).expand(len(positions), len(numbers), len(patch))
                logits = outputs(task, positions, masks, fill, "logits")
                every[positions, start : start + size] = (logits[:, :1] - logits[:, 1:]).cpu().numpy()
        return every

    return task.shared(_alone(side, fill), drops)


def pearson(a: Tensor, b: Tensor) -> Tensor:
    """Return the linear correlation along the last axis; NaN where either is constant."""
    constant = _is_constant(a) | _is_constant(b)
    a, b = (values - values.mean(dim=-1, keepdim=True) for values in (a, b))
    correlation = (a * b).sum(dim=-1) / (a.square().sum(dim=-1) * b.square().sum(dim=-1)).sqrt()
    return correlation.clamp(-1, 1).masked_fill(constant, torch.nan)


def _is_constant(values: Tensor) -> Tensor:
    return (values == values[..., :1]).all(dim=-1)


def score_parts(
    task: Task, usable: np.ndarray, pictures: int, steps: int | None, score: Callable[[np.ndarray], Tensor]
) -> np.ndarray:
    """Return the scores of all images, computed a part at a time; NaN for images that are not usable.

    Args:
        usable: bool (n,).
        pictures: the number of pictures of an image that `score` passes.
        steps: the length of curves; `None` for single scores.
        score: positions (k,) -> (k,) or (k, steps).
    """
    scores = np.full(len(usable) if steps is None else (len(usable), steps), np.nan)
    for positions in parts(task, np.flatnonzero(usable), pictures):
        scores[positions] = score(positions).cpu().numpy()
    return scores
