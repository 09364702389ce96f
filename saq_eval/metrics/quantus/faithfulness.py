"""Faithfulness: what happens to the output when the pixels that are said to matter are hidden."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from saq_eval.attribution.perturbation import superpixels
from saq_eval.core.errors import SaqEvalError
from saq_eval.core.specs import Pixels
from saq_eval.data.fills import Fill
from saq_eval.metrics.base import Shape, Task
from saq_eval.metrics.hiding import patch_side, step_size
from saq_eval.metrics.quantus.adapter import Arguments, register_quantus, spearman, without


def _no_relation(task: Task, **_: Any) -> np.ndarray:
    return np.zeros(len(task.maps))


@register_quantus(
    reference="Bhatt et al. 2020, arXiv 2005.00631",
    range=(-1.0, 1.0),
    reads="logits",
    random=True,
    chance=_no_relation,
)
def FaithfulnessCorrelation(
    shape: Shape,
    *,
    nr_runs: Annotated[int, Field(ge=2)] = 50,
    subset_size: Pixels | None = None,
    fill: Fill = "black",
) -> Arguments:
    """Correlation of the logit's drop when random pixels are hidden with these pixels' summed attribution.

    56 pixels of 28x28 at once, as MetaQuantus has it (arXiv 2302.07265). 50 runs set integrated gradients apart from
    random maps (Cohen's d 2.8 on cnn-fp32, 2.1 on cnn-w2a2; 100 runs: 3.4, 2.3; 200 runs: 4.2, 3.4), and subsets of
    28 or 112 pixels do so about as well (2.8, 1.9; 2.9, 2.0). Single images are not to be compared by it: two seeds'
    scores correlate by -0.04 and 0.31, and after 200 runs by 0.44 and 0.54 (`benchmarks/metric_parameters.py`).
    """
    size = subset_size or step_size(shape, None, steps=14)
    if size >= shape[1] * shape[2]:
        raise SaqEvalError(f"subset_size={size} is not below the {shape[1] * shape[2]} pixels of the image")
    return {"nr_runs": nr_runs, "subset_size": size, "fill": fill}


@register_quantus(
    reference="Alvarez-Melis and Jaakkola 2018, arXiv 1806.07538",
    range=(-1.0, 1.0),
    reads="logits",
    chance=_no_relation,
    ranks="pixels",
)
def FaithfulnessEstimate(shape: Shape, *, features_in_step: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Correlation of the logit's drop when pixels of neighbouring ranks are hidden with their summed attribution.

    28 groups of 28 pixels on 28x28: a correlation over fewer is coarse, and each costs a pass.
    """
    return {"features_in_step": step_size(shape, features_in_step, steps=28), "fill": fill}


@register_quantus(
    reference="Nguyen and Rodríguez Martínez 2020, arXiv 2007.07584",
    range=(-1.0, 1.0),
    reads="probabilities",
    maps="magnitudes",
    # A fill that is not drawn needs no samples; the threshold guards a division that ranks do not see.
    fixed={"nr_samples": 1, "eps": 0.0, "similarity_func": spearman},
    chance=_no_relation,
    ranks="pixels",
)
def MonotonicityCorrelation(shape: Shape, *, features_in_step: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Rank correlation of the probability's squared change when pixels of neighbouring ranks are hidden with their relevance.

    28 groups of 28 pixels on 28x28, as in FaithfulnessEstimate. The expectation over values to hide pixels with is
    that of one value, the fill.
    """
    return {"features_in_step": step_size(shape, features_in_step, steps=28), "fill": fill}


def _set_shown(arr: np.ndarray, indices: np.ndarray, *, shown: int, afresh: bool = False, **_: Any) -> np.ndarray:
    """Return pictures of what is shown, (n, pixels), with some pixels, int (n, m), shown (1) or hidden (0).

    Quantus calls it. `afresh`: all others are shown, whatever was hidden before.
    """
    changed = np.ones_like(arr) if afresh else arr.copy()
    np.put_along_axis(changed, indices, shown, axis=1)
    return changed


def _revealing(arguments: Arguments, task: Task, positions: np.ndarray, maps: np.ndarray) -> Arguments:
    """Start with all pixels hidden and show them; Quantus puts fill on fill, so that all maps win."""
    return arguments | {"perturb_func": _set_shown, "perturb_func_kwargs": {"shown": 1}}


@register_quantus(
    reference="Arya et al. 2019, arXiv 1909.03012",
    range=(0.0, 1.0),
    reads="probabilities",
    maps="magnitudes",
    complete=_revealing,
    ranks="pixels",
)
def Monotonicity(shape: Shape, *, features_in_step: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Whether the probability never falls as pixels are shown on the fill, least relevant first.

    7 steps of 112 pixels on 28x28. It asks for a rise at every step: over many steps no map achieves that.
    """
    return {"features_in_step": step_size(shape, features_in_step, steps=7), "fill": fill}


def _steps_of_pixels(arguments: Arguments, shape: Shape) -> int:
    return shape[1] * shape[2] // arguments["features_in_step"]


@register_quantus(
    reference="Bach et al. 2015, doi 10.1371/journal.pone.0130140",
    range=(0.0, 1.0),
    reads="probabilities",
    steps=_steps_of_pixels,
    ranks="pixels",
)
def PixelFlipping(shape: Shape, *, features_in_step: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Mean probability of the class while pixels are hidden for good, most relevant first.

    14 steps of 56 pixels on 28x28, as MetaQuantus has it (arXiv 2302.07265). They set integrated gradients apart from
    random maps (Cohen's d 1.31 on cnn-fp32, 1.33 on cnn-w2a2) nearly as well as 56 steps do (1.39, 1.37), and
    better than 7 (1.15, 1.22; `benchmarks/metric_parameters.py`).
    """
    return {"features_in_step": step_size(shape, features_in_step, steps=14), "fill": fill}


def _steps_of_patches(arguments: Arguments, shape: Shape) -> int:
    return (shape[1] // arguments["patch_size"]) * (shape[2] // arguments["patch_size"])


@register_quantus(
    reference="Samek et al. 2017, arXiv 1509.06321",
    range=(-1.0, 1.0),
    reads="probabilities",
    steps=_steps_of_patches,
    higher_is_better=True,  # Quantus says lower, but these are drops
    fixed={"regions_evaluation": None},  # all of them
    ranks="pixels",
)
def RegionPerturbation(shape: Shape, *, patch_size: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Mean drop of the class' probability while square patches are hidden for good, most relevant first.

    49 patches of 4x4 on 28x28: about as wide as a digit's strokes.
    """
    return {"patch_size": patch_side(shape, patch_size, across=7), "fill": fill}


@register_quantus(
    reference="Montavon et al. 2018, arXiv 1706.07979",
    range=(0.0, 1.0),
    reads="probabilities",
    steps=_steps_of_patches,
    ranks="pixels",
)
def Selectivity(shape: Shape, *, patch_size: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Mean probability of the class while square patches are hidden for good, most relevant first.

    RegionPerturbation's curve, as values instead of drops; patches as there.
    """
    return {"patch_size": patch_side(shape, patch_size, across=7), "fill": fill}


def _segments(image: np.ndarray, segments: int) -> np.ndarray:
    """Return the superpixels of an image (c, h, w): int64 (h, w), without gaps from 0."""
    mask = superpixels(torch.from_numpy(image[None]), segments)[0, 0].numpy()
    return np.unique(mask, return_inverse=True)[1].reshape(mask.shape)


def _of_the_image(arguments: Arguments, task: Task, positions: np.ndarray, maps: np.ndarray) -> Arguments:
    segments = _segments(task.images[positions[0]], arguments["segments"])
    return without("segments", arguments) | {"segmentation_method": segments}


def _per_segment(scores: np.ndarray, task: Task, positions: np.ndarray, arguments: Arguments) -> np.ndarray:
    """Return Quantus' areas over the curve, a number of segments less an area with an interval less, over the intervals."""
    return (np.asarray(scores) - 1) / _segments(task.images[positions[0]], arguments["segments"]).max()


@register_quantus(
    reference="Rieger and Hansen 2020, arXiv 2003.08747",
    range=(-math.inf, 1.0),
    reads="probabilities",
    ranks="segments",
    singly=True,  # Quantus fills up a batch's shorter curves with zeros and integrates over the edge
    complete=_of_the_image,
    finish=_per_segment,
)
def IROF(shape: Shape, *, segments: Annotated[Pixels, Field(ge=2)] = 50, fill: Fill = "black") -> Arguments:
    """Mean relative drop of the class' probability while segments (SLIC) are hidden for good, most relevant first.

    About 50 segments, the superpixels of the attribution methods; NaN where an image has one only.
    """
    return {"segments": segments, "fill": fill}


def _unexplained(a: np.ndarray, b: np.ndarray, **_: Any) -> np.ndarray:
    """Return the share of drops `a` that no multiple of sums `b` explains: float (n, m) and (n, m) -> (n,)."""
    explained = (a * b).sum(axis=1) ** 2 / ((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.maximum(1 - explained, 0)  # of an exact map, rounding leaves a little less than nothing


def _patch_by_patch(arguments: Arguments, task: Task, positions: np.ndarray, maps: np.ndarray) -> Arguments:
    """Hide each patch by itself; Quantus leaves those before it hidden, so that the score depends on where it starts."""
    return without("patch_size", arguments) | {
        "perturb_patch_sizes": [arguments["patch_size"]],
        "perturb_func": _set_shown,
        "perturb_func_kwargs": {"shown": 0, "afresh": True},
    }


@register_quantus(
    reference="Yeh et al. 2019, arXiv 1901.09392",
    range=(0.0, 1.0),
    reads="logits",
    fixed={"loss_func": _unexplained, "n_perturb_samples": 1},  # nothing is drawn: all samples are alike
    complete=_patch_by_patch,
)
def Infidelity(shape: Shape, *, patch_size: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Share of the logit's squared drops, as each patch is hidden by itself, that the map's sums over the patches miss.

    The map is scaled to fit best and the squared error is over the squared drops: as published it grows with the
    square of the logits and of the map's unit. What is taken away is that pixels are shown, by 1: so a map is read as in the
    other metrics, as the effect of hiding the pixel, not as an effect per unit of its value. Patches of 4x4 on 28x28.
    """
    return {"patch_size": patch_side(shape, patch_size, across=7), "fill": fill}
