"""Disks that are full, become read-only or spoil files."""

import subprocess

import pytest
from safetensors import SafetensorError

from saq_eval.evaluation.store import files
from tests.cli.process import saq_eval_here

COMPARE = ("compare", "--dataset", "digits", "--models", "cnn-w2a2", "--methods", "saliency")
COMPARE += ("--metrics", "PointingGame,SSIM", "--samples", "4", "--accuracy-on", "8", "--quiet", "--workers", "1")
COMPARE += ("--output", "report")
GOES_ON = "all that is finished is kept, and the same command goes on\n"


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """An unbroken run: its folder, with a store, which may be copied and not be changed."""
    folder = tmp_path_factory.mktemp("unbroken")
    done = saq_eval_here(*COMPARE, cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


@pytest.fixture
def here(unbroken, tmp_path):
    """A folder with a finished store and no report."""
    subprocess.run(["cp", "-r", "--preserve=timestamps", unbroken / "report", tmp_path / "report"], check=True)
    for path in (tmp_path / "report").glob("*.*"):
        path.unlink()
    return tmp_path


def tables(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "report").glob("*.csv"))}


def entries(folder):
    return sorted((folder / "report" / "store").glob("*/??/*.safetensors"))


def unfinished(folder):
    return [*folder.rglob(".partial-*"), *folder.rglob("*.unfinished")]


@pytest.mark.parametrize(("number", "reason"), [(28, "No space left on device"), (30, "Read-only file system")])
def test_a_disk_that_takes_nothing_more_ends_the_run_with_one_sentence(number, reason, unbroken, tmp_path, monkeypatch):
    save, left = files.save_file, 0

    def save_while_there_is_room(arrays, path, metadata):
        nonlocal left
        left -= 1
        if left < 0:
            path.write_bytes(b"half")
            raise SafetensorError(f"Error while serializing: I/O error: {reason} (os error {number})")
        save(arrays, path, metadata)

    monkeypatch.setattr(files, "save_file", save_while_there_is_room)
    many = len(entries(unbroken))
    for room in (*((0, many // 3) if number == 28 else (many // 2,)), many):  # the last is enough
        left, before = room, len(entries(tmp_path))
        done = saq_eval_here(*COMPARE, cwd=tmp_path)
        assert unfinished(tmp_path) == []
        if done.returncode == 0:
            break
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
        assert done.stderr.startswith("saq-eval: report/store/")
        assert done.stderr.endswith(f".safetensors cannot be written: {reason}; {GOES_ON}")
        assert tables(tmp_path) == {} and len(entries(tmp_path)) == before + room
    assert (done.returncode, done.stderr) == (0, "") and tables(tmp_path) == tables(unbroken)


def test_no_room_for_the_report(here, unbroken, monkeypatch):
    from saq_eval.reporting import output

    def full(path, text):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(output, "_write_text", full)
        done = saq_eval_here(*COMPARE, cwd=here)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"saq-eval: report cannot be written: No space left on device; {GOES_ON}"
    assert tables(here) == {} and unfinished(here) == []
    assert saq_eval_here(*COMPARE, cwd=here).returncode == 0 and tables(here) == tables(unbroken)


def test_no_room_for_temporary_files(here, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(here / "missing"))
    done = saq_eval_here(*COMPARE, cwd=here)
    assert (done.returncode, done.stdout) == (3, "")
    assert (
        done.stderr
        == f"saq-eval: the folder of temporary files cannot be written: No such file or directory; {GOES_ON}"
    )


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a few KiB, and how to enlarge it."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", place], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mount.stderr.strip()}")
    yield place, lambda: subprocess.run(["mount", "-o", "remount,size=32m", place], check=True)
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_real_full_disk(small_disk, unbroken):
    place, enlarge = small_disk
    done = saq_eval_here(*COMPARE, cwd=place)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert done.stderr.endswith(f" cannot be written: No space left on device; {GOES_ON}")
    kept = {path: path.stat().st_mtime_ns for path in entries(place)}
    assert kept and unfinished(place) == [] and tables(place) == {}
    enlarge()
    done = saq_eval_here(*COMPARE, cwd=place)
    assert (done.returncode, done.stderr) == (0, "") and tables(place) == tables(unbroken)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_every_spoiled_file_is_named_and_computed_again(here, unbroken):
    """In every second file a bit is flipped, and the others are cut off."""
    spoiled = entries(here)
    assert {path.parts[-3] for path in spoiled} == {"cells", "explained", "maps", "logits", "gaps", "tables"}
    for number, path in enumerate(spoiled):
        data = bytearray(path.read_bytes())
        data[len(data) * (number % 7) // 7] ^= 4
        path.write_bytes(data if number % 2 else path.read_bytes()[: -1 - number])
    verified = saq_eval_here("store", "verify", "report", cwd=here)
    assert (verified.returncode, verified.stdout) == (1, f"{len(spoiled)} of {len(spoiled)} files are damaged\n")
    done = saq_eval_here(*COMPARE, cwd=here)
    assert (done.returncode, done.stdout) == (0, "") and tables(here) == tables(unbroken)
    told = done.stderr.splitlines()
    assert all(line.startswith("saq-eval: warning: report/store/") for line in told)
    assert all(line.endswith("; it is computed again") for line in told)
    assert len(told) == len(spoiled) and all(path.name in done.stderr for path in spoiled)
    assert saq_eval_here("store", "verify", "report", cwd=here).returncode == 0
