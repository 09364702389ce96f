"""Faithfulness: how the output changes when the pixels that the map calls relevant are hidden."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from saq_eval.attribution.superpixels import superpixels
from saq_eval.core.errors import SaqEvalError
from saq_eval.core.specs import Pixels
from saq_eval.data.fills import Fill
from saq_eval.metrics.base import Shape, Task
from saq_eval.metrics.hiding import patch_side, step_size
from saq_eval.metrics.native import faithfulness as native
from saq_eval.metrics.native.hidden import patch_passes
from saq_eval.metrics.passes import MetricPasses
from saq_eval.metrics.quantus.adapter import Arguments, register_quantus, spearman, without


def _no_relation(task: Task, **_: Any) -> np.ndarray:
    return np.zeros(len(task.maps))


def _draws(settings: Arguments, shape: Shape) -> MetricPasses:
    drawn = f"FaithfulnessCorrelation {settings['nr_runs']} {settings['subset_size']} {settings['fill']}"
    return MetricPasses(shared={drawn: settings["nr_runs"] + 1})


@register_quantus(
    reference="Bhatt et al. 2020, arXiv 2005.00631",
    range=(-1.0, 1.0),
    reads="logits",
    random=True,
    passes=_draws,
    chance=_no_relation,
    native=native.faithfulness_correlation,
)
def FaithfulnessCorrelation(
    shape: Shape,
    *,
    nr_runs: Annotated[int, Field(ge=2, le=10_000)] = 50,
    subset_size: Pixels | None = None,
    fill: Fill = "black",
) -> Arguments:
    """Correlation of the logit's drop when random pixels are hidden with the sum of these pixels' attributions.

    56 pixels of 28x28 are hidden at once, as in MetaQuantus (arXiv 2302.07265). 50 runs separate integrated gradients
    from random maps (Cohen's d 2.8 on cnn-fp32, 2.1 on cnn-w2a2; 100 runs: 3.4, 2.3; 200 runs: 4.2, 3.4). Subsets of
    28 or 112 pixels separate them about as well (2.8, 1.9; 2.9, 2.0). The score should not be used to compare single
    images: the scores of two seeds correlate by -0.04 and 0.31, and with 200 runs by 0.44 and 0.54
    (`benchmarks/metric_parameters.py`).
    """
    size = subset_size or step_size(shape, None, steps=14)
    if size >= shape[1] * shape[2]:
        raise SaqEvalError(f"subset_size={size} is not below the {shape[1] * shape[2]} pixels of the image")
    return {"nr_runs": nr_runs, "subset_size": size, "fill": fill}


def _groups_alone(order: str) -> Callable[[Arguments, Shape], MetricPasses]:
    def passes(settings: Arguments, shape: Shape) -> MetricPasses:
        size = settings["features_in_step"]
        return MetricPasses(each={f"{order}, {size} alone, {settings['fill']}": shape[1] * shape[2] // size + 1})

    return passes


@register_quantus(
    reference="Alvarez-Melis and Jaakkola 2018, arXiv 1806.07538",
    range=(-1.0, 1.0),
    reads="logits",
    passes=_groups_alone("groups of pixels by signed relevance"),
    chance=_no_relation,
    ranks="pixels",
    native=native.faithfulness_estimate,
)
def FaithfulnessEstimate(shape: Shape, *, features_in_step: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Correlation of the logit's drop when pixels of neighbouring ranks are hidden with the sum of their attributions.

    There are 28 groups of 28 pixels on 28x28. A correlation over fewer groups would be coarse; each group costs a pass.
    """
    return {"features_in_step": step_size(shape, features_in_step, steps=28), "fill": fill}


@register_quantus(
    reference="Nguyen and Rodríguez Martínez 2020, arXiv 2007.07584",
    range=(-1.0, 1.0),
    reads="probabilities",
    maps="magnitudes",
    # The fill is not random, so one sample is enough. `eps` guards a division that does not change ranks.
    fixed={"nr_samples": 1, "eps": 0.0, "similarity_func": spearman},
    passes=_groups_alone("groups of pixels by magnitude"),
    chance=_no_relation,
    ranks="pixels",
    native=native.monotonicity_correlation,
)
def MonotonicityCorrelation(shape: Shape, *, features_in_step: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Rank correlation of the probability's squared change when pixels of neighbouring ranks are hidden with their relevance.

    There are 28 groups of 28 pixels on 28x28, as in FaithfulnessEstimate. The paper takes the expectation over values
    that replace the pixels; here it is over one value, the fill.
    """
    return {"features_in_step": step_size(shape, features_in_step, steps=28), "fill": fill}


def _set_shown(arr: np.ndarray, indices: np.ndarray, *, shown: int, afresh: bool = False, **_: Any) -> np.ndarray:
    """Return pictures (n, pixels) of shown (1) and hidden (0) pixels, with the pixels `indices`, int (n, m), set to `shown`.

    Quantus calls this function. With `afresh`, all other pixels are shown, even if they were hidden before.
    """
    changed = np.ones_like(arr) if afresh else arr.copy()
    np.put_along_axis(changed, indices, shown, axis=1)
    return changed


def _revealing(arguments: Arguments, task: Task, positions: np.ndarray, maps: np.ndarray) -> Arguments:
    """Start with all pixels hidden, and show them. Quantus' own way replaces fill by fill, so every map would succeed."""
    return arguments | {"perturb_func": _set_shown, "perturb_func_kwargs": {"shown": 1}}


def _shown(settings: Arguments, shape: Shape) -> MetricPasses:
    size = settings["features_in_step"]
    return MetricPasses(each={f"pixels shown, {size} at once, {settings['fill']}": shape[1] * shape[2] // size})


@register_quantus(
    reference="Arya et al. 2019, arXiv 1909.03012",
    passes=_shown,
    range=(0.0, 1.0),
    reads="probabilities",
    maps="magnitudes",
    complete=_revealing,
    ranks="pixels",
    native=native.monotonicity,
)
def Monotonicity(shape: Shape, *, features_in_step: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Whether the probability never falls as pixels are shown on the fill, least relevant first.

    There are 7 steps of 112 pixels on 28x28. The probability must not fall at any step; with many steps, no map achieves
    that.
    """
    return {"features_in_step": step_size(shape, features_in_step, steps=7), "fill": fill}


def _flipped(settings: Arguments, shape: Shape) -> MetricPasses:
    pixels = shape[1] * shape[2]
    return MetricPasses(each=native.flipping_passes(settings["features_in_step"], settings["fill"], pixels))


def _steps_of_pixels(arguments: Arguments, shape: Shape) -> int:
    return shape[1] * shape[2] // arguments["features_in_step"]


@register_quantus(
    reference="Bach et al. 2015, doi 10.1371/journal.pone.0130140",
    range=(0.0, 1.0),
    reads="probabilities",
    steps=_steps_of_pixels,
    passes=_flipped,
    ranks="pixels",
    native=native.pixel_flipping,
)
def PixelFlipping(shape: Shape, *, features_in_step: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Mean probability of the class while pixels are hidden cumulatively, most relevant first.

    There are 14 steps of 56 pixels on 28x28, as in MetaQuantus (arXiv 2302.07265). They separate integrated gradients
    from random maps (Cohen's d 1.31 on cnn-fp32, 1.33 on cnn-w2a2) nearly as well as 56 steps (1.39, 1.37), and
    better than 7 steps (1.15, 1.22; `benchmarks/metric_parameters.py`).
    """
    return {"features_in_step": step_size(shape, features_in_step, steps=14), "fill": fill}


def _steps_of_patches(arguments: Arguments, shape: Shape) -> int:
    return (shape[1] // arguments["patch_size"]) * (shape[2] // arguments["patch_size"])


def _patches_flipped(settings: Arguments, shape: Shape) -> MetricPasses:
    curve = f"most relevant patches first, {settings['patch_size']}, {settings['fill']}"
    return MetricPasses(each={curve: _steps_of_patches(settings, shape) + 1})


@register_quantus(
    reference="Samek et al. 2017, arXiv 1509.06321",
    passes=_patches_flipped,
    range=(-1.0, 1.0),
    reads="probabilities",
    steps=_steps_of_patches,
    higher_is_better=True,  # Quantus says that lower is better, but these are drops
    fixed={"regions_evaluation": None},  # all regions
    ranks="pixels",
    native=native.region_perturbation,
)
def RegionPerturbation(shape: Shape, *, patch_size: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Mean drop of the class' probability while square patches are hidden cumulatively, most relevant first.

    There are 49 patches of 4x4 on 28x28. They are about as wide as a digit's strokes.
    """
    return {"patch_size": patch_side(shape, patch_size, across=7), "fill": fill}


@register_quantus(
    reference="Montavon et al. 2018, arXiv 1706.07979",
    passes=_patches_flipped,
    range=(0.0, 1.0),
    reads="probabilities",
    steps=_steps_of_patches,
    ranks="pixels",
    native=native.selectivity,
)
def Selectivity(shape: Shape, *, patch_size: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Mean probability of the class while square patches are hidden cumulatively, most relevant first.

    The curve is RegionPerturbation's, with probabilities instead of drops. The patches are the same.
    """
    return {"patch_size": patch_side(shape, patch_size, across=7), "fill": fill}


def _segments(image: np.ndarray, segments: int) -> np.ndarray:
    """Return the superpixels of an image (c, h, w): int64 (h, w), numbered from 0 without gaps."""
    mask = superpixels(torch.from_numpy(image[None]), segments)[0, 0].numpy()
    return np.unique(mask, return_inverse=True)[1].reshape(mask.shape)


def _of_the_image(arguments: Arguments, task: Task, positions: np.ndarray, maps: np.ndarray) -> Arguments:
    segments = _segments(task.images[positions[0]], arguments["segments"])
    return without("segments", arguments) | {"segmentation_method": segments}


def _per_segment(scores: np.ndarray, task: Task, positions: np.ndarray, arguments: Arguments) -> np.ndarray:
    """Return the area over the curve per interval, from Quantus' result.

    Quantus subtracts the area from the number of segments, but the curve has one interval less than segments. So 1 is
    subtracted here, and the result is divided by the number of intervals.
    """
    return (np.asarray(scores) - 1) / _segments(task.images[positions[0]], arguments["segments"]).max()


def _segments_flipped(settings: Arguments, shape: Shape) -> MetricPasses:
    """Return about as many as there are: segments are found in each image, and others in the image turned by 180°."""
    curves = f"most relevant segments first in two orders, {settings['segments']}, {settings['fill']}"
    return MetricPasses(each={curves: 2 * settings["segments"]})


@register_quantus(
    reference="Rieger and Hansen 2020, arXiv 2003.08747",
    passes=_segments_flipped,
    range=(-math.inf, 1.0),
    reads="probabilities",
    ranks="segments",
    singly=True,  # in a batch, Quantus pads shorter curves with zeros and integrates over them
    complete=_of_the_image,
    finish=_per_segment,
    native=native.irof,
)
def IROF(shape: Shape, *, segments: Annotated[Pixels, Field(ge=2)] = 50, fill: Fill = "black") -> Arguments:
    """Mean relative drop of the class' probability while segments (SLIC) are hidden cumulatively, most relevant first.

    There are about 50 segments, the superpixels of the attribution methods. NaN if an image has only one segment.
    """
    return {"segments": segments, "fill": fill}


def _unexplained(a: np.ndarray, b: np.ndarray, **_: Any) -> np.ndarray:
    """Return the share of drops `a` that no multiple of sums `b` explains: float (n, m) and (n, m) -> (n,)."""
    explained = (a * b).sum(axis=1) ** 2 / ((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.maximum(1 - explained, 0)  # for an exact map, rounding may give a value just below 0


def _patch_by_patch(arguments: Arguments, task: Task, positions: np.ndarray, maps: np.ndarray) -> Arguments:
    """Hide each patch alone. Quantus' own way keeps earlier patches hidden, so its score depends on the patches' order."""
    return without("patch_size", arguments) | {
        "perturb_patch_sizes": [arguments["patch_size"]],
        "perturb_func": _set_shown,
        "perturb_func_kwargs": {"shown": 0, "afresh": True},
    }


@register_quantus(
    reference="Yeh et al. 2019, arXiv 1901.09392",
    range=(0.0, 1.0),
    reads="logits",
    passes=lambda settings, shape: MetricPasses(shared=patch_passes(shape, settings["patch_size"], settings["fill"])),
    fixed={"loss_func": _unexplained, "n_perturb_samples": 1},  # nothing is random, so all samples are equal
    complete=_patch_by_patch,
    native=native.infidelity,
)
def Infidelity(shape: Shape, *, patch_size: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Share of the logit's squared drops, when each patch is hidden alone, that the map's sums over patches do not explain.

    The map is scaled to fit best, and the squared error is divided by the squared drops. The published score grows with
    the square of the logits and of the map's unit. The perturbation of a hidden pixel is 1 (shown to hidden). So a map
    is read as in the other metrics: as the effect of hiding a pixel, not as an effect per unit of the pixel's value.
    Patches are 4x4 on 28x28.
    """
    return {"patch_size": patch_side(shape, patch_size, across=7), "fill": fill}
