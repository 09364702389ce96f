"""The benchmark's report: CSV files, plots, and a page of Markdown, all made from the CSV files and `about.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.speed.agreement import EQUAL, SHARE, SPREAD
from benchmarks.speed.figures import draw
from benchmarks.speed.growth import AXES
from benchmarks.speed.measuring import Measured
from benchmarks.speed.study import Study

DATASETS = {"fashionmnist": "FashionMNIST", "mnist": "MNIST", "digits": "the digits"}
MARKED = re.compile(r"(<!-- speed -->\n).*?(<!-- /speed -->)", re.DOTALL)
SAYS = {
    "suite": "the suite, for these scores alone",
    "script": "a script with Captum and Quantus",
    "bound": "the bare passes of the networks",
    "comparison": "`saq_eval.compare`, whole",
}


def write(
    folder: Path,
    study: Study,
    machine: dict[str, Any],
    sides: Sequence[Measured],
    agreed: pd.DataFrame,
    growth: Iterable[dict[str, Any]],
) -> None:
    """Write `sides.csv`, `stages.csv`, `agreement.csv`, `about.json`, then what `render` makes of them.

    Args:
        growth: rows of `growth.csv`; if there are none, a file that is there stays as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [asdict(side) for side in sides]
    passes = next((side.passes for side in sides if side.side == "bound"), {})
    about = {"study": asdict(study), "machine": machine, "passes": passes}
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    stages = [{"side": s.side, "stage": stage, "processor_s": took} for s in sides for stage, took in s.stages.items()]
    _write_csv(folder / "sides.csv", pd.DataFrame(rows).drop(columns=["stages", "passes"]))
    _write_csv(folder / "stages.csv", pd.DataFrame(stages))
    _write_csv(folder / "agreement.csv", agreed)
    grown = pd.DataFrame(list(growth))
    if len(grown):
        _write_csv(folder / "growth.csv", grown)
    render(folder)


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False, float_format="%.4g")


def render(folder: Path) -> None:
    """Make the plots and `README.md` from the CSV files of a folder."""
    if (folder / "growth.csv").is_file():
        draw(pd.read_csv(folder / "growth.csv"), folder)
    (folder / "README.md").write_text(page(folder), encoding="utf-8")


def refresh(text: str, folder: Path) -> str:
    """Return a text whose part between `<!-- speed -->` and `<!-- /speed -->`, if any, is the paragraph of a folder's files."""
    said = paragraph(folder)
    return MARKED.sub(lambda found: f"{found[1]}{said}\n{found[2]}", text)


def paragraph(folder: Path) -> str:
    """Return the paragraph on speed that the README has, from the files of a folder; one line of Markdown."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    study, machine = Study.from_json(json.dumps(about["study"])), about["machine"]
    sides = pd.read_csv(folder / "sides.csv").set_index("side")
    on_gpu = study.device == "cuda"
    seconds = sides["wall_s" if on_gpu else "processor_s"]
    place = machine["gpu"] if on_gpu else f"one core ({machine['processor']})"
    kind = "wall time" if on_gpu else "processor time"
    said = (
        f"On {place}, {_shape(study)} take {_seconds(seconds['suite'])} of {kind}. A plain script with Captum and Quantus "
        f"takes {_seconds(seconds['script'])} for the same, {_times(seconds['script'] / seconds['suite'])} as long; the "
        f"bare passes of the networks alone take {_seconds(seconds['bound'])}. "
    )
    said += _agreed(pd.read_csv(folder / "agreement.csv"))
    if (folder / "growth.csv").is_file():
        said += _memory(pd.read_csv(folder / "growth.csv"))
    return said


def _shape(study: Study) -> str:
    counts = f"{len(study.networks)} networks × {len(study.methods)} methods × {len(study.metrics)} metrics"
    return f"{counts} × {study.images} images of {DATASETS.get(study.dataset, study.dataset)}"


def _agreed(agreed: pd.DataFrame) -> str:
    maps, wrong = agreed["what"].str.startswith("maps by"), agreed[~agreed["agrees"]]["what"]
    if len(wrong):
        return f"Both give the same, except {', '.join(wrong)}."
    return f"Both give the same maps and scores ({(~maps).sum()} metrics)."


def _memory(growth: pd.DataFrame) -> str:
    rows = growth[(growth["axis"] == "images") & (growth["side"] == "suite")].sort_values("size")
    if len(rows) < 2:
        return ""
    first = rows.iloc[1] if len(rows) > 2 else rows.iloc[0]
    last = rows.iloc[-1]
    change = 100 * (last["peak_mib"] / first["peak_mib"] - 1)
    grows = f"grows by {change:.0f} %" if change >= 0.5 else "does not grow"
    return f" From {first['size']:,.0f} to {last['size']:,.0f} images, peak memory {grows}."


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _times(ratio: float) -> str:
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"


def page(folder: Path) -> str:
    """Return the page of a folder's files, as Markdown."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    study = Study.from_json(json.dumps(about["study"]))
    parts = [
        "# Speed",
        "Made by `make bench`; [`benchmarks/README.md`](../../benchmarks/README.md) says what is measured.",
    ]
    parts += [paragraph(folder), "## Side by side", _sides(pd.read_csv(folder / "sides.csv"), study)]
    parts += [_passes(about["passes"]), "## Where the time goes", _stages(pd.read_csv(folder / "stages.csv"))]
    parts += ["## Agreement", _agreement(pd.read_csv(folder / "agreement.csv"))]
    if (folder / "growth.csv").is_file():
        parts += ["## Growth", *_growth(pd.read_csv(folder / "growth.csv"))]
    machine = "\n".join(f"- {name.replace('_', ' ')}: {value}" for name, value in about["machine"].items())
    parts += ["## The machine", machine]
    return "\n\n".join(parts) + "\n"


def _sides(sides: pd.DataFrame, study: Study) -> str:
    suite = sides.set_index("side").loc["suite"]
    head = ["side", "processor s", "of the suite's", "wall s", "of the suite's", "peak MiB"]
    rows = [
        [
            f"{side.side}: {SAYS[side.side]}",
            f"{side.processor_s:.3g}",
            f"{side.processor_s / suite.processor_s:.2f}",
            f"{side.wall_s:.3g}",
            f"{side.wall_s / suite.wall_s:.2f}",
            f"{side.peak_mib:.0f}",
        ]
        for side in sides.itertuples()
    ]
    if study.device == "cuda":
        head.append("GPU peak MiB")
        rows = [[*row, f"{peak:.0f}"] for row, peak in zip(rows, sides["gpu_peak_mib"], strict=True)]
    return _table(head, rows)


def _passes(passes: dict[str, int]) -> str:
    counted = " and ".join(f"{count:,} images {how}" for how, count in passes.items())
    return (
        f"The bound passes {counted}: draws that do not depend on the map once for a network, curves that two metrics read "
        "once, one order of tied pixels. Equal pictures are counted as often as they are asked for."
    )


def _stages(stages: pd.DataFrame) -> str:
    wide = stages[stages["side"].isin(["suite", "script"])].pivot(index="stage", columns="side", values="processor_s")
    order = stages[stages["side"] == "suite"]["stage"]
    rows = [
        [
            stage,
            f"{wide['suite'][stage]:.2f}",
            f"{wide['script'][stage]:.2f}",
            f"{wide['script'][stage] / wide['suite'][stage]:.1f}",
        ]
        for stage in order
    ]
    note = "Seconds of processor time. What several metrics share is counted for the first of them."
    return note + "\n\n" + _table(["stage", "suite", "script", "script / suite"], rows)


def _agreement(agreed: pd.DataFrame) -> str:
    rows = []
    for row in agreed.itertuples():
        if row.kind == "mean":
            found = f"means differ by {row.difference:.2g}, standard error {row.within:.2g}"
        else:
            found = f"{100 * row.within:.2f} % equal, largest difference {row.difference:.2g}"
        rows.append([row.what, f"{row.compared:,}", f"{row.left_out:,}", found, "yes" if row.agrees else "**no**"])
    note = (
        f"Equal is a difference of at most {EQUAL:g}; maps are divided by their largest magnitude. Both sides agree where "
        f"{100 * SHARE:.0f} % are equal: rounding may swap two pixels' ranks. Left out are images where the order of tied pixels "
        f"may matter, which the script takes as it comes, and those without a score. Random metrics draw differently, so "
        f"means are compared, within {SPREAD:g} standard errors."
    )
    return note + "\n\n" + _table(["what", "compared", "left out", "found", "agrees"], rows)


def _growth(growth: pd.DataFrame) -> Iterable[str]:
    for axis in AXES:
        rows = growth[growth["axis"] == axis.name]
        if len(rows):
            yield f"![{axis.says}: seconds and peak memory](growth-{axis.name}.svg)"
            numbers = ["seconds_per_unit", "processor_s", "peak_mib"]
            head = [axis.says, "side", f"seconds for each {axis.per}", "processor s", "peak MiB"]
            cells = [
                [f"{row['size']:,}", row["side"], *(f"{row[number]:.4g}" for number in numbers)]
                for row in rows.to_dict("records")
            ]
            yield _table(head, cells)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are right-aligned."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))
