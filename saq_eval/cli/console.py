"""The output of the command line: tables, errors and warnings."""

from __future__ import annotations

import io
import re
import shutil
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from saq_eval.core.errors import SaqEvalWarning

# Pillow warns of large pictures; this package has a limit of its own.
_UNSAID = ("DecompressionBombWarning",)
_MOST_CHARACTERS = 4_000  # of an error; a value in it may be as large as a file


def print_table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table: on a terminal, columns may be as narrow as their words; in a pipe, lines are not broken."""
    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False)
    for column in columns:  # on a terminal, RelevanceMassAccuracy takes three lines
        table.add_column(re.sub(r"(?<=[a-z])(?=[A-Z][a-z])| (?=%)", "\n", column) if terminal else column)
    for row in rows:
        table.add_row(*(printable(str(cell)) for cell in row))
    console = Console(width=10_000, highlight=False, markup=False)
    needed = console.measure(table)
    console.width = max(shutil.get_terminal_size().columns, needed.minimum) if terminal else needed.maximum
    console.print(table)


def printable(text: str) -> str:
    """Return a text of one line with its control characters as escapes, since a terminal would obey them.

    A stranger's card or file may hold such characters in a name, and so may a text that is no valid Unicode.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def print_any_character() -> None:
    """Let standard output and error take every text: characters that they cannot encode are printed as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def complain(error: Exception | str) -> None:
    """Print the program's name and an error on one line of standard error; a very long error is cut."""
    text = " ".join(str(error).split())
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[: _MOST_CHARACTERS // 2]} … {text[-_MOST_CHARACTERS // 2 :]}"
    typer.echo(f"saq-eval: {printable(text)}", err=True)


_show_warning = warnings.showwarning


def show_warning(message: Warning | str, category: type[Warning], *where: Any, **details: Any) -> None:
    """Print a warning of this package on one line, without its source code; replaces `warnings.showwarning`."""
    if issubclass(category, SaqEvalWarning):
        complain(f"warning: {message}")
    elif category.__name__ not in _UNSAID:
        _show_warning(message, category, *where, **details)
