"""Result tables, each declared once: what a row is, what its columns hold, what tells it from others, how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from saq_eval.core.registry import Registry

if TYPE_CHECKING:
    from saq_eval.analysis.results import Results

Kind = Literal["text", "number", "truth"]
Columns = Mapping[str, Kind]
Make = Callable[["Results"], pd.DataFrame]


@dataclass(frozen=True)
class ResultTable:
    """A table of a comparison.

    Attributes:
        name: of the attribute of `saq_eval.Comparison` and of the CSV file.
        row: what a row is, for lists: "network × method × metric".
        holds: what the other columns hold, in a sentence.
        columns: by name, in order, "text", "number" (empty where undefined) or "truth".
        key: the columns that tell a row from all others; the dataset is one and the same.
        make: results -> the frame.
    """

    name: str
    row: str
    holds: str
    columns: Columns
    key: tuple[str, ...]
    make: Make

    def frame(self, rows: list[dict[str, Any]], measured: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return the frame of rows and of what was measured of all of them, by column; all columns, in order."""
        if not rows:
            return pd.DataFrame(columns=list(self.columns))
        return pd.DataFrame(rows).assign(**measured or {})[list(self.columns)]


TABLES: Registry[ResultTable] = Registry("result table")


def result_table(name: str, *, row: str, holds: str, columns: Columns, key: tuple[str, ...]) -> Callable[[Make], Make]:
    """Register the decorated function, results -> frame, as what makes a table; see `ResultTable` for the arguments.

    A frame with other columns, or with two rows of one key, is a fault of the function: `RuntimeError`.
    """

    def register(make: Make) -> Make:
        TABLES.add(name, ResultTable(name, row, holds, columns, key, make))
        return make

    return register


def make_tables(results: Results) -> dict[str, pd.DataFrame]:
    """Return all tables by name, each checked against its declaration."""
    return {name: checked(TABLES[name], TABLES[name].make(results)) for name in TABLES}


def checked(table: ResultTable, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame as it is.

    Raises:
        RuntimeError: names the columns that are not as declared, or the first row that is there twice.
    """
    if list(frame.columns) != list(table.columns):
        raise RuntimeError(f"the table {table.name} has the columns {list(frame.columns)}, not {list(table.columns)}")
    twice = frame.duplicated(list(table.key))
    if twice.any():
        row = tuple(frame.loc[twice, list(table.key)].iloc[0])
        raise RuntimeError(f"the table {table.name} has two rows for {row}")
    return frame


# Columns that several tables have.
MODEL: Columns = {
    **dict.fromkeys(("dataset", "model", "scheme", "weight_bits", "activation_bits", "training"), "text"),
    "seed": "number",
    "role": "text",
}
CELL: Columns = {"method": "text", "metric": "text", "category": "text"}
MEAN: Columns = dict.fromkeys(("mean", "ci_low", "ci_high"), "number")
TESTED: Columns = {
    **dict.fromkeys(("delta", "delta_ci_low", "delta_ci_high", "p_value", "p_adjusted"), "number"),
    **dict.fromkeys(("effect_size", "margin", "p_equivalence"), "number"),
    "verdict": "text",
    **dict.fromkeys(("retrained", "retraining_low", "retraining_high"), "number"),
    "retraining": "text",
    **dict.fromkeys(("networks_needed", "images_needed"), "number"),
}
