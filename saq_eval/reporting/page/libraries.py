"""The parts of the page that others wrote, Plotly and DataTables, as text to put into it."""

from __future__ import annotations

import base64
import gzip
import importlib.metadata
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Library:
    """A script or style sheet.

    Attributes:
        name: of the element that holds it.
        payload: the file's bytes, gzip, base64; the page's own script unpacks it.
    """

    name: str
    payload: str


@dataclass(frozen=True)
class Notice:
    """Whose work a library is, and on which terms it is passed on."""

    package: str
    version: str
    about: str
    licence: str


@cache
def libraries() -> tuple[Library, ...]:
    """Return what the page needs, out of the installed Python packages that ship it."""
    plotly = resources.files("plotly") / "package_data" / "plotly.min.js"
    tables = resources.files("itables") / "html"
    return (
        Library("plotly", packed(plotly.read_bytes())),
        Library("datatables", packed((tables / "dt_bundle.js").read_bytes())),
        Library("datatables-style", packed((tables / "dt_bundle.css").read_bytes())),
    )


@cache
def notices() -> tuple[Notice, ...]:
    """Return the licences that must go with the libraries."""
    about = {
        "plotly": "plotly.js draws the charts.",
        "itables": "Its bundle holds DataTables, © SpryMedia Ltd, which sorts and filters the tables, jQuery, © OpenJS "
        "Foundation, and JSZip, © Stuart Knightley; all of them under the MIT licence.",
    }
    return tuple(
        Notice(package, importlib.metadata.version(package), text, _licence(package)) for package, text in about.items()
    )


def packed(data: bytes) -> str:
    """Return bytes as text: gzip, then base64; the same bytes give the same text."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def _licence(package: str) -> str:
    files = importlib.metadata.files(package) or []
    return next(file.read_text() for file in files if "licenses" in file.parts and file.name.startswith("LICENSE"))
