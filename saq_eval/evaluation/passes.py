"""Counting the passes of networks that maps and scores take, before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from saq_eval.attribution import Explainer
from saq_eval.metrics import MetricPasses, Scorer
from saq_eval.metrics.base import Shape
from saq_eval.metrics.passes import NO_PASSES, together

# A pass forward and backward takes 2.7 times as long as one forward, for the cnn on one core (reports/benchmark).
_TIMES_FORWARD = 3


@dataclass(frozen=True)
class Passes:
    """Numbers of passes of an image: forward alone, and forward and backward."""

    forward: int = 0
    backward: int = 0

    def __add__(self, other: Passes) -> Passes:
        return Passes(self.forward + other.forward, self.backward + other.backward)

    def __mul__(self, times: int) -> Passes:
        return Passes(self.forward * times, self.backward * times)

    @property
    def cost(self) -> int:
        """About how many passes forward alone take as long."""
        return self.forward + _TIMES_FORWARD * self.backward


def passes_of_map(explainer: Explainer, shape: Shape) -> Passes:
    """Return the passes that a map by a method takes, of an image of shape (c, h, w)."""
    count = explainer.passes(shape)
    return Passes(backward=count) if explainer.method.with_gradients else Passes(forward=count)


def passes_of_scores(explainer: Explainer, metrics: MetricPasses, shape: Shape, layers: int) -> Passes:
    """Return the passes that metrics take for each map by a method; what all methods share is not counted.

    Args:
        layers: the number of the network's layers whose weights can be drawn anew; see `layers_drawn_anew`.
    """
    further = passes_of_map(explainer, shape) * metrics.explained(layers)
    return Passes(forward=sum(metrics.each.values())) + further


def passes_of_metrics(scorers: Sequence[Scorer], shape: Shape) -> MetricPasses:
    """Return the passes that metrics take together; those of a metric that does not state them are not counted."""
    return together(scorer.passes(shape) or NO_PASSES for scorer in scorers)


def layers_drawn_anew(network: nn.Module) -> int:
    """Return the number of a network's layers whose weights metrics of randomisation draw anew."""
    return sum(hasattr(module, "reset_parameters") for module in network.modules())
