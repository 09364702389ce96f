"""Comparing maps in pairs: how a similarity of two maps becomes a metric with a chance level.

A map takes part in five comparisons: with its own partner, and with four others for the chance level. So each map is first
*described*, once: its ranks, its most relevant pixels, its local means. Then all pairs of a block of images are compared at
once, from their descriptions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from saq_eval.metrics.base import METRICS, Metric, Shape, Task, once_per_task
from saq_eval.metrics.maps import Reading, is_degenerate, read
from saq_eval.networks.memory import at_once

Description: TypeAlias = Any  # an array with one row for each map, or a NamedTuple of such arrays
Compare = Callable[..., Any]
Describe = Callable[..., Description]
Described: TypeAlias = tuple[Description, Description]
OTHERS = 4  # number of other images that each map is compared with for the chance level
# A block of pairs takes about 20 arrays of float64 with a value for each pixel: descriptions, and results on the way.
_BYTES_PER_PIXEL = 160
_MOST_AT_ONCE = 512
_PIXELS_IN_CACHE = 2**16


def register_similarity(
    name: str,
    *,
    reference: str,
    range: tuple[float, float],
    higher_is_better: bool = True,
    describe: Describe | None = None,
    settings: Callable[[int, int], dict[str, Any]] = lambda height, width: {},
) -> Callable[[Compare], Compare]:
    """Register the decorated function as a similarity of maps.

    Without `describe`, the function takes two maps, float64 (h, w), and returns their similarity, a number. With
    `describe`, it takes the descriptions of n maps and those of their n partners, and returns n similarities, float64 (n,).
    The maps are not degenerate. They are magnitudes over their maximum, unless the function has a parameter `maps` with the
    value "raw". The function's keyword-only parameters are the metric's parameters.

    Args:
        name, reference, range, higher_is_better: see `Metric`.
        describe: (maps, float64 (n, h, w), **parameters other than `maps`) -> what is needed of each map, whatever its
            partner is: an array (n, …), or a `NamedTuple` of such arrays.
        settings: (h, w) -> further settings that reports print. It raises `SaqEvalError` if maps of that size cannot be
            compared.
    """

    def register(compare: Compare) -> Compare:
        similarity = (
            _Similarity(name, describe, compare) if describe else _Similarity(name, _as_it_is, _in_turn(compare))
        )

        def score(task: Task, **parameters: Any) -> np.ndarray:
            return _similarities(similarity, task, [0], parameters)[0]

        def chance(task: Task, **parameters: Any) -> np.ndarray:
            return _chance_level(similarity, task, parameters)

        def resolve(parameters: dict[str, Any], shape: Shape) -> dict[str, Any]:
            return settings(*shape[1:]) | parameters | ({} if "maps" in parameters else {"maps": "normalised"})

        METRICS.add(
            name,
            Metric(
                name=name,
                category="similarity",
                higher_is_better=higher_is_better,
                range=range,
                reference=reference,
                score=score,
                declares=compare,
                resolve=resolve,
                chance=chance,
            ),
        )
        return compare

    return register


@dataclass(frozen=True)
class _Similarity:
    """The name of a similarity, and its two functions; see `register_similarity`."""

    name: str
    describe: Describe
    compare: Compare


def _as_it_is(maps: np.ndarray, **_: Any) -> np.ndarray:
    return maps


def _in_turn(compare: Compare) -> Compare:
    """Make a function of two maps one of n pairs of maps."""

    def compare_all(ours: np.ndarray, theirs: np.ndarray, **parameters: Any) -> np.ndarray:
        return np.array([compare(a, b, **parameters) for a, b in zip(ours, theirs, strict=True)])

    return compare_all


def _chance_level(similarity: _Similarity, task: Task, parameters: dict[str, Any]) -> np.ndarray:
    """Return the mean similarity of each image's map and the baseline's maps of four *other* images.

    Such maps share the dataset's framing and the method's texture, but not the image. Image k is paired with images
    k + n/5, k + 2n/5, … (cyclically), regardless of their classes.

    Returns:
        float64 (n,); NaN if the map or all other maps are degenerate, and for a single image.
    """
    count = len(task.maps)
    shifts = sorted({round(count * k / (OTHERS + 1)) for k in range(1, OTHERS + 1)} - {0, count})
    if not shifts:
        return np.full(count, np.nan)
    levels = _similarities(similarity, task, shifts, parameters)
    counts = (~np.isnan(levels)).sum(axis=0)
    return np.divide(np.nansum(levels, axis=0), counts, out=np.full(count, np.nan), where=counts > 0)


def _similarities(similarity: _Similarity, task: Task, shifts: list[int], parameters: dict[str, Any]) -> np.ndarray:
    """Return the similarity of each image's map and the baseline's map of the image that stands `shift` places further on.

    Returns:
        float64 (shifts, n), places counted cyclically; NaN if either map is degenerate.
    """
    usable, theirs_usable = np.flatnonzero(~is_degenerate(task.maps)), ~is_degenerate(task.baseline_maps)
    scores = np.full((len(shifts), len(task.maps)), np.nan)
    blocks = _blocks(task, usable)
    for block in blocks:
        partners = (block + np.array(shifts)[:, None]) % len(task.maps)
        needed = np.arange(len(task.maps)) if len(blocks) == 1 else np.unique(partners)
        needed = needed[theirs_usable[needed]]
        if not len(needed):
            continue
        describe = functools.partial(_described, similarity, task, block, needed, parameters)
        ours, theirs = _kept(task, f"{similarity.name} {parameters}", describe) if len(blocks) == 1 else describe()
        for row, others in zip(scores, partners, strict=True):
            for few in _in_cache(task, np.flatnonzero(theirs_usable[others])):
                of_others = _rows(theirs, np.searchsorted(needed, others[few]))
                row[block[few]] = similarity.compare(_rows(ours, few), of_others, **parameters)
    return scores


def _blocks(task: Task, positions: np.ndarray) -> list[np.ndarray]:
    """Split positions, int (k,) and rising, into blocks of maps that fit into memory.

    For the chance level, an image is compared with images that stand n/5, 2n/5, … places further on. So a block holds images
    that stand so far apart. Then most of the maps that a block needs are those of its own images.
    """
    size = at_once(_BYTES_PER_PIXEL * task.maps[0].size, _MOST_AT_ONCE)
    order = np.argsort((OTHERS + 1) * positions % len(task.maps), kind="stable")
    return [np.sort(positions[order[start : start + size]]) for start in range(0, len(positions), size)]


def _in_cache(task: Task, positions: np.ndarray) -> list[np.ndarray]:
    """Split positions into parts of maps that fit into a processor's cache, which halves the time of photographs."""
    size = max(1, _PIXELS_IN_CACHE // task.maps[0].size)
    return [positions[start : start + size] for start in range(0, len(positions), size)]


def _described(
    similarity: _Similarity, task: Task, ours: np.ndarray, theirs: np.ndarray, parameters: dict[str, Any]
) -> tuple[Description, Description]:
    """Return the descriptions of a task's maps at positions `ours`, and of the baseline's maps at positions `theirs`."""
    reading: Reading = "magnitudes" if parameters.get("maps", "normalised") == "normalised" else "unscaled maps"
    others = {name: value for name, value in parameters.items() if name != "maps"}
    first, second = (
        _together([similarity.describe(read(reading, maps[few]), **others) for few in _in_cache(task, positions)])
        for maps, positions in ((task.maps, ours), (task.baseline_maps, theirs))
    )
    return first, second


def _together(parts: list[Description]) -> Description:
    """Return the descriptions of parts of the maps as one."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return parts[0]._make(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def _kept(task: Task, key: str, describe: Callable[[], Described]) -> Described:
    """Return what `describe` returns, which is kept until another key is asked for: the chance level follows the score."""
    latest: dict[str, Described] = once_per_task(task, "the latest descriptions", dict)
    if key not in latest:
        latest.clear()
        latest[key] = describe()
    return latest[key]


def _rows(description: Description, rows: np.ndarray) -> Description:
    """Return the description of some of the maps that are described, whose places are `rows`, int (k,)."""
    if isinstance(description, np.ndarray):
        return description[rows]
    return description._make(part[rows] for part in description)
