"""Robustness: how much the map changes with the image. Noise that changes the prediction counts too."""

from __future__ import annotations

import math

import numpy as np
from torch import nn

from saq_eval.core.errors import SaqEvalError, Unsupported
from saq_eval.core.specs import Count, Positive
from saq_eval.metrics.base import Shape, Task
from saq_eval.metrics.native import robustness as native
from saq_eval.metrics.passes import MetricPasses
from saq_eval.metrics.quantus.adapter import Arguments, register_quantus, without

# The default of `eps_min`, which replaces a zero that a change is divided by: a hundredth of a map's or an image's range.
# With Quantus' 1e-6, pixels that are exactly zero, which are most pixels of a digit, would decide the score alone.
_SMALL = 0.01


def _copies(settings: Arguments, shape: Shape) -> MetricPasses:
    """Return the passes of the metrics under uniform noise, which share the noisy copies' maps."""
    return MetricPasses(maps={_noise(settings): settings["nr_samples"]})


def _noise(settings: Arguments) -> str:
    return f"under uniform noise {settings['nr_samples']} {settings['lower_bound']}"


def _copies_and_logits(settings: Arguments, shape: Shape) -> MetricPasses:
    logits = {f"logits {_noise(settings)}": settings["nr_samples"] + 1}
    return MetricPasses(shared=logits, maps=_copies(settings, shape).maps)


def _by_quantus(settings: Arguments, shape: Shape) -> MetricPasses:
    samples, own = settings["nr_samples"], f"outputs of layers {_noise(settings)}"
    return MetricPasses(each={own: samples + 1}, maps={own: samples})


@register_quantus(
    reference="Alvarez-Melis and Jaakkola 2018, arXiv 1806.08049",
    range=(0.0, math.inf),
    random=True,
    passes=lambda settings, shape: MetricPasses(maps={f"LocalLipschitzEstimate {settings}": settings["nr_samples"]}),
    native=native.local_lipschitz_estimate,
)
def LocalLipschitzEstimate(shape: Shape, *, nr_samples: Count = 10, perturb_std: Positive = 0.1) -> Arguments:
    """Largest change of the map over the change of the image, both Euclidean, under Gaussian noise.

    There are 10 samples; each costs an explanation.
    """
    return {"nr_samples": nr_samples, "perturb_std": perturb_std}


@register_quantus(
    reference="Yeh et al. 2019, arXiv 1901.09392",
    range=(0.0, math.inf),
    random=True,
    draws=native.UNIFORM_NOISE,
    passes=_copies,
    native=native.max_sensitivity,
)
def MaxSensitivity(shape: Shape, *, nr_samples: Count = 10, lower_bound: Positive = 0.1) -> Arguments:
    """Largest relative change of the map under uniform noise of at most `lower_bound`.

    There are 10 samples; each costs an explanation.
    """
    return {"nr_samples": nr_samples, "lower_bound": lower_bound}


@register_quantus(
    reference="Yeh et al. 2019, arXiv 1901.09392",
    range=(0.0, math.inf),
    random=True,
    draws=native.UNIFORM_NOISE,
    passes=_copies,
    native=native.avg_sensitivity,
)
def AvgSensitivity(shape: Shape, *, nr_samples: Count = 10, lower_bound: Positive = 0.1) -> Arguments:
    """Mean relative change of the map under uniform noise of at most `lower_bound`.

    There are 10 samples; each costs an explanation.
    """
    return {"nr_samples": nr_samples, "lower_bound": lower_bound}


@register_quantus(
    reference="Montavon et al. 2018, arXiv 1706.07979",
    range=(0.0, math.inf),
    passes=lambda settings, shape: MetricPasses(maps={f"Continuity {settings}": settings["nr_steps"]}),
    native=native.continuity,
)
def Continuity(shape: Shape, *, nr_steps: Count = 8) -> Arguments:
    """Largest Manhattan change of the map over the image's Euclidean change, as the image slides out to either side.

    There are 8 positions, 7 pixels apart on 28x28. The free pixels get the image's darkest value.
    """
    if nr_steps > 2 * shape[2] + 1:
        raise SaqEvalError(f"nr_steps={nr_steps} is more than the {2 * shape[2] + 1} positions of the image")
    return {"nr_steps": nr_steps}


def _both_ways(arguments: Arguments, task: Task, positions: np.ndarray, maps: np.ndarray) -> Arguments:
    """Make the noise have mean 0. Quantus' own noise, from 0.02 to 0.2, brightens the image."""
    noise = {"lower_bound": arguments["lower_bound"], "upper_bound": None}
    return without("lower_bound", arguments) | {
        "perturb_func_kwargs": noise,
        "return_nan_when_prediction_changes": False,
    }


@register_quantus(
    reference="Agarwal et al. 2022, arXiv 2203.06877",
    range=(0.0, math.inf),
    random=True,
    draws=native.UNIFORM_NOISE,
    complete=_both_ways,
    passes=_copies,
    native=native.relative_input_stability,
)
def RelativeInputStability(
    shape: Shape, *, nr_samples: Count = 10, lower_bound: Positive = 0.1, eps_min: Positive = _SMALL
) -> Arguments:
    """Largest relative change of the map over the relative change of the image, under uniform noise.

    There are 10 samples; each costs an explanation.
    """
    return {"nr_samples": nr_samples, "lower_bound": lower_bound, "eps_min": eps_min}


@register_quantus(
    reference="Agarwal et al. 2022, arXiv 2203.06877",
    range=(0.0, math.inf),
    reads="logits",
    random=True,
    draws=native.UNIFORM_NOISE,
    complete=_both_ways,
    passes=_copies_and_logits,
    native=native.relative_output_stability,
)
def RelativeOutputStability(
    shape: Shape, *, nr_samples: Count = 10, lower_bound: Positive = 0.1, eps_min: Positive = _SMALL
) -> Arguments:
    """Largest relative change of the map over the change of the logits, under uniform noise.

    There are 10 samples; each costs an explanation.
    """
    return {"nr_samples": nr_samples, "lower_bound": lower_bound, "eps_min": eps_min}


def _check_layers(network: nn.Module) -> None:
    """Raise `Unsupported` if Quantus finds no layers inside a network: it counts neither its own class nor sequences."""
    if all(isinstance(module, (type(network), nn.Sequential)) for module in network.modules()):
        raise Unsupported("no layers inside the network whose outputs can be compared")


@register_quantus(
    reference="Agarwal et al. 2022, arXiv 2203.06877",
    range=(0.0, math.inf),
    random=True,
    check=_check_layers,
    passes=_by_quantus,
    singly=True,  # it divides by outputs near zero, which are rounded differently in a batch
    complete=_both_ways,
)
def RelativeRepresentationStability(
    shape: Shape, *, nr_samples: Count = 10, lower_bound: Positive = 0.1, eps_min: Positive = _SMALL
) -> Arguments:
    """Largest relative change of the map over the relative change of all layers' outputs, under uniform noise.

    There are 10 samples; each costs an explanation.
    """
    return {"nr_samples": nr_samples, "lower_bound": lower_bound, "eps_min": eps_min}
