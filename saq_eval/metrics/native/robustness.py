"""Robustness: how much the map changes with the image.

All changed copies of an image are explained in one call of the method. What a metric needs of a copy are a few sums, so the
copies and their maps are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from saq_eval.core.randomness import derived_seed
from saq_eval.metrics.base import Task, once_per_task
from saq_eval.metrics.maps import is_degenerate, read
from saq_eval.networks.memory import at_once

# The metrics under uniform noise see the same noise: its draws have this name, not the metric's.
UNIFORM_NOISE = "uniform noise"
Noise = Callable[[np.random.RandomState, tuple[int, ...]], np.ndarray]

# A copy of an image in single and double precision, the method's own copies, and differences and quotients of maps.
_BYTES_PER_VALUE = 64


@dataclass(frozen=True)
class _Changes:
    """How much the values of maps or of images change: sums over an image's values, each float64 (n, copies).

    Attributes:
        squares: of the squared changes.
        relative: of the squared changes of values other than 0, each change divided by its value.
        from_zero: of the squared changes of values that are 0.
    """

    squares: np.ndarray
    relative: np.ndarray
    from_zero: np.ndarray

    @classmethod
    def unknown(cls, images: int, copies: int) -> _Changes:
        """Return NaN for all copies of all images, to be replaced in parts."""
        return cls(*(np.full((images, copies), np.nan) for _ in range(3)))

    def put(self, positions: np.ndarray, values: np.ndarray, changed: np.ndarray) -> None:
        """Measure the changes for some images.

        Args:
            positions: int (k,), the images' positions.
            values: float (k, values).
            changed: float (k, copies, values).
        """
        values = values.astype(np.float64)[:, None]
        change = changed - values
        zero = values == 0
        squares = change**2
        self.squares[positions] = squares.sum(axis=2)
        self.from_zero[positions] = (squares * zero).sum(axis=2)
        change /= np.where(zero, np.inf, values)
        self.relative[positions] = (change**2).sum(axis=2)

    def distances(self) -> np.ndarray:
        """Return the Euclidean changes, float64 (n, copies)."""
        return np.sqrt(self.squares)

    def relative_distances(self, smallest: float) -> np.ndarray:
        """Return the Euclidean norms of the values' relative changes, with `smallest` in place of values that are 0."""
        return np.sqrt(self.relative + self.from_zero / smallest**2)


def max_sensitivity(task: Task, *, nr_samples: int, lower_bound: float) -> np.ndarray:
    """Score as `MaxSensitivity`: float64 (n,)."""
    return _sensitivities(task, nr_samples, lower_bound).max(axis=1)


def avg_sensitivity(task: Task, *, nr_samples: int, lower_bound: float) -> np.ndarray:
    """Score as `AvgSensitivity`: float64 (n,)."""
    return _sensitivities(task, nr_samples, lower_bound).mean(axis=1)


def _sensitivities(task: Task, samples: int, bound: float) -> np.ndarray:
    of_maps, _ = _under_uniform_noise(task, samples, bound)
    maps, usable = _read(task)
    lengths = np.linalg.norm(maps.reshape(len(maps), -1), axis=1)
    return of_maps.distances() / np.where(usable, lengths, 1)[:, None]


def relative_input_stability(task: Task, *, nr_samples: int, lower_bound: float, eps_min: float) -> np.ndarray:
    """Score as `RelativeInputStability`: float64 (n,)."""
    of_maps, of_images = _under_uniform_noise(task, nr_samples, lower_bound)
    return _largest_ratios(of_maps.relative_distances(eps_min), of_images.relative_distances(eps_min), eps_min)


def relative_output_stability(task: Task, *, nr_samples: int, lower_bound: float, eps_min: float) -> np.ndarray:
    """Score as `RelativeOutputStability`: float64 (n,). The logits are computed once for all methods."""
    of_maps, _ = _under_uniform_noise(task, nr_samples, lower_bound)
    of_logits = task.shared(
        f"logits under uniform noise {nr_samples} {lower_bound}",
        lambda: _logit_distances(task, nr_samples, _uniform(lower_bound)),
    )
    return _largest_ratios(of_maps.relative_distances(eps_min), of_logits, eps_min)


def _largest_ratios(of_maps: np.ndarray, of_others: np.ndarray, smallest: float) -> np.ndarray:
    return (of_maps / np.where(of_others == 0, smallest, of_others)).max(axis=1)


def local_lipschitz_estimate(task: Task, *, nr_samples: int, perturb_std: float) -> np.ndarray:
    """Score as `LocalLipschitzEstimate`: float64 (n,)."""

    def gaussian(draws: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
        return draws.normal(scale=perturb_std, size=shape)

    of_maps, of_images = _under_noise(task, "LocalLipschitzEstimate", nr_samples, gaussian)
    return (of_maps.distances() / (of_images.distances() + 1e-10)).max(axis=1)  # 1e-10 is Quantus' guard


def continuity(task: Task, *, nr_steps: int) -> np.ndarray:
    """Score as `Continuity`: float64 (n,)."""
    width = task.images.shape[3]
    shifts = (2 * width + 1) // nr_steps * np.arange(1, nr_steps + 1) - width
    maps, usable = _read(task)
    scores = np.full(len(maps), np.nan)
    for positions in _parts(task, usable, nr_steps):
        images = task.images[positions]
        slid = np.stack([_slid(images, shift) for shift in shifts], axis=1)
        of_maps = np.abs(_explained(task, positions, slid) - maps[positions][:, None]).sum(axis=(2, 3))
        of_images = np.sqrt(((slid - images[:, None].astype(np.float64)) ** 2).sum(axis=(2, 3, 4)))
        scores[positions] = (of_maps / (of_images + 1e-9)).max(axis=1)  # 1e-9 is Quantus' guard
    return scores


def _slid(images: np.ndarray, shift: int) -> np.ndarray:
    """Slide images (k, c, h, w) by `shift` pixels, to the right if positive; free pixels get the image's darkest value."""
    slid = np.broadcast_to(images.min(axis=(1, 2, 3), keepdims=True), images.shape).copy()
    left, right = max(shift, 0), max(-shift, 0)
    slid[..., left : images.shape[3] - right] = images[..., right : max(images.shape[3] - left, 0)]
    return slid


def _uniform(bound: float) -> Noise:
    return lambda draws, shape: draws.uniform(low=-bound, high=bound, size=shape)


def _under_uniform_noise(task: Task, samples: int, bound: float) -> tuple[_Changes, _Changes]:
    """Return the changes under uniform noise, which several metrics share; see `_under_noise`."""

    def compute() -> tuple[_Changes, _Changes]:
        return _under_noise(task, UNIFORM_NOISE, samples, _uniform(bound))

    return once_per_task(task, (UNIFORM_NOISE, samples, bound), compute)


def _under_noise(task: Task, name: str, samples: int, noise: Noise) -> tuple[_Changes, _Changes]:
    """Return the changes of the maps and of the images under noise; NaN for degenerate maps.

    Args:
        name: the name of the draws, which seeds them.
        samples: the number of noisy copies of an image.
    """
    maps, usable = _read(task)
    of_maps, of_images = (_Changes.unknown(len(maps), samples) for _ in range(2))
    for positions in _parts(task, usable, samples):
        noisy = _noisy(task, positions, name, samples, noise)
        explained = _explained(task, positions, noisy)
        of_maps.put(positions, maps[positions].reshape(len(positions), -1), explained.reshape(*noisy.shape[:2], -1))
        images = task.images[positions].reshape(len(positions), -1)
        of_images.put(positions, images, noisy.reshape(*noisy.shape[:2], -1))
    return of_maps, of_images


def _noisy(task: Task, positions: np.ndarray, name: str, samples: int, noise: Noise) -> np.ndarray:
    """Return noisy copies of images, each from the image's own generator: float32 (k, samples, c, h, w)."""
    shape = (samples, *task.images.shape[1:])
    copies = np.empty((len(positions), *shape), dtype=np.float32)
    for row, position in zip(copies, positions, strict=True):
        draws = np.random.RandomState(derived_seed(task.seed, name, int(task.indices[position])))
        row[:] = task.images[position] + noise(draws, shape)
    return copies


def _logit_distances(task: Task, samples: int, noise: Noise) -> np.ndarray:
    """Return the Euclidean changes of the logits under noise, float64 (n, samples)."""
    distances = np.empty((len(task.images), samples))
    for positions in _parts(task, np.full(len(task.images), True), samples):
        noisy = _noisy(task, positions, UNIFORM_NOISE, samples, noise)
        pictures = torch.from_numpy(np.concatenate([task.images[positions][:, None], noisy], axis=1))
        with torch.no_grad():
            passed = [task.network(some.to(task.device)) for some in pictures.flatten(0, 1).split(task.batch_size)]
        logits = torch.cat(passed).double().reshape(len(positions), 1 + samples, -1)
        distances[positions] = (logits[:, 1:] - logits[:, :1]).norm(dim=2).cpu().numpy()
    return distances


def _explained(task: Task, positions: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """Return the maps of copies of images, float32 (k, m, c, h, w), as metrics read them: float64 (k, m, h, w)."""
    copies = pictures.shape[1]
    maps = task.explain(
        task.network,
        pictures.reshape(-1, *pictures.shape[2:]),
        np.repeat(task.targets[positions], copies),
        np.repeat(task.indices[positions], copies),
    )
    return read("signed maps", maps).reshape(len(positions), copies, *maps.shape[1:])


def _read(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return the maps as read, float64 (n, h, w), and which of them have a score, bool (n,)."""
    maps = read("signed maps", task.maps)
    return maps, ~is_degenerate(task.maps) & ~is_degenerate(maps)


def _parts(task: Task, usable: np.ndarray, copies: int) -> Iterator[np.ndarray]:
    """Yield the positions of usable images in parts, so that `copies` copies of each fit into memory."""
    positions = np.flatnonzero(usable)
    size = at_once(_BYTES_PER_VALUE * copies * task.images[0].size, max(task.batch_size, 1))
    for start in range(0, len(positions), size):
        yield positions[start : start + size]
