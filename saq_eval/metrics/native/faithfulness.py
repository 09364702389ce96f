"""Faithfulness: how the output changes when the pixels that the map calls relevant are hidden."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from saq_eval.attribution.superpixels import superpixels
from saq_eval.core.randomness import derived_seed
from saq_eval.data.fills import Fill
from saq_eval.metrics.base import Task, once_per_task
from saq_eval.metrics.maps import Reading, is_degenerate, read
from saq_eval.metrics.native.hidden import (
    in_both_orders,
    outputs,
    parts,
    patch_drops,
    patches,
    pearson,
    places,
    score_parts,
)
from saq_eval.networks.hidden import Reads


def faithfulness_correlation(task: Task, *, nr_runs: int, subset_size: int, fill: Fill) -> np.ndarray:
    """Score as `FaithfulnessCorrelation`: float64 (n,). The logits are computed once for all methods."""
    size = task.images[0, 0].size
    subsets = _subsets(task.seed, tuple(task.indices.tolist()), size, nr_runs, subset_size)

    def drops() -> np.ndarray:
        every = np.empty((len(task.images), nr_runs))
        for positions in parts(task, np.arange(len(every)), nr_runs + 1):
            hidden = torch.zeros(len(positions), nr_runs + 1, size, dtype=torch.bool, device=task.device)
            hidden[:, 1:].scatter_(2, torch.from_numpy(subsets[positions]).to(task.device, torch.int64), True)
            logits = outputs(task, positions, hidden, fill, "logits")
            every[positions] = (logits[:, :1] - logits[:, 1:]).cpu().numpy()
        return every

    changes = task.shared(f"FaithfulnessCorrelation {nr_runs} {subset_size} {fill}", drops)
    relevance, _ = _relevance(task, "signed maps")
    sums = np.stack([row[subset].sum(axis=1) for row, subset in zip(relevance, subsets, strict=True)])
    return pearson(torch.from_numpy(sums), torch.from_numpy(np.array(changes))).numpy()


@lru_cache(maxsize=4)
def _subsets(seed: int, indices: tuple[int, ...], pixels: int, runs: int, size: int) -> np.ndarray:
    """Draw the pixels that are hidden in each run, for each image from its own generator: int32 (n, runs, size)."""
    drawn = np.empty((len(indices), runs, size), dtype=np.int32)
    for row, index in zip(drawn, indices, strict=True):
        draws = np.random.RandomState(derived_seed(seed, "FaithfulnessCorrelation", index))
        row[:] = [draws.choice(pixels, size, replace=False) for _ in range(runs)]
    return drawn


def faithfulness_estimate(task: Task, *, features_in_step: int, fill: Fill) -> np.ndarray:
    """Score as `FaithfulnessEstimate`: float64 (n,)."""
    relevance, usable = _relevance(task, "signed maps")
    groups = relevance.shape[1] // features_in_step

    def score(positions: np.ndarray) -> Tensor:
        values = torch.from_numpy(relevance[positions]).to(task.device)
        group = in_both_orders(values) // features_in_step
        logits = _one_group_hidden(task, positions, group, groups, fill, "logits")
        sums = values.new_zeros(*group.shape[:2], groups).scatter_add_(2, group, values[:, None].expand(group.shape))
        return pearson(logits[:, :, :1] - logits[:, :, 1:], sums).mean(dim=1)

    return score_parts(task, usable, 2 * groups + 2, None, score)


def monotonicity_correlation(task: Task, *, features_in_step: int, fill: Fill) -> np.ndarray:
    """Score as `MonotonicityCorrelation`: float64 (n,)."""
    relevance, usable = _relevance(task, "magnitudes")
    groups = relevance.shape[1] // features_in_step

    def score(positions: np.ndarray) -> Tensor:
        values = torch.from_numpy(relevance[positions]).to(task.device)
        group = in_both_orders(values, rising=True) // features_in_step
        probabilities = _one_group_hidden(task, positions, group, groups, fill, "probabilities")
        sums = values.new_zeros(*group.shape[:2], groups).scatter_add_(2, group, values[:, None].expand(group.shape))
        changes = (probabilities[:, :, 1:] - probabilities[:, :, :1]).square()
        return pearson(_ranks(sums), _ranks(changes)).mean(dim=1)

    return score_parts(task, usable, 2 * groups + 2, None, score)


def _ranks(values: Tensor) -> Tensor:
    """Return the ranks along the last axis; tied values share their mean rank."""
    below = (values[..., None, :] < values[..., :, None]).sum(dim=-1)
    equal = (values[..., None, :] == values[..., :, None]).sum(dim=-1)
    return below + (equal + 1) / 2.0


def _one_group_hidden(
    task: Task, positions: np.ndarray, group: Tensor, groups: int, fill: Fill, reads: Reads
) -> Tensor:
    """Return outputs with nothing hidden, and with each group of pixels hidden alone: float64 (k, 2, 1 + groups).

    Args:
        group: int64 (k, 2, pixels), each pixel's group, in both orders.
    """
    numbers = torch.arange(-1, groups, device=group.device)  # no pixel is in group −1
    return _both(task, positions, group[:, :, None] == numbers[:, None], fill, reads)


def _both(task: Task, positions: np.ndarray, hidden: Tensor, fill: Fill, reads: Reads) -> Tensor:
    """Return the outputs of pictures in both orders: bool (k, 2, m, pixels) -> float64 (k, 2, m)."""
    return outputs(task, positions, hidden.flatten(1, 2), fill, reads).reshape(hidden.shape[:3])


def pixel_flipping(task: Task, *, features_in_step: int, fill: Fill) -> np.ndarray:
    """Return the curves of `PixelFlipping`: float64 (n, steps)."""
    return _flipped(task, features_in_step, fill)


def symmetric_relevance_gain(task: Task, *, features_in_step: int, fill: Fill) -> np.ndarray:
    """Return the curves of `SymmetricRelevanceGain`: float64 (n, steps)."""
    return _flipped(task, features_in_step, fill, least_first=True) - _flipped(task, features_in_step, fill)


def flipping_passes(size: int, fill: Fill, pixels: int, *, least_first: bool = False) -> dict[str, int]:
    """Return the passes of one curve of hiding `size` pixels at a time, by its name; see `MetricPasses`."""
    return {f"{'least' if least_first else 'most'} relevant pixels first, {size} at once, {fill}": pixels // size}


def _flipped(task: Task, size: int, fill: Fill, *, least_first: bool = False) -> np.ndarray:
    """Return the target's probability after each step of hiding pixels, float64 (n, steps)."""

    def curves() -> np.ndarray:
        relevance, usable = _relevance(task, "signed maps")
        pixels = relevance.shape[1]
        steps = pixels // size

        def score(positions: np.ndarray) -> Tensor:
            place = in_both_orders(torch.from_numpy(relevance[positions]).to(task.device))
            step = (pixels - 1 - place if least_first else place) // size
            hidden = step[:, :, None] <= torch.arange(steps, device=step.device)[:, None]
            return _both(task, positions, hidden, fill, "probabilities").mean(dim=1)

        return score_parts(task, usable, 2 * steps, steps, score)

    return once_per_task(task, ("flipped", size, fill, least_first), curves)


def monotonicity(task: Task, *, features_in_step: int, fill: Fill) -> np.ndarray:
    """Score as `Monotonicity`: float64 (n,)."""
    relevance, usable = _relevance(task, "magnitudes")
    steps = relevance.shape[1] // features_in_step

    def score(positions: np.ndarray) -> Tensor:
        group = in_both_orders(torch.from_numpy(relevance[positions]).to(task.device), rising=True) // features_in_step
        hidden = group[:, :, None] > torch.arange(steps, device=group.device)[:, None]
        shown = _both(task, positions, hidden, fill, "probabilities")
        return (shown.diff(dim=2) >= 0).all(dim=2).double().mean(dim=1)

    return score_parts(task, usable, 2 * steps, None, score)


def region_perturbation(task: Task, *, patch_size: int, fill: Fill) -> np.ndarray:
    """Return the curves of `RegionPerturbation`: float64 (n, patches)."""
    curves = _patches_flipped(task, patch_size, fill)
    return curves[:, :1] - curves[:, 1:]


def selectivity(task: Task, *, patch_size: int, fill: Fill) -> np.ndarray:
    """Return the curves of `Selectivity`: float64 (n, patches)."""
    return _patches_flipped(task, patch_size, fill)[:, 1:]


def _patches_flipped(task: Task, side: int, fill: Fill) -> np.ndarray:
    """Return the target's probability before and after each step of hiding patches, most relevant first: (n, 1 + patches)."""

    def curves() -> np.ndarray:
        relevance, usable = _relevance(task, "signed maps")
        patch = torch.from_numpy(patches(task.maps.shape[1], task.maps.shape[2], side).ravel()).to(task.device)
        count = int(patch.max()) + 1

        def score(positions: np.ndarray) -> Tensor:
            values = torch.from_numpy(relevance[positions]).to(task.device)
            sums = values.new_zeros(len(values), count).index_add_(1, patch, values)
            place = in_both_orders(sums)[:, :, patch]
            hidden = place[:, :, None] < torch.arange(count + 1, device=place.device)[:, None]
            return _both(task, positions, hidden, fill, "probabilities").mean(dim=1)

        return score_parts(task, usable, 2 * count + 2, count + 1, score)

    return once_per_task(task, ("patches flipped", side, fill), curves)


def infidelity(task: Task, *, patch_size: int, fill: Fill) -> np.ndarray:
    """Score as `Infidelity`: float64 (n,). The logits are computed once for all methods."""
    patch = patches(task.maps.shape[1], task.maps.shape[2], patch_size).ravel()
    changes = patch_drops(task, patch_size, fill)
    relevance, usable = _relevance(task, "signed maps")
    sums = np.stack([np.bincount(patch, weights=row, minlength=changes.shape[1]) for row in relevance])
    with np.errstate(invalid="ignore", divide="ignore"):
        explained = (changes * sums).sum(axis=1) ** 2 / ((changes**2).sum(axis=1) * (sums**2).sum(axis=1))
    return np.where(usable, np.maximum(1 - explained, 0), np.nan)  # rounding may give a value just below 0


def irof(task: Task, *, segments: int, fill: Fill) -> np.ndarray:
    """Score as `IROF`: float64 (n,). The segments are computed once for all methods."""
    relevance, usable = _relevance(task, "signed maps")
    segment = _segments(task, segments)

    def score(positions: np.ndarray) -> Tensor:
        number = torch.from_numpy(segment[positions]).to(task.device, torch.int64)
        values = torch.from_numpy(relevance[positions]).to(task.device)[:, None].expand(number.shape)
        most = int(number.max()) + 1
        sums, pixels = (
            values.new_zeros(*number.shape[:2], most).scatter_add_(2, number, summed)
            for summed in (values, torch.ones_like(values))
        )
        # The numbers that an image does not have come last.
        means = torch.where(pixels > 0, sums / pixels, -torch.inf)
        place = places(-means).gather(2, number)
        hidden = place[:, :, None] < torch.arange(most + 1, device=place.device)[:, None]
        probabilities = _both(task, positions, hidden, fill, "probabilities")
        curves = probabilities[:, :, 1:] / probabilities[:, :, :1]
        last = (pixels > 0).sum(dim=2, keepdim=True) - 1
        within = torch.arange(most, device=place.device) <= last
        ends = (curves[:, :, :1] + curves.gather(2, last))[:, :, 0] / 2
        return (1 - ((curves * within).sum(dim=2) - ends) / last[:, :, 0]).mean(dim=1)

    return score_parts(task, usable, 2 * int(segment.max()) + 4, None, score)


def _segments(task: Task, count: int) -> np.ndarray:
    """Return the superpixel of each pixel, in the image and in the image turned by 180°: int32 (n, 2, pixels).

    An image's superpixels are numbered from 0, without gaps. Those of the turned image lie where they are in the image.
    """

    def both() -> np.ndarray:
        turned = task.images[..., ::-1, ::-1].copy()
        masks = [superpixels(torch.from_numpy(images), count).flatten(1).numpy() for images in (task.images, turned)]
        numbers = [[np.unique(mask, return_inverse=True)[1] for mask in of_images] for of_images in masks]
        return np.stack([numbers[0], np.flip(numbers[1], axis=1)], axis=1).astype(np.int32)

    return task.shared(f"superpixels in both orders {count}", both)


def _relevance(task: Task, reading: Reading) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps as read, float64 (n, pixels), and which of them have a score, bool (n,)."""
    maps = read(reading, task.maps)
    return maps.reshape(len(maps), -1), ~is_degenerate(task.maps) & ~is_degenerate(maps)
