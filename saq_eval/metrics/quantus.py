"""Faithfulness and localisation metrics of Quantus, through one adapter.

What Quantus leaves to its caller, or would leave to chance, is settled here and nowhere else:

- Scores must not depend on which images share a batch. Quantus normalises over the batch and draws
  from NumPy's global generator in the order of calls; here maps are normalised image by image, and
  each image draws from its own generator. So an image's score is what Quantus gives for that image
  alone after `numpy.random.seed(derived_seed(seed, metric, index))`.
- Degenerate maps are not scored (NaN): Quantus would count an all-zero map as a hit of the
  pointing game, and fail altogether on a batch that holds nothing else. Nor is localisation where
  the image shows no object.
- The occluding value is the number 0, black, since the words "black" and "mean" mean the batch's
  minimum and mean.
- Localisation asks where the relevance is, of either sign: it gets magnitudes.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from saq_eval.metrics.base import METRICS, Metric, Shape, Task, is_degenerate
from saq_eval.randomness import derived_seed
from saq_eval.torchvision_compat import declare_missing_operators

declare_missing_operators()
import quantus  # noqa: E402  (needs the operators above)

_ALWAYS = {"normalise": False, "abs": False, "return_aggregate": False, "disable_warnings": True}


def register_quantus(
    name: str,
    *,
    reference: str,
    range: tuple[float, float],
    magnitude: bool = False,
    softmax: bool = False,
    settings: Callable[[Shape], dict[str, Any]] = lambda shape: {},
    postprocess: Callable[[np.ndarray, Shape], np.ndarray] = lambda scores, shape: scores,
) -> Metric:
    """Register a Quantus metric under its own name; category and direction are Quantus'.

    Args:
        magnitude: give the metric the maps' absolute values.
        softmax: let it read probabilities instead of logits.
        settings: from an image's shape (c, h, w) to the arguments of the metric's constructor.
        postprocess: from Quantus' scores, float64 (n,), and an image's shape to the scores reported.
    """
    kind = getattr(quantus, name)
    reads = "magnitudes" if magnitude else f"signed maps and {'probabilities' if softmax else 'logits'}"

    def score(task: Task) -> np.ndarray:
        shape = task.images.shape[1:]
        usable = ~is_degenerate(task.maps)
        if kind.evaluation_category is quantus.helpers.enums.EvaluationCategory.LOCALISATION:
            usable &= task.masks.any(axis=(1, 2, 3))
        usable = np.flatnonzero(usable)
        scores = np.full(len(task.maps), np.nan)
        maps = np.abs(task.maps) if magnitude else task.maps
        largest = np.abs(maps).max(axis=(1, 2), keepdims=True)
        for start in np.arange(0, len(usable), task.batch_size):
            chunk = usable[start : start + task.batch_size]
            seeds = [derived_seed(task.seed, name, int(index)) for index in task.indices[chunk]]
            with _draws_per_image(seeds), warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                scores[chunk] = kind(**_ALWAYS, **settings(shape))(
                    model=task.network,
                    x_batch=task.images[chunk],
                    y_batch=task.targets[chunk],
                    a_batch=(maps[chunk] / largest[chunk])[:, None],
                    s_batch=task.masks[chunk],
                    softmax=softmax,
                    channel_first=True,
                    device=task.device,
                    batch_size=len(chunk),
                )
        return postprocess(scores, shape)

    return METRICS.add(
        name,
        Metric(
            name=name,
            category=kind.evaluation_category.value.lower(),
            higher_is_better=kind.score_direction is quantus.helpers.enums.ScoreDirection.HIGHER,
            range=range,
            reference=reference,
            score=score,
            settings=lambda shape: settings(shape) | {"reads": reads},
        ),
    )


@contextlib.contextmanager
def _draws_per_image(seeds: list[int]) -> Iterator[None]:
    """Let `numpy.random.choice`, called for each image in turn again and again, draw from that image's own generator.

    It is replaced for the whole process meanwhile: one comparison at a time per process.
    """
    generators = [np.random.RandomState(seed) for seed in seeds]
    calls = 0

    def choice(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        return generators[(calls - 1) % len(generators)].choice(*args, **kwargs)

    original = np.random.choice
    np.random.choice = choice
    try:
        yield
    finally:
        np.random.choice = original


def _step(shape: Shape, steps: int) -> int:
    """Return how many values to occlude at once to be done in `steps` or a few more equal steps.

    Quantus wants a divisor of the number of pixels.
    """
    channels, height, width = shape
    limit = max(1, channels * height * width // steps)
    return max(step for step in range(1, min(limit, height * width) + 1) if height * width % step == 0)


# For 28x28 images: subsets and steps of 56 pixels, as MetaQuantus uses (Hedström et al. 2023, arXiv 2302.07265).
register_quantus(
    "FaithfulnessCorrelation",
    reference="Bhatt et al. 2020, arXiv 2005.00631",
    range=(-1.0, 1.0),
    settings=lambda shape: {"nr_runs": 100, "subset_size": _step(shape, 14), "perturb_baseline": 0.0},
)
register_quantus(
    "FaithfulnessEstimate",
    reference="Alvarez-Melis and Jaakkola 2018, arXiv 1806.07538",
    range=(-1.0, 1.0),
    settings=lambda shape: {"features_in_step": _step(shape, 28), "perturb_baseline": 0.0},
)
register_quantus(
    "PixelFlipping",
    reference="Bach et al. 2015, doi 10.1371/journal.pone.0130140",
    range=(0.0, 1.0),
    softmax=True,
    settings=lambda shape: {
        "features_in_step": _step(shape, 14),
        "perturb_baseline": 0.0,
        "return_auc_per_sample": True,
    },
    # Quantus' area counts steps; over the number of intervals it is the mean probability along the curve.
    postprocess=lambda area, shape: area / (math.prod(shape) // _step(shape, 14) - 1),
)
register_quantus(
    "PointingGame", reference="Zhang et al. 2018, doi 10.1007/s11263-017-1059-x", range=(0.0, 1.0), magnitude=True
)
register_quantus(
    "RelevanceRankAccuracy", reference="Arras et al. 2022, arXiv 2003.07258", range=(0.0, 1.0), magnitude=True
)
register_quantus(
    "RelevanceMassAccuracy", reference="Arras et al. 2022, arXiv 2003.07258", range=(0.0, 1.0), magnitude=True
)
