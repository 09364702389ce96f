"""The folder of a store."""

import os
import signal
import threading

import numpy as np
import pytest

from saq_eval import SaqEvalError
from saq_eval.core.errors import CannotWrite
from saq_eval.evaluation.store import Store, make_store
from saq_eval.evaluation.store import store as module
from saq_eval.evaluation.store.store import LOCKS, identity_of, open_store

KEY, OTHER = {"kind": "cells", "network": "a"}, {"kind": "cells", "network": "b"}
ARRAYS = {"scores": np.arange(3.0)}


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "store")


def test_what_was_put_is_got_by_its_key_alone(store):
    assert store.get(KEY) is None
    store.put(KEY, ARRAYS, {"hole": "none"})
    for each in (store, Store(store.folder)):
        entry = each.get(KEY)
        np.testing.assert_array_equal(entry.arrays["scores"], ARRAYS["scores"])
        assert entry.facts == {"hole": "none"} and each.get(OTHER) is None and each.damaged == []
    assert store.path(KEY).parts[-3] == "cells" and store.path(KEY).name.startswith(store.path(KEY).parts[-2])


@pytest.mark.parametrize("how", ["cut off", "of another key", "empty"])
def test_a_damaged_file_counts_as_missing_and_is_named(how, store):
    store.put(KEY, ARRAYS)
    store.put(OTHER, ARRAYS)
    data = {
        "cut off": store.path(KEY).read_bytes()[:-1],
        "of another key": store.path(OTHER).read_bytes(),
        "empty": b"",
    }
    store.path(KEY).write_bytes(data[how])
    assert store.get(KEY) is None and not store.path(KEY).exists()
    (said,) = store.take_damaged()
    assert said.startswith(f"{store.path(KEY)} is damaged: ")
    store.put(KEY, ARRAYS)
    assert store.get(KEY) is not None and store.take_damaged() == ()


def test_what_several_need_is_computed_once(store):
    calls, both = [], []

    def compute():
        calls.append(1)
        threading.Event().wait(0.2)
        return ARRAYS

    threads = [
        threading.Thread(target=lambda: both.append(Store(store.folder).once(KEY, compute)[1])) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1 and sorted(both) == [False, False, True]
    assert list((store.folder / LOCKS).iterdir()) == []


def test_a_computation_that_fails_leaves_nothing(store):
    def fails():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.once(KEY, fails)
    assert store.get(KEY) is None and store.once(KEY, lambda: ARRAYS)[1]


def test_what_cannot_be_read_back_is_an_error(store, monkeypatch):
    monkeypatch.setattr(Store, "get", lambda self, key: None)
    with pytest.raises(CannotWrite, match="cannot be read back"):
        store.once(KEY, lambda: ARRAYS)


def test_a_claim_is_one_processs_until_it_ends_however_it_ends(store):
    with store.claim(KEY) as ours, Store(store.folder).claim(KEY) as theirs, store.claim(OTHER) as another:
        assert (ours, theirs, another) == (True, False, True)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with store.claim(KEY):
            os.write(writing, b"held")
            signal.pause()
    os.read(reading, 4)
    with store.claim(KEY) as ours:
        assert not ours
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with store.claim(KEY) as ours:
        assert ours


def test_a_file_system_without_locks_still_computes(store, monkeypatch):
    def no_locks(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr(module.FileLock, "acquire", no_locks)
    with store.claim(KEY) as ours:
        assert ours
    assert store.once(KEY, lambda: ARRAYS)[1]


def test_a_folder_becomes_a_store_once(tmp_path):
    folder = tmp_path / "new" / "store"
    store = make_store(folder)
    store.put(KEY, ARRAYS)
    assert make_store(folder).get(KEY) is not None and open_store(folder).get(KEY) is not None
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".partial-0").write_text("of a process that was killed, or makes the store now")
    make_store(tmp_path / "empty").put(KEY, ARRAYS)


def test_other_folders_are_no_stores(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SaqEvalError, match="is not empty and no store: name an empty or new folder"):
        make_store(tmp_path)
    with pytest.raises(SaqEvalError, match=r"the store .*file/store cannot be made: Not a directory"):
        make_store(tmp_path / "file" / "store")
    with pytest.raises(SaqEvalError, match="is no store"):
        open_store(tmp_path)
    for about in ('{"layout": 99}', "[]", "3"):
        (tmp_path / "store.json").write_text(about)
        with pytest.raises(SaqEvalError, match="was made by another version of saq_eval"):
            make_store(tmp_path)
    (tmp_path / "store.json").write_text("{")
    with pytest.raises(SaqEvalError, match="is no store"):
        make_store(tmp_path)


def test_two_processes_may_make_a_store_at_once(tmp_path, monkeypatch):
    folder, listed = tmp_path / "store", type(tmp_path).iterdir
    folder.mkdir()

    def while_another_makes_it(path):
        if path == folder:
            monkeypatch.undo()
            make_store(folder)
        return listed(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", while_another_makes_it)
    assert make_store(folder).folder == folder


def make_many(folder, found):
    found.append(make_store(folder).folder)


def test_a_store_that_several_make_at_once_has_one_identity(tmp_path):
    for name in map(str, range(20)):
        found = []
        makers = [threading.Thread(target=make_many, args=(tmp_path / name, found)) for _ in range(4)]
        for each in makers:
            each.start()
        for each in makers:
            each.join()
        assert found == [tmp_path / name] * 4
        assert {path.name for path in (tmp_path / name).iterdir()} == {"store.json", LOCKS}
        assert identity_of(tmp_path / name) == identity_of(make_store(tmp_path / name).folder) != ""
    assert len({identity_of(tmp_path / str(number)) for number in range(20)}) == 20
    assert identity_of(tmp_path) == identity_of(tmp_path / "none") == ""
