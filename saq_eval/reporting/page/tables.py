"""The page's tables: the columns of result tables that are shown, and their format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from saq_eval.analysis.tables import TABLES
from saq_eval.analysis.verdicts import verdict_table
from saq_eval.reporting.figures import tradeoff_table
from saq_eval.reporting.names import visible
from saq_eval.reporting.verdicts import VERDICTS

# The tables with a function in this module, and the scores, which are too many for a page.
LOOKS = {
    *("scores", "summary", "effects", "conditions", "controls", "curves", "agreement", "robustness"),
    *("models", "layers", "findings"),
}
ROWS = 1500  # the page shows only a table's first rows, since more make browsers slow; the CSV file has all rows

Tables = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Column:
    """A column: the source of its values and their format.

    Attributes:
        key: the column's name in the frame.
        title: the title that the page shows.
        kind: "text", "mark" (text that is aligned like numbers), "verdict" (a verdict, in colour), or a format of
            numbers ("+.3f"); NaN gives an empty cell.
        factor: numbers are multiplied by it.
    """

    key: str
    title: str
    kind: str = ".4g"
    factor: float = 1

    @property
    def is_text(self) -> bool:
        return self.kind in ("text", "verdict")

    def cells(self, frame: pd.DataFrame) -> list[str]:
        values = frame[self.key]
        if self.is_text or self.kind == "mark":
            return ["" if pd.isna(value) else visible(value) for value in values]
        whole = self.kind == "d"  # a column of whole numbers with an empty cell holds floats
        return [
            "" if pd.isna(value) else format(int(value) if whole else self.factor * value, self.kind)
            for value in values
        ]


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        name: the name of the page's element, and of the file that its button exports.
        caption: what a row is.
        columns: the columns; the first names the row.
        rows: the cells' texts.
        total: the number of rows without the limit `ROWS`.
        source: the CSV file with all rows.
    """

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    total: int
    source: str = ""


def make_table(name: str, caption: str, columns: Sequence[Column], frame: pd.DataFrame, source: str = "") -> Table:
    """Return a table of those columns that the frame has; the dataset is shown only if there are several."""
    several = "dataset" in frame and frame["dataset"].nunique() > 1
    columns = [column for column in columns if column.key in frame and (several or column.key != "dataset")]
    some = frame.iloc[:ROWS]
    rows = list(zip(*(column.cells(some) for column in columns), strict=True))
    return Table(name, caption, columns, rows, len(frame), source or f"{name}.csv")


def text(key: str, title: str = "") -> Column:
    return Column(key, title or key, "text")


_WHOSE = (text("model", "network"), text("dataset"), text("method"), text("metric"))
_DELTA = (
    Column("delta", "difference", "+.3g"),
    Column("delta_ci_low", "from", "+.3g"),
    Column("delta_ci_high", "to", "+.3g"),
)
_TESTED = (
    Column("p_adjusted", "adjusted p", ".2g"),
    Column("effect_size", "effect size", "+.2f"),
    Column("margin", "margin", ".3g"),
)
_VERDICT = Column("verdict", "verdict", "verdict")
_SCOPE = text("scope")
_RETRAINING = (
    text("retraining", "beside retraining"),
    Column("retraining_low", "band from", "+.3g"),
    Column("retraining_high", "to", "+.3g"),
)
_MEAN = (Column("n", "images", "d"), Column("mean", "mean"), Column("ci_low", "low"), Column("ci_high", "high"))
_SIMILARITY = tuple(Column(key, key, ".3f") for key in ("chance", "corrected", "floor", "noise"))


def networks(tables: Tables) -> Table:
    columns = (
        text("model", "network"),
        *(text("dataset"), text("scheme"), text("training")),
        Column("seed", "seed", "d"),
        *(Column("weight_bits", "weight bits", "mark"), Column("activation_bits", "activation bits", "mark")),
        Column("first_last_bits", "first and last layer", "mark"),
        Column("accuracy", "accuracy %", ".2f", 100),
        Column("accuracy_delta", "Δ points", "+.2f", 100),
        Column("flips", "flips %", ".2f", 100),
        Column("kl", "KL in nats", ".4f"),
        Column("parameters", "parameters", "d"),
        *(Column("size_kib", "KiB", ".1f"), Column("file_kib", "file KiB", ".1f")),
        Column("compression_ratio", "compression ×", ".2f"),
        Column("bops", "MBOPs", ".0f", 1e-6),
        Column("surrogate_gap", "surrogate gap %", ".1f", 100),
    )
    return make_table("models", "The networks, measured anew on the test images.", columns, tables["models"])


def layers(tables: Tables) -> Table:
    columns = (
        text("layer"),
        text("model", "network"),
        *(text("dataset"), text("shape")),
        *(Column("weight_bits", "weight bits", "mark"), Column("activation_bits", "activation bits", "mark")),
        *(Column("alpha", "α", ".3f"), Column("kib", "KiB", ".2f")),
        *(Column("mmacs", "MMACs", ".3f"), Column("mbops", "MBOPs", ".1f")),
    )
    return make_table("layers", "Every layer of every network.", columns, tables["layers"])


def findings(tables: Tables) -> Table:
    columns = (
        *(text("claim"), text("dataset"), text("networks"), _VERDICT, text("words", "what the data say")),
        *(text("scope"), Column("seeds", "seeds", "d"), text("retraining", "beside retraining")),
        *(Column("without_low", "without one method, from", "+.2f"), Column("without_high", "to", "+.2f")),
        *(Column("p_adjusted", "adjusted p", ".2g"), Column("p_opposite", "of the opposite", ".2g")),
    )
    return make_table("findings", "The claims, and what the data say of each.", columns, tables["findings"])


def tradeoff(tables: Tables) -> Table:
    frame = tradeoff_table(tables)
    frame["on_front"] = frame["front"].map({True: "yes", False: ""})
    columns = (
        *(text("model", "network"), text("dataset"), text("metric")),
        Column("accuracy", "accuracy %", ".2f", 100),
        *(Column("mean", "score"), Column("ci_low", "low"), Column("ci_high", "high")),
        Column("on_front", "on the front", "mark"),
    )
    return make_table(
        "tradeoff", "A network's accuracy and a metric's mean over methods.", columns, frame, "summary.csv"
    )


def effects(tables: Tables) -> Table:
    columns = (
        *(text("networks"), text("dataset"), text("training"), text("step"), text("method"), text("metric")),
        *(_VERDICT, *_DELTA, *_RETRAINING, _SCOPE, Column("seeds", "seeds", "d"), *_MEAN),
        *(Column("floor", "floor", ".3f"), *_TESTED),
        *(Column("networks_needed", "seeds needed", ".0f"), Column("images_needed", "images needed", ".0f")),
    )
    caption = "What sets networks that differ in the seed alone apart, step by step, by method and metric."
    return make_table("effects", caption, columns, tables["effects"])


def verdicts(tables: Tables) -> Table:
    frame = verdict_table(tables)
    frame = frame[frame["method"] == ""]
    frame = frame.assign(share=[f"{row.agreeing} of {row.methods}" for row in frame.itertuples()])
    columns = (
        *(text("networks"), text("dataset"), text("step"), text("metric"), text("category"), _VERDICT, _SCOPE),
        *(Column("delta", "mean difference", "+.3g"), Column("share", "methods that say so", "mark")),
        Column("beyond", "beyond retraining", "d"),
    )
    caption = "The verdict of networks that differ in the seed alone, by step and metric, over all methods."
    return make_table("verdicts", caption, columns, frame, "effects.csv")


def summary(tables: Tables) -> Table:
    columns = (
        *(*_WHOSE, _VERDICT, *_DELTA, *_RETRAINING, _SCOPE, *_MEAN),
        Column("degenerate", "constant maps", "d"),
        *(*_SIMILARITY, *_TESTED),
    )
    frame = tables["summary"]
    frame = frame[frame["role"] == "model"]
    return make_table("summary", "A network's score by method and metric.", columns, frame)


def conditions(tables: Tables) -> Table:
    """Return the conditions side by side, so that a row shows whether a difference depends on the choice of images."""
    frame = tables["conditions"]
    names = list(dict.fromkeys(frame["condition"]))
    keys = ["dataset", "model", "method", "metric"]
    values = ["n", "delta", "delta_ci_low", "delta_ci_high", "verdict"]
    wide = frame.pivot_table(index=keys, columns="condition", values=values, aggfunc="first", sort=False)
    wide.columns = [f"{value} {condition}" for value, condition in wide.columns]
    columns = [*_WHOSE]
    for name in names:
        parts = (_VERDICT, *_DELTA, Column("n", "images", ".0f"))
        columns += [replace(part, key=f"{part.key} {name}", title=f"{visible(name)}: {part.title}") for part in parts]
    caption = "The differences over those images alone on which both networks are right, or agree."
    return make_table("conditions", caption, columns, wide.reset_index())


def curves(tables: Tables) -> Table:
    """Return each network's curve, as the mean over methods, with a column for each step."""
    frame = tables["curves"]
    frame = frame[frame["role"] == "model"]
    keys = ["model", "dataset", "metric"]
    wide = frame.pivot_table(index=keys, columns="step", values="mean", aggfunc="mean", sort=False)
    steps = sorted(wide.columns)
    wide = wide[steps].set_axis([str(step) for step in steps], axis=1).reset_index()
    columns = (
        *(text("model", "network"), text("dataset"), text("metric")),
        *(Column(str(step), f"{100 * step:.0f} %", ".3f") for step in steps),
    )
    return make_table("curves", "A network's mean score, over methods, by pixels removed.", columns, wide)


def controls(tables: Tables) -> Table:
    """Return how often each metric separates real maps from controls."""
    columns = (
        *(text("metric"), text("dataset"), text("control")),
        *(Column("better", "real map better", "d"), Column("unclear", "unclear", "d")),
        *(
            Column("worse", "control better", "d"),
            Column("cells", "of", "d"),
            Column("tells", "tells them apart", "mark"),
        ),
    )
    caption = "In how many cells, networks × methods, the metric prefers the real map."
    return make_table("controls", caption, columns, told_apart(tables["controls"]))


def plain(name: str, frame: pd.DataFrame) -> Table:
    """Return a table without a function in this module, such as one of another package, with all of its columns."""
    declared = TABLES[name]
    columns = [text(key) if kind == "text" else Column(key, key, ".4g") for key, kind in declared.columns.items()]
    return make_table(name, f"By {declared.row}: {declared.holds}.", columns, frame)


def told_apart(frame: pd.DataFrame) -> pd.DataFrame:
    """Count the verdicts on the controls.

    Returns:
        One row per dataset × metric × control: `better`, `worse`, `unclear`, `cells` and `tells`: "yes", or "no" if
        the metric prefers the real map in fewer than half of the cells.
    """
    rows: list[dict[str, Any]] = []
    for (dataset, metric, control), cells in frame.groupby(["dataset", "metric", "control"], sort=False):
        found = cells["verdict"].value_counts()
        better, worse = int(found.get("better", 0)), int(found.get("worse", 0))
        rows.append(
            {
                "dataset": dataset,
                "metric": metric,
                "control": control,
                "better": better,
                "worse": worse,
                "unclear": len(cells) - better - worse,
                "cells": len(cells),
                "tells": "yes" if 2 * better >= len(cells) else "no",
            }
        )
    columns = ["dataset", "metric", "control", "better", "worse", "unclear", "cells", "tells"]
    return pd.DataFrame(rows, columns=columns)


def robustness(tables: Tables) -> Table:
    columns = (
        *(text("method"), text("dataset"), Column("rank", "rank", "d")),
        *(Column("corrected", "similarity above chance", ".3f"), Column("ci_low", "low", ".3f")),
        *(Column("ci_high", "high", ".3f"), Column("n", "maps", "d")),
    )
    caption = "Methods by how well their maps survive quantization; 1 is the same map, 0 what two images' maps share."
    return make_table("robustness", caption, columns, tables["robustness"])


def agreement(tables: Tables) -> Table:
    columns = (
        *(text("metric"), text("dataset"), text("other", "other metric")),
        *(Column("tau", "Kendall's τ", "+.2f"), Column("n", "networks", "d")),
    )
    return make_table("agreement", "How alike two metrics rank the networks.", columns, tables["agreement"])


def verdict_sign(verdict: str) -> str:
    """Return a verdict's sign; "" for a word that is not a verdict."""
    return VERDICTS[verdict].sign if verdict in VERDICTS else ""
