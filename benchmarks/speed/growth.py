"""How time and memory grow with the number of images, the number of methods, and the size of the images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.speed.measuring import Measured, run_side
from benchmarks.speed.study import Side, Study

# In the order in which they are added; the suite's set "standard", dear methods last.
METHODS = (
    *("saliency", "integrated_gradients", "input_x_gradient", "gradcam", "guided_backprop"),
    *("deeplift", "lrp", "smoothgrad", "gradient_shap", "occlusion"),
)
CHEAP = ("PixelFlipping", "PointingGame", "Sparseness", "SSIM")
HIDING = ("FaithfulnessCorrelation", "PixelFlipping", "SymmetricRelevanceGain", "SSIM")


@dataclass(frozen=True)
class Axis:
    """What grows.

    Attributes:
        name: also that of the plot's file.
        says: the label of the plot's axis.
        points: the sizes.
        study: a point's study: (study of the benchmark, size) -> study.
        sides: what is measured.
        work: (study) -> the number of units of work that seconds are divided by.
        per: the unit, as text.
    """

    name: str
    says: str
    points: tuple[int, ...]
    study: Callable[[Study, int], Study]
    sides: tuple[Side, ...]
    work: Callable[[Study], int]
    per: str


def _of_images(study: Study, count: int) -> Study:
    return replace(study, images=count, networks=("cnn-fp32", "cnn-w2a2"), methods=("saliency",), metrics=CHEAP)


def _of_methods(study: Study, count: int) -> Study:
    return replace(study, images=16, networks=("cnn-fp32", "cnn-w2a2"), methods=METHODS[:count], metrics=HIDING)


def _of_sizes(study: Study, side: int) -> Study:
    return replace(
        study,
        images=2,
        networks=("resnet18",),
        methods=("saliency", "input_x_gradient"),
        metrics=("FaithfulnessCorrelation", "PixelFlipping", "SSIM"),
        side=side,
    )


AXES = (
    Axis(
        "images",
        "images",
        (64, 256, 1024, 4096),
        _of_images,
        ("suite", "bound"),
        lambda study: study.images * len(study.networks),
        "image and network",
    ),
    Axis(
        "methods",
        "attribution methods",
        (1, 2, 5, 10),
        _of_methods,
        ("suite", "bound"),
        lambda study: study.images * len(study.networks) * len(study.methods),
        "map",
    ),
    Axis(
        "sizes",
        "pixels a side of an image",
        (28, 56, 112, 224),
        _of_sizes,
        ("suite", "bound"),
        lambda study: study.images,
        "image",
    ),
)


def quick(axis: Axis) -> Axis:
    """Return an axis with two small points, for tests."""
    few = {"images": (8, 16), "methods": (1, 2), "sizes": (28, 32)}
    return replace(axis, points=few[axis.name])


def grow(study: Study, axis: Axis, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Measure an axis; yield a row of growth.csv for each point and side.

    Columns: axis, size, side, processor_s, wall_s, seconds_per_unit (of wall time on a GPU, else of processor time),
    peak_mib, gpu_peak_mib.
    """
    for size in axis.points:
        at = axis.study(study, size)
        for side in axis.sides:
            say(f"growth: {size} {axis.says}, {side}")
            with tempfile.TemporaryDirectory(prefix="saq_eval-benchmark-") as folder:
                yield _row(axis, size, at, run_side(side, at, Path(folder) / "arrays.npz"))


def _row(axis: Axis, size: int, study: Study, measured: Measured) -> dict[str, Any]:
    seconds = measured.processor_s if study.device == "cpu" else measured.wall_s
    return {
        "axis": axis.name,
        "size": size,
        "side": measured.side,
        "processor_s": measured.processor_s,
        "wall_s": measured.wall_s,
        "seconds_per_unit": seconds / axis.work(study),
        "peak_mib": measured.peak_mib,
        "gpu_peak_mib": measured.gpu_peak_mib,
    }
