"""Third-party libraries of the page, Plotly and DataTables, as text to embed in it."""

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
        name: the name of the page's element that holds it.
        payload: the file's bytes, compressed by gzip and encoded in base64; the page's script unpacks it.
    """

    name: str
    payload: str


@dataclass(frozen=True)
class Notice:
    """The authors of a library, and the licence that it is distributed under."""

    package: str
    version: str
    about: str
    licence: str


@cache
def libraries() -> tuple[Library, ...]:
    """Return the libraries that the page needs, from the installed Python packages that contain them."""
    plotly = resources.files("plotly") / "package_data" / "plotly.min.js"
    tables = resources.files("itables") / "html"
    return (
        Library("plotly", packed(plotly.read_bytes())),
        Library("datatables", packed((tables / "dt_bundle.js").read_bytes())),
        Library("datatables-style", packed((tables / "dt_bundle.css").read_bytes())),
    )


@cache
def notices() -> tuple[Notice, ...]:
    """Return the licence notices that must be distributed with the libraries."""
    about = {
        "plotly": "plotly.js draws the charts.",
        "itables": "Its bundle holds DataTables, © SpryMedia Ltd, which sorts and filters the tables, jQuery, © OpenJS "
        "Foundation, and JSZip, © Stuart Knightley; all of them under the MIT licence.",
    }
    return tuple(
        Notice(package, importlib.metadata.version(package), text, _licence(package)) for package, text in about.items()
    )


def packed(data: bytes) -> str:
    """Return bytes as text, by gzip and then base64; equal bytes give equal text."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()


def _licence(package: str) -> str:
    files = importlib.metadata.files(package) or []
    return next(file.read_text() for file in files if "licenses" in file.parts and file.name.startswith("LICENSE"))
