"""The declaration of result tables: what a row is, what its columns hold, its key, and the function that makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from saq_eval.core.errors import check_choice, unknown_name
from saq_eval.core.paths import check_name
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
        name: the name of the attribute of `saq_eval.Comparison` and of the CSV file.
        row: what a row is, for lists: "network × method × metric".
        holds: what the other columns hold, in a sentence.
        columns: the kind of each column by name, in order: "text", "number" (empty where undefined) or "truth".
        key: the columns that identify a row; the dataset is not among them, because a table has only one.
        make: results -> the frame.
    """

    name: str
    row: str
    holds: str
    columns: Columns
    key: tuple[str, ...]
    make: Make

    def frame(self, rows: list[dict[str, Any]], measured: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Return a frame with all columns, in order, from rows and from further columns by name (`measured`)."""
        if not rows:
            return pd.DataFrame(columns=list(self.columns))
        return pd.DataFrame(rows).assign(**measured or {})[list(self.columns)]


TABLES: Registry[ResultTable] = Registry("result table")


def result_table(name: str, *, row: str, holds: str, columns: Columns, key: tuple[str, ...]) -> Callable[[Make], Make]:
    """Register the decorated function, results -> frame, as a result table; see `ResultTable` for the arguments.

    `make_tables` raises `RuntimeError` if the function returns a frame with other columns or with two rows of one key.

    Raises:
        SaqEvalError: a name that is taken or that is no name of a file, an unknown kind of column, a key that is no column.
    """
    check_name("result table", name)
    for kind in columns.values():
        check_choice("kind of column", kind, Kind)
    for column in key:
        if column not in columns:
            raise unknown_name("column", column, columns)

    def register(make: Make) -> Make:
        TABLES.add(name, ResultTable(name, row, holds, columns, key, make))
        return make

    return register


def make_tables(results: Results) -> dict[str, pd.DataFrame]:
    """Return all tables by name, each checked against its declaration."""
    return {name: checked(TABLES[name], TABLES[name].make(results)) for name in TABLES}


def checked(table: ResultTable, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame unchanged if it agrees with its table's declaration.

    Raises:
        RuntimeError: if its columns are not as declared, or a key occurs twice; the message names the columns or the key.
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
