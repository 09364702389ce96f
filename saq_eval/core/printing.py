"""What code of users prints."""

from __future__ import annotations

import contextlib
import sys
from typing import TextIO


def prints_held_back() -> contextlib.redirect_stdout[TextIO]:
    """Send to the standard error what is printed inside: the standard output belongs to a command, and programs read it."""
    return contextlib.redirect_stdout(sys.stderr)
