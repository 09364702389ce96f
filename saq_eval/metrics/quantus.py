"""Metrics of Quantus 0.6, each one declared function, all through one adapter.

A function below bears Quantus' name of a metric; its keyword-only parameters are the metric's, and it returns the
arguments of Quantus' constructor. What Quantus leaves to its caller, or would leave to chance, is settled in
`register_quantus` and nowhere else:

- **One image at a time, in effect.** An image's score is what Quantus gives for that image alone after
  `numpy.random.seed(derived_seed(seed, metric, index))`. Quantus draws from NumPy's global generator in the order of
  calls; here each image of a batch draws from a generator of its own. Metrics that depend on the batch otherwise
  get one image per call.
- **Undefined is NaN.** Degenerate maps are not scored: Quantus fails altogether on a batch of nothing else.
- **Maps** are divided by their largest magnitude, image by image (Quantus' own `normalise_by_max` spans the batch),
  and so are those that a metric has explained anew. Complexity asks where relevance is, of either sign, and gets
  magnitudes. Completeness is about the scale and gets the maps as they are.
- **Hiding.** Quantus hides single values of channels, whose attribution is the whole pixel's. What hides by a `fill`
  sees pictures of one channel, which pixels are shown (`saq_eval.metrics.hiding`).
- **Fills.** "black", "mean" and "blur" are those of the attribution methods (`fill_images`). Quantus' words
  mean other things: "black" the image's minimum, "uniform" one number per step for all pixels.
- **Ties.** Quantus breaks them by position. Where the order of tied pixels matters, it is asked twice, the second time
  with everything turned by 180°.
- **Steps.** Areas and counts are over the number of steps, segments or pixels. Curves have a point after each step
  and none before the first.

Localisation is in `localisation`, NonSensitivity, whose thresholds are relative here, in `non_sensitivity`, and ROAD,
which takes Quantus 25 times as long as the network, in `road`.

Left out, since they have no score per image that keeps the policies of `saq_eval.metrics.base`:

- `SensitivityN` correlates over images. Within one image, over random subsets of n pixels (Ancona et al. 2018,
  arXiv 1711.06104), it is `FaithfulnessCorrelation:subset_size=n`; Quantus' way to hide pixels, most relevant first
  and for good, against the attribution of the last step alone, is neither.
- `Sufficiency` and `Consistency` are shares of the *other* images of a batch that have a similar map and the same
  prediction: for an image alone they are 0.
- `InputInvariance` shifts all pixels by −1 and undoes that in the first layer's bias. No bias undoes it at the
  border where a convolution pads with zeros, as all in the zoo do: the shifted network computes something else.
"""

from __future__ import annotations

import contextlib
import functools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import quantus
import torch
from pydantic import Field
from quantus.helpers import asserts, utils
from quantus.helpers.enums import EvaluationCategory, ScoreDirection
from quantus.helpers.model.pytorch_model import PyTorchModel
from scipy.stats import rankdata
from torch import nn

from saq_eval.attribution.perturbation import superpixels
from saq_eval.core.errors import SaqEvalError
from saq_eval.core.randomness import derived_seed, global_seed
from saq_eval.core.specs import Count, Pixels, Positive, Share
from saq_eval.data.fills import Fill
from saq_eval.metrics.base import METRICS, Metric, Need, Reading, Shape, Task, is_degenerate, read
from saq_eval.metrics.hiding import MaskedNetwork, changeable, mean_of_both_orders, order_matters, patch_side, step_size

Arguments = dict[str, Any]
Declaration = Callable[..., Arguments]
_ALWAYS = {"normalise": False, "return_aggregate": False, "disable_warnings": True}
_NEEDS: dict[EvaluationCategory, tuple[Need, ...]] = {
    EvaluationCategory.ROBUSTNESS: ("explanations",),
    EvaluationCategory.RANDOMISATION: ("explanations", "known layers"),
}


def register_quantus(
    *,
    reference: str,
    range: tuple[float, float],
    reads: Literal["logits", "probabilities"] | None = None,
    maps: Reading = "signed maps",
    random: bool = False,
    ranks: Literal["pixels", "segments"] | None = None,
    singly: bool = False,
    explains_itself: bool = False,
    steps: Callable[[Arguments, Shape], int] | None = None,
    positions: Callable[[Arguments, int], np.ndarray] | None = None,
    higher_is_better: bool | None = None,
    needs: tuple[Need, ...] | None = None,
    fixed: Arguments | None = None,
    complete: Callable[[Arguments, Task, np.ndarray, np.ndarray], Arguments] | None = None,
    finish: Callable[[Any, Task, np.ndarray, Arguments], Any] = lambda scores, task, positions, arguments: scores,
    chance: Callable[..., np.ndarray] | None = None,
) -> Callable[[Declaration], Declaration]:
    """Register the Quantus metric that has the decorated function's name.

    The function takes an image's shape (c, h, w) and returns arguments of Quantus' constructor, of which `fill`
    is put in Quantus' terms here. Reports print what it returns.

    Args:
        reference: the paper.
        range: lowest and highest possible score.
        reads: what it reads of the network's output, if anything.
        maps: what it is given of the maps.
        random: whether it draws.
        ranks: whether it goes by the order of relevance, of pixels (or patches) or of segments. Tied pixels
            are taken in two opposite orders. With segments all are, since those of the image turned by 180° are others.
        singly: ask Quantus for one image at a time: where a batch's scores are not the images' own.
        explains_itself: whether it explains the images itself instead of reading the maps.
        steps: for a metric that gives curves, from the function's answer and an image's shape to their length.
        positions: see `Metric`.
        higher_is_better: the direction, where Quantus' own is wrong.
        needs: what it needs beside maps and network; by default what its category does.
        fixed: arguments of Quantus' constructor that are no parameters.
        complete: from the arguments so far to those of Quantus' constructor, where they depend on the images:
            (arguments, task, positions (m,), their maps (m, h, w) as given to Quantus) -> arguments.
        finish: (Quantus' answer, task, positions, the function's answer) -> scores (m,) or curves (m, steps).
        chance: see `Metric`.
    """

    def register(declare: Declaration) -> Declaration:
        name = declare.__name__
        kind = getattr(quantus, name)
        signed = maps in ("signed maps", "unscaled maps")  # of others the absolute value is what they are already

        def score(task: Task, **parameters: Any) -> np.ndarray:
            twice = np.full(len(task.maps), ranks == "segments")
            if ranks == "pixels":
                fill = parameters.get("fill")
                twice = order_matters(read(maps, task.maps), changeable(task.images, fill) if fill else None)
            return mean_of_both_orders(functools.partial(score_once, parameters), task, twice)

        def score_once(parameters: Arguments, task: Task) -> np.ndarray:
            shape = task.images.shape[1:]
            arguments = declare(shape, **parameters)
            given = read(maps, task.maps)
            usable = np.flatnonzero(~is_degenerate(task.maps) & ~is_degenerate(given))
            scores = np.full((len(given), steps(arguments, shape)) if steps else len(given), np.nan)
            chunk = 1 if singly else task.batch_size
            for positions in np.split(usable, np.arange(chunk, len(usable), chunk)) if len(usable) else ():
                network, pictures, completed = task.network, task.images[positions], arguments
                if "fill" in arguments:
                    network = MaskedNetwork(network, pictures, arguments["fill"], task.device)
                    pictures = np.ones((len(positions), 1, *shape[1:]), dtype=np.float32)
                    completed = _without("fill", arguments) | {"perturb_baseline": 0.0}
                if complete:
                    completed = complete(completed, task, positions, given[positions])
                with _quiet(), _on_our_terms(name, task, positions, maps) as explain:
                    answer = kind(abs=not signed, **_ALWAYS, **(fixed or {}), **completed)(
                        model=_Probabilities(network) if reads == "probabilities" else network,
                        x_batch=pictures,
                        y_batch=task.targets[positions],
                        a_batch=None if explains_itself else _with_channels(given[positions], pictures.shape[1:], maps),
                        explain_func=explain,
                        softmax=reads == "probabilities",
                        channel_first=True,
                        device=task.device,
                        batch_size=len(positions),
                    )
                    scores[positions] = finish(answer, task, positions, arguments)
            return scores

        def resolve(parameters: Arguments, shape: Shape) -> Arguments:
            return declare(shape, **parameters) | {"reads": " and ".join(filter(None, (maps, reads)))}

        METRICS.add(
            name,
            Metric(
                name=name,
                category=kind.evaluation_category.value.lower(),
                higher_is_better=(
                    kind.score_direction is ScoreDirection.HIGHER if higher_is_better is None else higher_is_better
                ),
                range=range,
                reference=reference,
                score=score,
                declares=declare,
                resolve=resolve,
                needs=_NEEDS.get(kind.evaluation_category, ()) if needs is None else needs,
                curve=steps is not None,
                **({"positions": positions} if positions else {}),
                random=random,
                chance=chance,
            ),
        )
        return declare

    return register


class _Probabilities(nn.Sequential):
    """A network with softmax: Quantus would add it by itself, and set up the root logger on the way."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, nn.Softmax(dim=-1))
        self.eval()


def _with_channels(maps: np.ndarray, shape: Shape, reading: Reading) -> np.ndarray:
    """Return maps (n, h, w) with the axis of channels that Quantus expects; sums that matter stay what they are."""
    if reading == "unscaled maps":
        return np.repeat(maps[:, None] / shape[0], shape[0], axis=1)
    return maps[:, None].copy()  # some metrics of Quantus change it in place


def _without(key: str, arguments: Arguments) -> Arguments:
    return {other: value for other, value in arguments.items() if other != key}


def _set_shown(arr: np.ndarray, indices: np.ndarray, *, shown: int, afresh: bool = False, **_: Any) -> np.ndarray:
    """Return pictures of what is shown, (n, pixels), with some pixels, int (n, m), shown (1) or hidden (0).

    Quantus calls it. `afresh`: all others are shown, whatever was hidden before.
    """
    changed = np.ones_like(arr) if afresh else arr.copy()
    np.put_along_axis(changed, indices, shown, axis=1)
    return changed


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let Quantus not warn of what the adapter has settled, nor of scores that are undefined."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _on_our_terms(
    name: str, task: Task, positions: np.ndarray, reading: Reading
) -> Iterator[Callable[..., np.ndarray]]:
    """Let Quantus draw for each image from the image's own generator, and explain by the task's method.

    Parts of NumPy and Quantus are replaced for the whole process meanwhile, and the global generators restored
    afterwards: one comparison at a time per process.

    Yields:
        Quantus' `explain_func`.
    """

    def explain(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **_: Any) -> np.ndarray:
        network = model[0] if isinstance(model, _Probabilities) else model
        explained = task.explain(network, inputs.astype(np.float32), targets, task.indices[positions])
        return _with_channels(read(reading, explained), inputs.shape[1:], reading)

    seeds = [derived_seed(task.seed, name, int(index)) for index in task.indices[positions]]
    generators = [np.random.RandomState(seed) for seed in seeds]
    replacements = [
        (quantus, "explain", explain),  # SmoothMPRT calls it, whatever `explain_func` it is given
        # The adapter has checked maps one by one; these fail for a whole batch.
        (asserts, "assert_attributions", lambda x_batch, a_batch: None),
        (asserts, "assert_nr_segments", lambda nr_segments: None),
        (utils, "get_superpixel_segments", lambda img, segmentation_method: segmentation_method),  # they are given
        (np, "argsort", functools.partial(np.argsort, kind="stable")),  # tied pixels by position, on every machine
        *((np.random, draw, replacement) for draw, replacement in (_own_draws(generators) if len(seeds) > 1 else ())),
    ]
    originals = [(module, attribute, getattr(module, attribute)) for module, attribute, _ in replacements]
    with global_seed(seeds[0]):
        try:
            for module, attribute, replacement in replacements:
                setattr(module, attribute, replacement)
            yield explain
        finally:
            for module, attribute, original in originals:
                setattr(module, attribute, original)
            # Quantus keeps every network that it ever wrapped.
            PyTorchModel._get_last_softmax_layer_index.cache_clear()


def _own_draws(generators: Sequence[np.random.RandomState]) -> Iterator[tuple[str, Callable[..., np.ndarray]]]:
    """Yield names of functions of `numpy.random` with what draws the same for each image of a batch as for it alone."""
    turn = 0

    def choice(*args: Any, **kwargs: Any) -> np.ndarray:  # called for each image in turn, again and again
        nonlocal turn
        turn += 1
        return generators[(turn - 1) % len(generators)].choice(*args, **kwargs)

    def rows(draw: str) -> Callable[..., np.ndarray]:  # called for all images at once, one row each
        def drawn(*, size: int | tuple[int, ...], **kwargs: Any) -> np.ndarray:
            row = (1, *np.atleast_1d(size)[1:])
            return np.concatenate([getattr(generator, draw)(size=row, **kwargs) for generator in generators])

        return drawn

    yield "choice", choice
    yield "normal", rows("normal")
    yield "uniform", rows("uniform")
    yield "randn", lambda *size: rows("normal")(size=size)


def _spearman(a: np.ndarray, b: np.ndarray, **_: Any) -> np.ndarray:
    """Return the rank correlations of rows, (n, m) and (n, m) -> (n,), NaN where a row is constant.

    Quantus' own crosses all rows with all, and fails where the first one is constant.
    """
    ranks = [rankdata(rows, axis=1) for rows in (a, b)]
    first, second = (rows - rows.mean(axis=1, keepdims=True) for rows in ranks)
    return (first * second).sum(axis=1) / np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))


def _no_relation(task: Task, **_: Any) -> np.ndarray:
    return np.zeros(len(task.maps))


# Faithfulness: what happens to the output when the pixels that are said to matter are hidden.


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
    fixed={"nr_samples": 1, "eps": 0.0, "similarity_func": _spearman},
    chance=_no_relation,
    ranks="pixels",
)
def MonotonicityCorrelation(shape: Shape, *, features_in_step: Pixels | None = None, fill: Fill = "black") -> Arguments:
    """Rank correlation of the probability's squared change when pixels of neighbouring ranks are hidden with their relevance.

    28 groups of 28 pixels on 28x28, as in FaithfulnessEstimate. The expectation over values to hide pixels with is
    that of one value, the fill.
    """
    return {"features_in_step": step_size(shape, features_in_step, steps=28), "fill": fill}


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

    7 steps of 112 pixels on 28x28: it asks for a rise at every step, which over many steps nothing achieves.
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
    return _without("segments", arguments) | {"segmentation_method": segments}


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
    return _without("patch_size", arguments) | {
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


# Complexity: how few pixels the relevance is on.


@register_quantus(reference="Chalasani et al. 2020, arXiv 1810.06583", range=(0.0, 1.0), maps="magnitudes")
def Sparseness(shape: Shape) -> Arguments:
    """Gini index of the relevance: 0 if all pixels have as much, near 1 if one has all."""
    return {}


@register_quantus(reference="Bhatt et al. 2020, arXiv 2005.00631", range=(0.0, math.inf), maps="magnitudes")
def Complexity(shape: Shape) -> Arguments:
    """Entropy of the relevance over the pixels, in nats: 0 if one has all, the logarithm of their number if all have as much."""
    return {}


@register_quantus(
    reference="Nguyen and Rodríguez Martínez 2020, arXiv 2007.07584",
    range=(0.0, 1.0),
    maps="magnitudes",
    finish=lambda counts, task, positions, arguments: np.asarray(counts) / math.prod(task.images.shape[2:]),
)
def EffectiveComplexity(shape: Shape, *, eps: Share = 0.1) -> Arguments:
    """Share of the pixels that are more relevant than `eps` times the most relevant one.

    Quantus' threshold, 1e-5, counts every pixel that is not exactly zero.
    """
    return {"eps": eps}


# Robustness: how much the map changes with the image. A change of the prediction does not end it.


@register_quantus(reference="Alvarez-Melis and Jaakkola 2018, arXiv 1806.08049", range=(0.0, math.inf), random=True)
def LocalLipschitzEstimate(shape: Shape, *, nr_samples: Count = 10, perturb_std: Positive = 0.1) -> Arguments:
    """Largest change of the map over the change of the image, Euclidean, under Gaussian noise.

    10 samples: each costs an explanation.
    """
    return {"nr_samples": nr_samples, "perturb_std": perturb_std}


@register_quantus(reference="Yeh et al. 2019, arXiv 1901.09392", range=(0.0, math.inf), random=True)
def MaxSensitivity(shape: Shape, *, nr_samples: Count = 10, lower_bound: Positive = 0.1) -> Arguments:
    """Largest relative change of the map under uniform noise of at most `lower_bound`.

    10 samples: each costs an explanation.
    """
    return {"nr_samples": nr_samples, "lower_bound": lower_bound}


@register_quantus(reference="Yeh et al. 2019, arXiv 1901.09392", range=(0.0, math.inf), random=True)
def AvgSensitivity(shape: Shape, *, nr_samples: Count = 10, lower_bound: Positive = 0.1) -> Arguments:
    """Mean relative change of the map under uniform noise of at most `lower_bound`.

    10 samples: each costs an explanation.
    """
    return {"nr_samples": nr_samples, "lower_bound": lower_bound}


@register_quantus(reference="Montavon et al. 2018, arXiv 1706.07979", range=(0.0, math.inf))
def Continuity(shape: Shape, *, nr_steps: Count = 8) -> Arguments:
    """Largest change of the map, summed over pixels, over the image's Euclidean change, as it slides out to either side.

    8 positions, 7 pixels apart on 28x28; what slides in is the image's darkest value.
    """
    if nr_steps > 2 * shape[2] + 1:
        raise SaqEvalError(f"nr_steps={nr_steps} is more than the {2 * shape[2] + 1} positions of the image")
    return {"nr_steps": nr_steps}


# What is zero counts as `eps_min` where changes are relative to it: a hundredth of a map's and an image's range, since
# with Quantus' 1e-6 the pixels that are exactly zero, most of a digit's, decide alone.
_SMALL = 0.01


def _both_ways(arguments: Arguments, task: Task, positions: np.ndarray, maps: np.ndarray) -> Arguments:
    """Let the noise have mean 0: Quantus' own brightens, from 0.02 to 0.2."""
    noise = {"lower_bound": arguments["lower_bound"], "upper_bound": None}
    return _without("lower_bound", arguments) | {
        "perturb_func_kwargs": noise,
        "return_nan_when_prediction_changes": False,
    }


@register_quantus(
    reference="Agarwal et al. 2022, arXiv 2203.06877", range=(0.0, math.inf), random=True, complete=_both_ways
)
def RelativeInputStability(
    shape: Shape, *, nr_samples: Count = 10, lower_bound: Positive = 0.1, eps_min: Positive = _SMALL
) -> Arguments:
    """Largest relative change of the map over the relative change of the image, under uniform noise.

    10 samples: each costs an explanation.
    """
    return {"nr_samples": nr_samples, "lower_bound": lower_bound, "eps_min": eps_min}


@register_quantus(
    reference="Agarwal et al. 2022, arXiv 2203.06877",
    range=(0.0, math.inf),
    reads="logits",
    random=True,
    complete=_both_ways,
)
def RelativeOutputStability(
    shape: Shape, *, nr_samples: Count = 10, lower_bound: Positive = 0.1, eps_min: Positive = _SMALL
) -> Arguments:
    """Largest relative change of the map over the change of the logits, under uniform noise.

    10 samples: each costs an explanation.
    """
    return {"nr_samples": nr_samples, "lower_bound": lower_bound, "eps_min": eps_min}


@register_quantus(
    reference="Agarwal et al. 2022, arXiv 2203.06877",
    range=(0.0, math.inf),
    random=True,
    singly=True,  # it divides by outputs near zero, which a batch rounds otherwise
    complete=_both_ways,
)
def RelativeRepresentationStability(
    shape: Shape, *, nr_samples: Count = 10, lower_bound: Positive = 0.1, eps_min: Positive = _SMALL
) -> Arguments:
    """Largest relative change of the map over that of all layers' outputs, under uniform noise.

    10 samples: each costs an explanation.
    """
    return {"nr_samples": nr_samples, "lower_bound": lower_bound, "eps_min": eps_min}


# Randomisation: whether the map changes with the network's weights and the class. All images see the same random
# weights: those of convolutions and linear layers, drawn as torch initialises them. The clips of PACT stay.

LayerOrder = Literal["top_down", "bottom_up", "independent"]


def _same_weights(name: str) -> Callable[[Arguments, Task, np.ndarray, np.ndarray], Arguments]:
    return lambda arguments, task, positions, maps: arguments | {"seed": derived_seed(task.seed, name)}


def _mean_of_layers(scores: dict[str, list[float]], task: Task, positions: np.ndarray, _: Arguments) -> np.ndarray:
    """Return the mean over the randomised layers; Quantus' own counts the network as it is among them."""
    return np.mean([scores[layer] for layer in scores if layer != "original"], axis=0)


@register_quantus(
    reference="Adebayo et al. 2018, arXiv 1810.03292",
    range=(-1.0, 1.0),
    random=True,
    fixed={"similarity_func": _spearman},
    complete=_same_weights("MPRT"),
    finish=_mean_of_layers,
)
def MPRT(shape: Shape, *, layer_order: LayerOrder = "top_down") -> Arguments:
    """Rank correlation with the maps of the network as its layers are randomised one after another, mean over layers."""
    return {"layer_order": layer_order}


@register_quantus(
    reference="Hedström et al. 2023, arXiv 2401.06465",
    range=(-1.0, 1.0),
    maps="unscaled maps",  # it takes means of them
    random=True,
    explains_itself=True,
    fixed={"similarity_func": _spearman},
    complete=_same_weights("SmoothMPRT"),
    finish=_mean_of_layers,
)
def SmoothMPRT(
    shape: Shape, *, layer_order: LayerOrder = "bottom_up", nr_samples: Count = 10, noise_magnitude: Positive = 0.1
) -> Arguments:
    """As MPRT, of maps that are means over copies of the image with Gaussian noise.

    10 samples, for each of the layers: each costs an explanation.
    """
    return {"layer_order": layer_order, "nr_samples": nr_samples, "noise_magnitude": noise_magnitude}


@register_quantus(
    reference="Hedström et al. 2023, arXiv 2401.06465",
    range=(-1.0, math.inf),
    reads="probabilities",
    random=True,
    complete=_same_weights("EfficientMPRT"),
)
def EfficientMPRT(shape: Shape) -> Arguments:
    """Relative rise of the map's entropy (histogram of 100 bins) once all layers are randomised."""
    return {}


def _another_class(arguments: Arguments, task: Task, positions: np.ndarray, maps: np.ndarray) -> Arguments:
    with torch.no_grad():
        classes = task.network(torch.from_numpy(task.images[positions]).to(task.device)).shape[1]
    return {"num_classes": classes, "seed": derived_seed(task.seed, "RandomLogit", int(task.indices[positions[0]]))}


@register_quantus(
    reference="Sixt et al. 2020, arXiv 1912.09818",
    range=(-1.0, 1.0),
    random=True,
    singly=True,  # Quantus seeds NumPy's generator itself, for a whole batch
    needs=("explanations",),
    fixed={"similarity_func": _spearman},  # Quantus' default is SSIM of the flattened maps
    complete=_another_class,
)
def RandomLogit(shape: Shape) -> Arguments:
    """Rank correlation of the map with that of another class, drawn at random."""
    return {}


# Axiomatic: properties that an attribution has or has not.


def _within_tolerance(arguments: Arguments, task: Task, positions: np.ndarray, maps: np.ndarray) -> Arguments:
    """Let equality hold up to a tolerance; Quantus asks for equal floats."""
    tolerance = arguments["tolerance"]
    sums = maps.reshape(len(maps), -1).sum(axis=-1)
    return _without("tolerance", arguments) | {
        "output_func": lambda drops: np.where(np.abs(sums - drops) <= tolerance * np.abs(drops), sums, drops)
    }


@register_quantus(
    reference="Sundararajan et al. 2017, arXiv 1703.01365",
    range=(0.0, 1.0),
    reads="logits",
    maps="unscaled maps",
    complete=_within_tolerance,
)
def Completeness(shape: Shape, *, tolerance: Share = 0.05, fill: Fill = "black") -> Arguments:
    """Whether the map's sum is the logit's difference to the fill's, up to a share `tolerance` of it.

    It is about methods that mean their map to sum up to that; of quantized networks, straight-through gradients do not.
    """
    return {"tolerance": tolerance, "fill": fill}
