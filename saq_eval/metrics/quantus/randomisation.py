"""Randomisation: whether the map changes with the network's weights and with the class.

The random weights are the same for all images. Weights of convolutions and linear layers are drawn by torch's
initialisation. PACT's clips do not change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from saq_eval.core.randomness import derived_seed
from saq_eval.core.specs import Count, Positive
from saq_eval.metrics.base import Shape, Task
from saq_eval.metrics.passes import MetricPasses
from saq_eval.metrics.quantus.adapter import Arguments, register_quantus, spearman
from saq_eval.metrics.quantus.draws import check_weights

LayerOrder = Literal["top_down", "bottom_up", "independent"]


def _same_weights(name: str) -> Callable[[Arguments, Task, np.ndarray, np.ndarray], Arguments]:
    return lambda arguments, task, positions, maps: arguments | {"seed": derived_seed(task.seed, name)}


def _mean_of_layers(scores: dict[str, list[float]], task: Task, positions: np.ndarray, _: Arguments) -> np.ndarray:
    """Return the mean over the randomised layers. Quantus' own mean also includes the original network."""
    return np.mean([scores[layer] for layer in scores if layer != "original"], axis=0)


@register_quantus(
    reference="Adebayo et al. 2018, arXiv 1810.03292",
    range=(-1.0, 1.0),
    random=True,
    fixed={"similarity_func": spearman},
    passes=lambda settings, shape: MetricPasses(maps={f"MPRT {settings}": 1}, maps_of_layers={f"MPRT {settings}": 1}),
    complete=_same_weights("MPRT"),
    check=check_weights,
    finish=_mean_of_layers,
)
def MPRT(shape: Shape, *, layer_order: LayerOrder = "top_down") -> Arguments:
    """Rank correlation with the network's maps when its layers are randomised one after another, mean over layers."""
    return {"layer_order": layer_order}


def _smooth(settings: Arguments, shape: Shape) -> MetricPasses:
    own, samples = f"SmoothMPRT {settings}", settings["nr_samples"]
    return MetricPasses(maps={own: 2 * samples}, maps_of_layers={own: samples})  # Quantus explains the images twice


@register_quantus(
    reference="Hedström et al. 2023, arXiv 2401.06465",
    range=(-1.0, 1.0),
    maps="unscaled maps",  # the metric takes means of them
    random=True,
    explains_itself=True,
    fixed={"similarity_func": spearman},
    passes=_smooth,
    complete=_same_weights("SmoothMPRT"),
    check=check_weights,
    finish=_mean_of_layers,
)
def SmoothMPRT(
    shape: Shape, *, layer_order: LayerOrder = "bottom_up", nr_samples: Count = 10, noise_magnitude: Positive = 0.1
) -> Arguments:
    """MPRT of maps that are means over copies of the image with Gaussian noise.

    There are 10 samples for each layer; each sample costs an explanation.
    """
    return {"layer_order": layer_order, "nr_samples": nr_samples, "noise_magnitude": noise_magnitude}


@register_quantus(
    reference="Hedström et al. 2023, arXiv 2401.06465",
    range=(-1.0, math.inf),
    reads="probabilities",
    random=True,
    passes=lambda settings, shape: MetricPasses(each={"EfficientMPRT": 2}, maps={"EfficientMPRT": 2}),
    complete=_same_weights("EfficientMPRT"),
    check=check_weights,
)
def EfficientMPRT(shape: Shape) -> Arguments:
    """Relative rise of the map's entropy (histogram of 100 bins) after all layers have been randomised."""
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
    fixed={"similarity_func": spearman},  # Quantus' default is SSIM of the flattened maps
    passes=lambda settings, shape: MetricPasses(each={"RandomLogit": 1}, maps={"RandomLogit": 1}),
    complete=_another_class,
)
def RandomLogit(shape: Shape) -> Arguments:
    """Rank correlation of the map with the map for another class, drawn at random."""
    return {}
