"""The passes of the network that a metric takes for an image, known before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from saq_eval.core.errors import SaqEvalError, in_short

Parts = Mapping[str, int]


@dataclass(frozen=True)
class MetricPasses:
    """Passes of the network for an image, by what is computed.

    The names of parts say what is computed, with all parameters. Parts that have one name are computed once, also for several
    metrics. What is stated holds for maps without tied pixels, and for images all of whose pixels change when they are hidden.
    Where the order of tied pixels matters, a metric takes up to twice as many. Pictures that are equal are passed once, so
    on black backgrounds it may take fewer.

    Attributes:
        each: passes forward, for each map.
        shared: passes forward, once for all methods that explain the network; see `Task.shared`.
        maps: further maps by the method, for each map.
        maps_of_layers: further maps by the method, for each map and each layer whose weights can be drawn anew.
    """

    each: Parts = field(default_factory=dict)
    shared: Parts = field(default_factory=dict)
    maps: Parts = field(default_factory=dict)
    maps_of_layers: Parts = field(default_factory=dict)

    def explained(self, layers: int) -> int:
        """Return the number of further maps, for a network with so many layers whose weights can be drawn anew."""
        return sum(self.maps.values()) + layers * sum(self.maps_of_layers.values())


NO_PASSES = MetricPasses()  # of a metric that reads maps alone


def together(several: Iterable[MetricPasses]) -> MetricPasses:
    """Return what several metrics take together: parts that they share are counted once."""
    each: dict[str, int] = {}
    shared: dict[str, int] = {}
    maps: dict[str, int] = {}
    of_layers: dict[str, int] = {}
    for passes in several:
        each |= passes.each
        shared |= passes.shared
        maps |= passes.maps
        of_layers |= passes.maps_of_layers
    return MetricPasses(each, shared, maps, of_layers)


def stated_by(function: Callable[..., Any], name: str) -> Callable[..., MetricPasses] | None:
    """Return `Metric.passes` of a user's function: its attribute `passes`, a number for each map; `None` without one.

    Args:
        name: the function's name.

    Raises:
        SaqEvalError: if the attribute is no whole number from 0.
    """
    count = getattr(function, "passes", None)
    if count is None:
        return None
    if type(count) is not int or count < 0:
        raise SaqEvalError(f"the passes of the metric {name} are a whole number from 0, not {in_short(count)}")
    return lambda settings, shape: MetricPasses(each={name: count})
