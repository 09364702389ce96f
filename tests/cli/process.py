"""The command line as a user runs it: in a process of its own."""

import os
import subprocess
import sys

from tests import ROOT


def saq_eval(*arguments, cwd, **environment) -> subprocess.CompletedProcess:
    """Run a command in a folder, with more environment variables, and return its output as text."""
    return subprocess.run(
        [sys.executable, "-m", "saq_eval", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )
