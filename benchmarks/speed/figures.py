"""The plots of growth, as SVG files in the report's colours."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.speed.growth import AXES, Axis


def draw(growth: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw seconds and peak memory for each axis of a growth table; return the files, `growth-NAME.svg`."""
    return [
        _draw(axis, growth[growth["axis"] == axis.name], folder) for axis in AXES if axis.name in set(growth["axis"])
    ]


def _draw(axis: Axis, rows: pd.DataFrame, folder: Path) -> Path:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from saq_eval.reporting.figures.looks import COLOURS

    # The file is the same for the same numbers: without a date, and with names of parts that are not drawn at random.
    with rc_context({"svg.hashsalt": "saq_eval", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(7.2, 2.8), layout="constrained")
        seconds, memory = figure.subplots(1, 2)
        for (side, points), colour, sign in zip(rows.groupby("side", sort=False), COLOURS[1:], "os^D", strict=False):
            look = {"color": colour, "marker": sign, "label": side, "linewidth": 1.5, "markersize": 5}
            seconds.plot(points["size"], points["seconds_per_unit"], **look)
            memory.plot(points["size"], points["peak_mib"], **look)
        for plot, text in ((seconds, f"seconds for each {axis.per}"), (memory, "peak memory in MiB")):
            plot.set_xscale("log", base=2)
            plot.set_xticks(list(axis.points), labels=[f"{size:,}" for size in axis.points], minor=False)
            plot.set_xlabel(axis.says)
            plot.set_ylabel(text)
            plot.set_ylim(0, 1.1 * plot.dataLim.ymax)
            plot.grid(color="#d8dde3", linewidth=0.6)
        seconds.legend(frameon=False)
        path = folder / f"growth-{axis.name}.svg"
        figure.savefig(path, metadata={"Date": None})
    return path
