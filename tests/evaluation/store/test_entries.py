"""Files of the store: what is written is read, and what was changed is found."""

import json
import pickle

import numpy as np
import pytest

from saq_eval import SaqEvalError
from saq_eval.core.errors import CannotWrite
from saq_eval.evaluation.store.entries import Damaged, digest_of_key, key_text, read_entry, write_entry

KEY = {"kind": "cells", "metric": "PointingGame", "parameters": {"b": 2, "a": 0.1}}
ARRAYS = {
    "scores": np.array([1.0, np.nan, -np.inf]),
    "maps": np.arange(8, dtype=np.float32).reshape(2, 2, 2),
    "targets": np.array([3, -1]),
    "degenerate": np.array([True, False]),
    "empty": np.zeros((0, 3)),
}


def test_an_entry_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "new" / "entry"
    write_entry(path, KEY, {**ARRAYS, "view": np.arange(9.0).reshape(3, 3).T}, {"hole": "no gradient, é"})
    entry = read_entry(path)
    assert (json.loads(entry.key), entry.facts) == (KEY, {"hole": "no gradient, é"})
    assert entry.arrays.keys() == {*ARRAYS, "view"}
    for name, array in ARRAYS.items():
        assert entry.arrays[name].dtype == array.dtype and not entry.arrays[name].flags.writeable
        np.testing.assert_array_equal(entry.arrays[name], array)
    np.testing.assert_array_equal(entry.arrays["view"], np.arange(9.0).reshape(3, 3).T)
    write_entry(path, KEY, {})
    assert dict(read_entry(path).arrays) == {} and list(path.parent.iterdir()) == [path]


def test_a_large_entry_is_mapped_into_memory(tmp_path):
    large = np.random.default_rng(0).standard_normal((40, 28, 28))
    write_entry(tmp_path / "entry", KEY, {"maps": large, "flags": np.ones(3, dtype=bool)})
    entry = read_entry(tmp_path / "entry")
    assert isinstance(entry.arrays["maps"], np.memmap)
    np.testing.assert_array_equal(entry.arrays["maps"], large)


def test_equal_keys_have_equal_texts():
    same = {"parameters": {"a": 0.1, "b": 2}, "metric": "PointingGame", "kind": "cells"}
    assert key_text(KEY) == key_text(same) and digest_of_key(KEY) == digest_of_key(same)
    assert len(digest_of_key(KEY)) == 32 and key_text({"é": {1}}).isascii()
    for other in ({**KEY, "metric": "SSIM"}, {**KEY, "parameters": {"a": 0.1, "b": 2.5}}, {**KEY, "more": None}):
        assert digest_of_key(other) != digest_of_key(KEY)


def _is_damaged(path):
    try:
        read_entry(path)
    except Damaged as error:
        return str(error).startswith(f"{path} is damaged: ")
    return False


@pytest.mark.parametrize(
    "arrays", [{"scores": np.array([0.5])}, {}, {"empty": np.zeros(0)}], ids=["some", "no", "empty"]
)
def test_every_changed_or_lost_byte_is_found(arrays, tmp_path):
    path = tmp_path / "entry"
    write_entry(path, {"kind": "cells"}, arrays, {"hole": ""})
    whole = path.read_bytes()
    spoiled = [whole[:length] for length in range(len(whole))] + [whole + b"\0", whole + whole]
    for place, byte in enumerate(whole):
        flips = range(8) if arrays else (place % 8,)
        spoiled += [whole[:place] + bytes([byte ^ 1 << bit]) + whole[place + 1 :] for bit in flips]
    for data in spoiled:
        path.write_bytes(data)
        assert _is_damaged(path), data


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"{}",
        b'{"__metadata__": 3}',
        b'{"__metadata__": {"checksum": "0"}, "a": 3}',
        b'{"__metadata__": {"checksum": "0"}, "a": {"dtype": "F64", "shape": [99999999999, 9], "data_offsets": [0, 8]}}',
        b'{"__metadata__": {"checksum": "0"}, "a": {"dtype": "F64", "shape": [-1], "data_offsets": [8, 0]}}',
        b'{"__metadata__": {"checksum": "0"}, "a": {"dtype": "F64", "shape": ["1"], "data_offsets": [0, 8]}}',
        b'{"__metadata__": {"checksum": "0"}, "a": {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
    ids=range(10),
)
def test_headers_that_no_writer_made(header, tmp_path):
    path = tmp_path / "entry"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(Damaged):
        read_entry(path)


def test_what_is_not_there_or_cannot_be_read_is_not_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_entry(tmp_path / "missing")
    with pytest.raises(SaqEvalError, match="cannot be read: Is a directory") as error:
        read_entry(tmp_path)
    assert not isinstance(error.value, Damaged)


def test_what_cannot_be_written_is_said_with_the_path_and_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match=r"file/entry cannot be written: (File exists|Not a directory); all that is"):
        write_entry(tmp_path / "file" / "entry", KEY, ARRAYS)
    error = CannotWrite(tmp_path / "entry", OSError(28, "No space left on device"))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert "entry cannot be written: No space left on device; all that is finished is kept" in str(error)
