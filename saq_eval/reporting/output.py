"""Writing a result to a folder, whole or not at all."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from saq_eval.errors import SaqEvalError
from saq_eval.reporting.gallery import Gallery
from saq_eval.reporting.html import render

FILES = ("scores.csv", "summary.csv", "controls.csv", "models.csv", "report.html", "run.json")


def check_writable(folder: Path) -> None:
    """Raise `SaqEvalError` unless files can be written to a folder, which need not exist yet; leaves no trace."""
    existing = folder
    try:
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        for name in FILES:
            if (folder / name).is_dir():
                raise IsADirectoryError(None, f"its {name} is a folder")
        with tempfile.TemporaryDirectory(dir=existing, prefix=".partial-"):
            pass
    except OSError as error:
        raise SaqEvalError(f"the output folder {folder} cannot be written: {error.strerror}") from error


def write_report(folder: Path, tables: dict[str, pd.DataFrame], run: dict[str, Any], gallery: Gallery) -> list[Path]:
    """Write the six files of a comparison: a CSV file for each table, the page and the record.

    All files are complete before the first one appears under its name, so that none is ever half
    written.

    Args:
        folder: made if it is not there.
        tables: "scores", "summary", "controls" and "models", of `saq_eval.Comparison`.
        run, gallery: of `saq_eval.Comparison`.

    Returns:
        The files' paths.

    Raises:
        SaqEvalError: if the folder cannot be written.
    """
    start = time.perf_counter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as partial:
            fresh = Path(partial)
            for name, table in tables.items():
                table.to_csv(fresh / f"{name}.csv", index=False, float_format="%.7g", lineterminator="\n")
            page = render(tables, run, gallery)
            (fresh / "report.html").write_text(page, encoding="utf-8")
            seconds = run["wall_seconds"] | {"reporting": round(time.perf_counter() - start, 3)}
            run = run | {"wall_seconds": seconds}
            (fresh / "run.json").write_text(json.dumps(run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            return [file.replace(folder / file.name) for file in sorted(fresh.iterdir())]
    except OSError as error:
        raise SaqEvalError(f"the output folder {folder} cannot be written: {error.strerror}") from error
