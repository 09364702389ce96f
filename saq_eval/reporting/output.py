"""Writing a result to a folder, completely or not at all, and reading it back."""

from __future__ import annotations

import csv
import json
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd

from saq_eval.analysis.record import Record, check_record
from saq_eval.analysis.schema import Columns
from saq_eval.analysis.tables import TABLES
from saq_eval.core.errors import CannotWrite, SaqEvalError, first_line
from saq_eval.core.paths import check_file, user_path
from saq_eval.reporting.formats import check_formats, write_formats
from saq_eval.reporting.gallery import Gallery
from saq_eval.reporting.page.render import Run, render

PAGE, RECORD, GALLERY = "report.html", "run.json", "gallery.npz"
_MOST_BYTES = 2 * 2**30  # of a file of a comparison
_MOST_COLUMNS = 1000  # of a table

# A spreadsheet treats a cell that begins like this as a formula. An apostrophe before it makes it text.
_FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r\n]")
_GUARDED = re.compile(r"'+[=+\-@＝＋－＠\t\r\n]")


def files() -> list[str]:
    """Return the names of the files that a comparison writes."""
    return [*(f"{name}.csv" for name in TABLES), PAGE, RECORD, GALLERY]


def check_writable(folder: Path) -> None:
    """Raise `SaqEvalError` unless files can be written to a folder, which may not exist yet; no file is left behind."""
    existing = folder
    try:
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        for name in files():
            if (folder / name).is_dir():
                raise IsADirectoryError(None, f"its {name} is a folder")
        with tempfile.TemporaryDirectory(dir=existing, prefix=".partial-"):
            pass
    except OSError as error:
        raise SaqEvalError(f"the output folder {folder} cannot be written: {error.strerror}") from error


def write_report(
    folder: Path,
    tables: dict[str, pd.DataFrame],
    run: Record,
    gallery: Gallery,
    formats: Sequence[str] = (),
) -> list[Path]:
    """Write a comparison's files: a CSV file for each table, the page, the record and the gallery.

    All files are written completely under other names before the first is moved to its own name. So there is never an
    incomplete file.

    Args:
        folder: created if it does not exist.
        tables: the tables by name; see `saq_eval.analysis.schema.TABLES`.
        run: the record: configuration, seeds, versions, hashes, wall times, and "headline", the first sentences.
        gallery: the images that the page shows.
        formats: formats in addition to CSV, from `saq_eval.reporting.formats.FORMATS`.

    Returns:
        The files' paths.

    Raises:
        SaqEvalError: if the folder cannot be written, or for an unknown format.
    """
    formats = check_formats(formats)
    start = time.perf_counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
            fresh = Path(partial)
            for name, table in tables.items():
                write_csv(table, TABLES[name].columns, fresh / f"{name}.csv")
            write_formats(fresh, tables, run, formats)
            gallery.write(fresh / GALLERY)
            _write_text(fresh / PAGE, render([(tables, run, gallery)]))
            seconds = run["wall_seconds"] | {"reporting": round(time.perf_counter() - start, 3)}
            record = json.dumps({**run, "wall_seconds": seconds}, indent=2, ensure_ascii=False)
            _write_text(fresh / RECORD, record + "\n")
            return [file.replace(folder / file.name) for file in sorted(fresh.iterdir())]
    except OSError as error:
        raise CannotWrite(folder, error) from error


def read_run(folder: Path) -> Run:
    """Read the tables, the record and the gallery that `write_report` wrote; users may delete the large "scores".

    Raises:
        SaqEvalError: if the folder does not hold a finished comparison.
    """
    try:
        for name in files():
            if name == RECORD or (folder / name).exists():
                check_file(folder / name, f"{folder} holds no finished comparison", _MOST_BYTES)
        run = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        there = {name: folder / f"{name}.csv" for name in TABLES if (folder / f"{name}.csv").exists()}
        tables = {name: read_csv(file, TABLES[name].columns) for name, file in there.items()}
    except SaqEvalError:
        raise
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise SaqEvalError(f"{folder} holds no finished comparison: {' '.join(str(error).split())}") from error
    for name in ("summary", "effects", "models", "layers", "curves"):
        if name not in tables:
            raise SaqEvalError(f"{folder} holds no finished comparison: there is no {name}.csv")
    for name, column, what in (
        ("effects", "networks", "networks"),
        ("models", "networks", "networks"),
        ("effects", "step", "steps"),
    ):
        if column not in tables[name]:
            raise SaqEvalError(f"{folder} was written by an earlier version: its {name}.csv does not tell {what} apart")
    return tables, check_record(run, folder / RECORD), Gallery.read(folder / GALLERY)


def rerender(folders: Sequence[Path], page: Path | None = None, formats: Sequence[str] = ()) -> list[Path]:
    """Write the page of one or several finished comparisons again, from their folders, without computing anything.

    Args:
        folders: folders that `write_report` wrote.
        page: the file to write; by default `report.html` in the folder, or `reports/report.html` for several folders.
        formats: for a single comparison, further formats to write; see `write_report`.

    Returns:
        The files' paths.

    Raises:
        SaqEvalError: a folder without a finished comparison, formats for several comparisons, or a file that cannot be
            written.
    """
    formats = check_formats(formats)
    if formats and len(folders) > 1:
        raise SaqEvalError("other formats are of one comparison: name one folder, or no formats")
    folders = [user_path(folder) for folder in folders]
    runs = [read_run(folder) for folder in folders]
    page = user_path(page) if page else (folders[0] if len(folders) == 1 else Path("reports")) / PAGE
    try:
        text = render(runs)
    except (jinja2.TemplateError, LookupError, TypeError, ValueError, AttributeError) as error:
        shown = ", ".join(map(str, folders))
        raise SaqEvalError(f"{shown}: run.json or a table lacks what the page shows: {first_line(error)}") from error
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=page.parent, prefix=".partial-") as partial:
            fresh = Path(partial) / page.name
            _write_text(fresh, text)
            written = [fresh.replace(page)]
        if formats:
            with tempfile.TemporaryDirectory(dir=folders[0], prefix=".partial-") as partial:
                write_formats(Path(partial), *runs[0][:2], formats)
                written += [file.replace(folders[0] / file.name) for file in sorted(Path(partial).iterdir())]
        return written
    except OSError as error:
        raise SaqEvalError(f"the page {page} cannot be written: {error.strerror}") from error


def write_csv(table: pd.DataFrame, columns: Columns, path: Path) -> None:
    """Write a table so that a spreadsheet reads no name as a formula; `read_csv` restores the names."""
    guarded = table.copy(deep=False)
    texts = [column for column in table.columns if columns.get(column) == "text"]
    bare = False
    for column in texts:
        places, distinct = pd.factorize(table[column].astype(str), use_na_sentinel=False)  # a text stands in many rows
        written = [f"'{text}" if _FORMULA.match(text) else text for text in distinct]
        guarded[column] = np.array(written, dtype=object)[places]
        # The csv module does not quote a carriage return, and readers would treat it as the end of a line.
        bare = bare or any("\r" in text for text in written)
    guarded.to_csv(
        path,
        index=False,
        float_format="%.7g",
        lineterminator="\n",
        quoting=csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL,
        errors="backslashreplace",
    )


def read_csv(path: Path, columns: Columns) -> pd.DataFrame:
    """Read a table that `write_csv` wrote. A text such as "NA" stays text, since it may be a network's name.

    Args:
        columns: the kind of each column. The file may lack some of them; further columns are read as numbers.
    """
    with path.open("rb") as file:
        if file.readline(2**16).count(b",") > _MOST_COLUMNS:
            raise ValueError(f"{path.name} has more than {_MOST_COLUMNS} columns")
    there = pd.read_csv(path, nrows=0, encoding="utf-8").columns
    kinds = {column: columns.get(column, "number") for column in there}
    texts = [column for column, kind in kinds.items() if kind == "text"]
    types = dict.fromkeys(texts, str) | {column: bool for column, kind in kinds.items() if kind == "truth"}
    numbers = {column: [""] for column, kind in kinds.items() if kind == "number"}
    table = pd.read_csv(path, dtype=types, keep_default_na=False, na_values=numbers, encoding="utf-8")
    for column in texts:
        table[column] = [text[1:] if _GUARDED.match(text) else text for text in table[column]]
    return table


def _write_text(path: Path, text: str) -> None:
    # A folder's name may hold bytes that are not valid text. They are written as escapes.
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
