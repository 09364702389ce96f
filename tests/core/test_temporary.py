"""Temporary folders, also those of processes that were killed."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest
from filelock import FileLock

from saq_eval import SaqEvalError
from saq_eval.core import temporary
from saq_eval.core.temporary import temporary_folder
from tests import ROOT


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_there_until_the_end_however_that_comes(place):
    with temporary_folder() as folder:
        (folder / "file").write_text("")
        assert folder.parent == place and folder.name.startswith("saq_eval-")
    with pytest.raises(KeyboardInterrupt), temporary_folder() as other:
        raise KeyboardInterrupt
    assert folder != other and list(place.iterdir()) == []


def test_the_next_folder_removes_that_of_a_killed_process_and_no_other(place):
    code = (
        "import os\nfrom saq_eval.core.temporary import temporary_folder\n"
        "with temporary_folder() as folder:\n  (folder / 'file').touch()\n  os.kill(os.getpid(), 9)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(place)}
    assert subprocess.run([sys.executable, "-c", code], env=env).returncode == -signal.SIGKILL
    (left,) = place.iterdir()
    assert {path.name for path in left.iterdir()} == {".lock", "file"}
    prefix = temporary._prefix()
    others = [place / f"{prefix}without-a-lock", place / "saq_eval-elsewhere-a", place / "another"]
    for other in others:
        other.mkdir()
    (others[1] / ".lock").touch()  # of another machine
    (place / f"{prefix}link").symlink_to(others[1])
    with temporary_folder() as first, temporary_folder() as second:
        assert not left.exists() and first.is_dir() and second.is_dir() and all(other.is_dir() for other in others)
        assert (others[1] / ".lock").exists()


def test_a_folder_that_another_process_takes_at_once_is_made_anew(place, monkeypatch):
    make, made, held = tempfile.mkdtemp, [], []

    def seen(**options):
        made.append(make(**options))
        if len(made) == 1:  # another process holds its lock already, to remove it
            held.append(FileLock(os.path.join(made[0], ".lock"), is_singleton=False))
            held[0].acquire()
        if len(made) == 2:  # another process has removed it already, which some versions of filelock make up for
            os.rmdir(made[1])
        return made[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", seen)
    with temporary_folder() as folder:
        assert str(folder) == made[-1] != made[0] and folder.is_dir()
    held[0].release()


def test_where_no_folder_can_be_made_the_reason_is_said(place, monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(SaqEvalError, match="the folder of temporary files cannot be written: No space left on device"):
        temporary_folder().__enter__()


def test_a_file_system_without_locks_has_folders_too(place, monkeypatch):
    def no_locks(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    with temporary_folder() as folder:
        assert folder.is_dir()
    assert not folder.exists()
