"""Runs commands on hostile input and holds what any of them has to do: one sentence, in time, and no file elsewhere."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.cli.process import saq_eval_here

SECONDS = 5.0  # of processor time, for one command
WAITING = 40  # of wall time, on a machine that others use too


def refused(here: Path, *arguments, output: str | None = None) -> str:
    """Run a command that has to refuse its input; return its sentence; see `answered`."""
    code, sentence = answered(here, *arguments, output=output)
    assert code == 2, f"exit code {code}: {sentence}"
    return sentence


def answered(here: Path, *arguments, output: str | None = None) -> tuple[int, str]:
    """Run a command in a folder; return its exit code, 0 or 2, and its sentence, "" if it has none.

    Nothing in the folder above may change, except for `output`, which is below `here`.
    """
    before = _listing(here.parent, output)
    with _silent(), _at_most(WAITING):
        start = time.process_time()
        done = saq_eval_here(*arguments, cwd=here)
        taken = time.process_time() - start
    assert taken < SECONDS, f"it took {taken:.1f} s of processor time"
    changed = {path for path, _ in _listing(here.parent, output).items() ^ before.items()}
    assert not changed, f"these files have changed: {sorted(changed)}"
    return done.returncode, sentence_of(done)


def sentence_of(done: subprocess.CompletedProcess) -> str:
    """Check what a command has said; return its error without the program's name, "" if it has none."""
    said = done.stderr.splitlines()
    errors = [line for line in said if not line.startswith("saq-eval: warning: ")]
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr == "" or (done.stderr.endswith("\n") and all(map(str.isprintable, said)))
    if done.returncode == 0:
        assert errors == []
        return ""
    assert done.returncode == 2, done
    assert done.stdout == "" and len(errors) == 1 and said[-1] == errors[0], done.stderr
    assert errors[0].startswith("saq-eval: ") and len(errors[0]) < 4_100
    return errors[0].removeprefix("saq-eval: ")


def _listing(folder: Path, output: str | None) -> dict[str, tuple]:
    """Return the files below a folder, without those below the output, with what tells whether they have changed."""
    found = {}
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != output]
        for name in (*folders, *files):
            about = os.lstat(os.path.join(root, name))
            changed = (about.st_size, about.st_mtime_ns) if name in files else ()
            found[os.path.join(root, name)] = (about.st_mode, *changed)
    return found


@contextlib.contextmanager
def _silent():
    """Check that no library writes to the process's own standard output and standard error."""
    with tempfile.TemporaryFile() as written:
        kept = [os.dup(number) for number in (1, 2)]
        sys.stdout.flush()
        sys.stderr.flush()
        for number in (1, 2):
            os.dup2(written.fileno(), number)
        try:
            yield
        finally:
            for number, own in enumerate(kept, start=1):
                os.dup2(own, number)
                os.close(own)
        written.seek(0)
        assert written.read() == b""


@contextlib.contextmanager
def _at_most(seconds: int):
    """Fail a test that waits, as one does that reads from a pipe nobody writes to."""

    def late(number, frame):
        pytest.fail(f"it has not ended after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
