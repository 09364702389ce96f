"""Remove and debias (ROAD): whether the class is still predicted after the most relevant pixels are imputed from the others.

Scores, including random draws, are those of Quantus' `ROAD` for a single image. Quantus averages over the images of the
first batch only, and solves one system of equations per image. Here, the systems of all images of a batch are solved
together.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from saq_eval.core.randomness import derived_seed
from saq_eval.core.specs import NotNegative
from saq_eval.metrics.base import METRICS, Metric, Shape, Task
from saq_eval.metrics.hiding import order_matters
from saq_eval.metrics.maps import is_degenerate
from saq_eval.metrics.passes import MetricPasses

# Residual of the system over its right side. Each pixel is then correct to a twentieth of 1/255 at 28x28 and to a fifth at
# 224x224, at the worst that was seen. The noise that is added has a standard deviation of 2.5/255.
RESIDUAL = 1e-5
_TINY = torch.finfo(torch.float32).tiny  # avoids 0 / 0 for an image that is already solved
_LOOK = 4  # after so many steps it is looked which images are solved


def ROAD(
    shape: Shape, *, percentage_step: Annotated[int, Field(ge=1, le=49)] = 10, noise: NotNegative = 0.01
) -> dict[str, Any]:
    """Share of removals, most relevant pixels first, after which the class is still predicted.

    A removed pixel is replaced by the mean of its neighbours, weighted by nearness, plus Gaussian noise of standard
    deviation `noise`. The curve has a point, 0 or 1, for each `percentage_step` per cent of the pixels. Steps of 10 %
    separate integrated gradients from random maps (Cohen's d 0.85 on cnn-fp32, 0.94 on cnn-w2a2). Steps of 20 % do not
    (0.23, 0.21). Steps of 5 % separate them better (1.14, 1.14), at twice the cost. The noise hardly matters: the scores
    of two seeds correlate by 0.99 and 0.91 (`benchmarks/metric_parameters.py`).
    """
    return {"percentages": list(range(percentage_step, 100, percentage_step)), "noise": noise}


def _still_predicted(task: Task, **parameters: Any) -> np.ndarray:
    """Return whether the class is predicted after each removal, float64 (n, steps); NaN for degenerate maps."""
    settings = ROAD(task.images.shape[1:], **parameters)
    usable = np.flatnonzero(~is_degenerate(task.maps))
    if not len(usable):
        return np.full((len(task.maps), len(settings["percentages"])), np.nan)
    falling, rising = (_orders(task.maps, last_first) for last_first in (False, True))
    tied = usable[order_matters(task.maps[usable])]
    curves = np.full((len(task.maps), len(settings["percentages"])), np.nan)
    curves[usable] = _in_one_order(task, usable, falling[usable], **settings)
    curves[tied] = (curves[tied] + _in_one_order(task, tied, rising[tied], **settings)) / 2
    return curves


def _orders(maps: np.ndarray, last_first: bool) -> np.ndarray:
    """Return the pixels, most relevant first, of tied ones the first or the last: int64 (n, h · w)."""
    flat = -maps.reshape(len(maps), -1)
    if not last_first:
        return np.argsort(flat, axis=1, kind="stable")
    return flat.shape[1] - 1 - np.argsort(flat[:, ::-1], axis=1, kind="stable")


def _in_one_order(
    task: Task, positions: np.ndarray, orders: np.ndarray, *, percentages: list[int], noise: float
) -> np.ndarray:
    """Return whether the class is predicted after each removal, float64 (m, steps).

    Args:
        positions: int64 (m,), positions of images in the task.
        orders: int64 (m, h · w), their pixels in the order in which they are removed.
    """
    curves = np.empty((len(positions), len(percentages)))
    for start in range(0, len(positions), task.batch_size):
        part = slice(start, start + task.batch_size)
        chunk, order = positions[part], orders[part]
        images = torch.from_numpy(task.images[chunk]).to(task.device)
        draws = [np.random.RandomState(derived_seed(task.seed, "ROAD", int(index))) for index in task.indices[chunk]]
        imputed = images
        for step, percentage in enumerate(percentages):
            first = order[:, : order.shape[1] * percentage // 100]
            chosen = np.zeros(order.shape, dtype=bool)
            np.put_along_axis(chosen, first, True, axis=1)
            removed = torch.from_numpy(chosen.reshape(len(chunk), 1, *images.shape[2:])).to(task.device)
            imputed = impute(images, removed, start=imputed)
            noisy = imputed + noise * _noise(draws, first, images.shape).to(task.device)
            predicted = task.logits(noisy).argmax(dim=1).cpu().numpy()
            curves[part, step] = predicted == task.targets[chunk]
    return curves


def _noise(draws: list[np.random.RandomState], pixels: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    """Return standard normal noise at the given pixels, int (n, m), and 0 elsewhere: float32 (n, c, h, w), as `shape`."""
    noise = np.zeros((*shape[:2], shape[2] * shape[3]), dtype=np.float32)
    for row, generator, where in zip(noise, draws, pixels, strict=True):
        row[:, where] = generator.standard_normal((shape[1], len(where)))
    return torch.from_numpy(noise.reshape(shape))


def impute(images: Tensor, removed: Tensor, *, start: Tensor | None = None) -> Tensor:
    """Return images in which each removed pixel is the weighted mean of its eight neighbours, which may be removed too.

    The weights are 1/6 for neighbours at the sides and 1/12 at the corners, over the neighbours that exist. Let K be the
    matrix of weights, D its row sums, and x the pixels that stay. Then the removed pixels u solve (D − K) u = K x. The
    system is symmetric and positive definite, so conjugate gradients solve it, for all images at once (Rong et al. 2022,
    arXiv 2202.00449, section 4.2).

    Args:
        images: float32 (n, c, h, w).
        removed: bool (n, 1, h, w), not all pixels of an image.
        start: images to start from: equal to `images` where pixels stay, any values elsewhere; `None` for `images`.

    Returns:
        float32 (n, c, h, w), solved up to a residual of `RESIDUAL`.
    """
    pixels = images.flatten(0, 1)
    holes = removed.expand(images.shape).flatten(0, 1).to(pixels.dtype)
    weights = holes * _sum_of_neighbours(torch.ones_like(pixels[:1]))
    right = holes * _sum_of_neighbours((1 - holes) * pixels)
    solution = holes * (pixels if start is None else start.flatten(0, 1))
    enough = RESIDUAL**2 * _squares(right).clamp_min(1 / 255**2)  # 0 if all that stay are black
    _solve(solution, right, holes, weights, enough)
    return ((1 - holes) * pixels + solution).reshape(images.shape)


def _solve(solution: Tensor, right: Tensor, holes: Tensor, weights: Tensor, enough: Tensor) -> None:
    """Solve (D − K) u = b on the removed pixels by conjugate gradients; images that are solved are left out.

    Args:
        solution: float32 (m, h, w), where to start; changed in place to the solution.
        right: float32 (m, h, w), b.
        holes: float32 (m, h, w), 1 where a pixel is removed and 0 elsewhere.
        weights: float32 (m, h, w), D on the removed pixels and 0 elsewhere.
        enough: float32 (m, 1, 1), the squared residual at which an image is solved.
    """
    values = solution.clone()
    residual = right - (weights * values - holes * _sum_of_neighbours(values))
    direction, size = residual.clone(), _squares(residual)
    rows = torch.arange(len(solution), device=solution.device)
    for step in range(solution.shape[1] * solution.shape[2]):  # then the solution is exact, except for rounding
        if step % _LOOK == 0:
            open_rows = (size > enough).flatten()
            count = int(open_rows.sum())
            if count == 0:
                break
            if count <= 0.8 * len(rows):  # else copying costs more than it saves
                solution[rows] = values
                rows, values, residual, direction, size, enough, holes, weights = (
                    tensor[open_rows] for tensor in (rows, values, residual, direction, size, enough, holes, weights)
                )
        applied = torch.addcmul(weights * direction, holes, _sum_of_neighbours(direction), value=-1)
        length = size / (direction * applied).sum(dim=(1, 2), keepdim=True).clamp_min(_TINY)
        values.addcmul_(length, direction)
        residual.addcmul_(length, applied, value=-1)
        before, size = size, _squares(residual)
        direction.mul_(size / before.clamp_min(_TINY)).add_(residual)
    solution[rows] = values


def _sum_of_neighbours(values: Tensor) -> Tensor:
    """Return the weighted sums of the eight neighbours, with 0 beyond the border: (m, h, w) -> (m, h, w)."""
    # The weights are the outer product of (1, 2, 1) with itself over 12, without the pixel itself.
    padded = torch.nn.functional.pad(values, (1, 1, 1, 1))
    across = (padded[..., :-2] + padded[..., 2:]).add_(padded[..., 1:-1], alpha=2)
    return (across[:, :-2] + across[:, 2:]).add_(across[:, 1:-1], alpha=2).div_(12).sub_(values, alpha=1 / 3)


def _squares(values: Tensor) -> Tensor:
    return values.square().sum(dim=(1, 2), keepdim=True)


METRICS.add(
    "ROAD",
    Metric(
        name="ROAD",
        category="faithfulness",
        higher_is_better=False,
        range=(0.0, 1.0),
        reference="Rong et al. 2022, arXiv 2202.00449",
        score=_still_predicted,
        declares=ROAD,
        resolve=lambda parameters, shape: ROAD(shape, **parameters) | {"reads": "signed maps and logits"},
        curve=True,
        passes=lambda settings, shape: MetricPasses(each={f"ROAD {settings}": len(settings["percentages"])}),
        positions=lambda settings, count: np.array(settings["percentages"]) / 100,
        random=True,
    ),
)
