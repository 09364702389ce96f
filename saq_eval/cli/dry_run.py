"""The output of `saq-eval compare --dry-run`: what a comparison would cost."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

from saq_eval.cli.console import print_table

if TYPE_CHECKING:
    from saq_eval.evaluation.estimate import Estimate
    from saq_eval.evaluation.speed import Speed


def tell_cost(arguments: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what a comparison would cost, as a table or as JSON.

    Args:
        arguments: those of `saq_eval.compare`.
    """
    import saq_eval
    from saq_eval.reporting.formats import check_formats

    check_formats(arguments.get("formats", ()))
    cost = saq_eval.estimate(**arguments)
    if as_json:
        typer.echo(json.dumps(_as_record(cost), indent=2, ensure_ascii=False))
        return
    print_table(("what", "how much"), _rows(cost))
    for note in cost.notes:
        typer.echo(f"Note: {note}.")


def _rows(cost: Estimate) -> Iterator[tuple[str, str]]:
    yield (
        "networks × methods × metrics",
        f"{cost.networks} × {cost.methods} × {cost.metrics}, on {cost.images:,} images",
    )
    yield "cells", f"{cost.cells:,}"
    yield "cells in the store already", f"{cost.stored:,}"
    yield "cells to compute", f"{cost.missing:,}"
    yield "sets of maps to compute", f"{cost.maps:,}"
    yield "passes forward", f"{cost.forward:,}"
    yield "passes forward and backward", f"{cost.backward:,}"
    yield "added to the store", size(cost.bytes)
    for speed in cost.speeds:
        rates = _rates(speed)
        both = "" if rates["backward"] is None else f", {rates['backward']:,} forward and backward"
        named = "of the networks" if len(cost.speeds) == 1 else f"of {len(speed.networks)} of the networks"
        yield f"passes per second {named}", f"{rates['forward']:,} forward{both}, {speed.images} images at once"
    workers = "one process" if cost.workers == 1 else f"{cost.workers} processes"
    yield "expected time here", f"{duration(cost.seconds)}, with {workers}"


def _as_record(cost: Estimate) -> dict[str, Any]:
    speeds = [
        {"networks": len(speed.networks), "images_at_once": speed.images, "passes_per_second": _rates(speed)}
        for speed in cost.speeds
    ]
    return {**vars(cost), "missing": cost.missing, "speeds": speeds, "notes": list(cost.notes)}


def _rates(speed: Speed) -> dict[str, float | None]:
    """Return passes per second, with three digits; `None` where there are none."""
    seconds = {"forward": speed.forward, "backward": speed.backward}
    return {name: _rounded(1 / took) if took > 0 else None for name, took in seconds.items()}


def _rounded(value: float) -> float:
    digits = 2 - math.floor(math.log10(value))
    return round(value, digits) if digits > 0 else int(round(value, digits))


def size(count: float) -> str:
    """Return a number of bytes as text, such as "3.2 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:,.3g} TiB" if count < 1000 else f"{count:,.0f} TiB"


def duration(seconds: float) -> str:
    """Return a time as text, such as "about 3 minutes"."""
    units = (("second", 1, 100), ("minute", 60, 7200), ("hour", 3600, 48 * 3600), ("day", 86400, math.inf))
    unit, length = next((unit, length) for unit, length, limit in units if seconds < limit)
    count = max(1, round(seconds / length))
    return f"about {count:,} {unit}{'s' if count > 1 else ''}"
