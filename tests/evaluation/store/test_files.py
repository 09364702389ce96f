"""Files that are written completely or not at all."""

import errno

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file

from saq_eval.evaluation.store import files
from saq_eval.evaluation.store.files import completely, is_partial, write_tensors, write_text

ARRAYS = {"a": np.arange(3.0), "none": np.zeros((0, 4), dtype=bool), "one": np.float32(2)[None]}


def test_a_file_gets_its_name_when_it_is_finished(tmp_path):
    path = tmp_path / "new" / "file"
    path.parent.mkdir()
    path.write_text("before")
    with completely(path) as partial:
        partial.write_text("after")
        assert path.read_text() == "before" and is_partial(partial) and not is_partial(path)
    assert path.read_text() == "after" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(error, tmp_path):
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(error), completely(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_tensors_and_texts(tmp_path):
    write_tensors(tmp_path / "a" / "b", ARRAYS, {"fact": "é"})
    read = load_file(tmp_path / "a" / "b")
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array)
    write_text(tmp_path / "text", "é \udcff")
    assert (tmp_path / "text").read_text(encoding="utf-8") == "é \\udcff"


@pytest.mark.parametrize(
    ("said", "number"), [("I/O error: No space left on device (os error 28)", errno.ENOSPC), ("out of luck", None)]
)
def test_a_failed_write_is_the_systems_error(said, number, tmp_path, monkeypatch):
    def fails(arrays, path, metadata):
        path.write_bytes(b"half")
        raise SafetensorError(said)

    monkeypatch.setattr(files, "save_file", fails)
    with pytest.raises(OSError) as error:
        write_tensors(tmp_path / "file", ARRAYS)
    assert (error.value.errno, error.value.strerror) == (number, "No space left on device" if number else said)
    assert list(tmp_path.iterdir()) == []


def test_files_can_be_read_by_whom_the_system_lets_read_new_files(tmp_path):
    (tmp_path / "usual").touch()
    write_tensors(tmp_path / "a", {"a": np.zeros(3)})
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode
