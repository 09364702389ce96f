"""The command line as a user runs it: in a process of its own, or in one that has imported everything already."""

import contextlib
import functools
import importlib
import io
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path
from unittest.mock import patch

from saq_eval.cli import main
from saq_eval.core import plugins
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

    As in a shell with `set -e`, one that fails is the last. The process is a fork of one that has imported everything
    and registered nothing, since imports take longer than most commands.
    """
    server = _server()
    with tempfile.NamedTemporaryFile() as answer:
        request = {"commands": commands, "cwd": str(cwd), "environment": environment, "answer": answer.name}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        ended = server.stdout.readline()
        text = Path(answer.name).read_text(encoding="utf-8")
    assert ended == "0\n", f"the process ended with {ended!r}: {text}"
    return [subprocess.CompletedProcess(*fields) for fields in json.loads(text)]


@functools.cache
def _server() -> subprocess.Popen:
    """Start the process that `run_in_turn` forks; it ends when its standard input does, at the latest with the tests."""
    environment = {**os.environ, **ONE_WORKER, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", "from tests.cli.process import serve; serve()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def serve() -> None:
    """Run each request's commands in a fork of this process, and say how the fork ended; see `run_in_turn`."""
    for module in ("saq_eval.comparison", "saq_eval.panel", "saq_eval.studies.driver", "quantus", "captum.attr"):
        importlib.import_module(module)
    assert not plugins._state["loaded"]  # else a fork would know nothing of a package that its PYTHONPATH adds
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _answer(**request)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _answer(commands, cwd, environment, answer) -> None:
    """Run commands, write what they said into a file, and end this process."""
    code, done = 0, []
    try:
        added = environment.pop("PYTHONPATH", "")
        sys.path[:0] = filter(None, added.split(os.pathsep))
        os.environ.update(environment, PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), added])))
        for command in commands:
            done.append(_run_here(command, cwd))
            if done[-1].returncode:
                break
        text = json.dumps([[d.args, d.returncode, d.stdout, d.stderr] for d in done])
    except BaseException:
        code, text = 1, traceback.format_exc()
    Path(answer).write_text(text, encoding="utf-8")
    os._exit(code)


def _python(*arguments, cwd, **environment) -> subprocess.CompletedProcess:
    path = os.pathsep.join(filter(None, [str(ROOT), environment.pop("PYTHONPATH", None)]))
    return subprocess.run(
        [sys.executable, *arguments],
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
