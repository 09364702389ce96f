"""The command line as a user runs it: in a process of its own, or in one that has imported everything already."""

import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
import warnings
from unittest.mock import patch

from saq_eval.cli import main
from tests import ROOT

# By default a comparison has a worker for each core, and each of them imports everything again, which takes seconds.
ONE_WORKER = {"LOKY_MAX_CPU_COUNT": "1"}
# What Python does not show by default.
SILENT = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


def saq_eval(*arguments, cwd, **environment) -> subprocess.CompletedProcess:
    """Run a command in a process and a folder, with more environment variables, and return its output as text."""
    return _python("-m", "saq_eval", *map(str, arguments), cwd=cwd, **environment)


def saq_eval_here(*arguments, cwd) -> subprocess.CompletedProcess:
    """Run a command in this process and in a folder, and return its output as text."""
    return _run_here(["saq-eval", *map(str, arguments)], cwd)


def run_in_turn(commands, cwd, **environment) -> list[subprocess.CompletedProcess]:
    """Run commands, `saq-eval …` and `python file`, one after another in one process of their own, in a folder.

    As in a shell with `set -e`, one that fails is the last.
    """
    program = "from tests.cli.process import serve; serve()"
    done = _python("-c", program, cwd=cwd, input=json.dumps(commands), **environment)
    assert done.returncode == 0, done.stderr
    return [subprocess.CompletedProcess(*fields) for fields in json.loads(done.stdout)]


def serve() -> None:
    """Read commands, run them and write what they said; see `run_in_turn`."""
    done = []
    for command in json.load(sys.stdin):
        done.append(_run_here(command, os.getcwd()))
        if done[-1].returncode:
            break
    json.dump([[d.args, d.returncode, d.stdout, d.stderr] for d in done], sys.stdout)


def _python(*arguments, cwd, input=None, **environment) -> subprocess.CompletedProcess:
    path = os.pathsep.join(filter(None, [str(ROOT), environment.pop("PYTHONPATH", None)]))
    return subprocess.run(
        [sys.executable, *arguments],
        input=input,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **ONE_WORKER, "PYTHONPATH": path, **environment},
    )


def _run_here(command: list[str], cwd) -> subprocess.CompletedProcess:
    output, complaint, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(cwd),
        patch.object(sys, "argv", command),
        patch.dict(os.environ, ONE_WORKER),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(complaint),
        _warnings_on_standard_error(),
    ):
        try:
            if command[0] == "python":
                runpy.run_path(command[1], run_name="__main__")
            else:
                main()
        except SystemExit as end:
            code = end.code or 0
    return subprocess.CompletedProcess(command, code, output.getvalue(), complaint.getvalue())


@contextlib.contextmanager
def _warnings_on_standard_error():
    """Show warnings as Python does by itself; pytest collects them."""

    def show(message, category, filename, lineno, file=None, line=None):
        sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))

    with warnings.catch_warnings(), patch("saq_eval.cli.console._show_warning", show):
        warnings.resetwarnings()
        for category in SILENT:
            warnings.simplefilter("ignore", category)
        yield
