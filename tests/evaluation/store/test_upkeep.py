"""What a store holds, whether it is whole, and what can be removed from it."""

import json

import numpy as np
import pytest

from saq_eval import SaqEvalError
from saq_eval.core.errors import CannotWrite
from saq_eval.evaluation.store import make_store
from saq_eval.evaluation.store.upkeep import find_store, info, note_run, opened, prune, runs, verify

ARRAYS = {"scores": np.arange(3.0)}


def key(name, kind="cells"):
    return {"kind": kind, "name": name}


@pytest.fixture
def store(tmp_path):
    store = make_store(tmp_path / "store")
    for kind in ("cells", "maps"):
        for name in "ab":
            store.put(key(name, kind), ARRAYS)
    return store


def test_info_counts_files_by_kind(store):
    held = {each.kind: (each.entries, each.bytes) for each in info(store)}
    size = sum(store.path(key(name)).stat().st_size for name in "ab")
    assert held["cells"] == (2, size) and held["logits"] == (0, 0) and held["maps"][0] == 2


def test_verify_names_what_is_damaged_and_removes_nothing(store):
    assert list(verify(store)) == []
    cut, other, odd = store.path(key("a")), store.path(key("b")), store.path(key("a", "maps"))
    cut.write_bytes(cut.read_bytes()[:-1])
    other.write_bytes(store.path(key("b", "maps")).read_bytes())
    odd.unlink()
    odd.mkdir()
    found = dict(verify(store))
    assert found.keys() == {cut, other, odd} and cut.exists()
    assert "belongs to another key" in found[other] and "cut off" in found[cut] and "cannot be read" in found[odd]


def test_prune_leaves_what_the_last_run_of_each_output_folder_needs(store, tmp_path):
    with pytest.raises(SaqEvalError, match="nothing says what may be removed"):
        prune(store)
    note_run(store, tmp_path / "one", [key("a"), key("b")])
    note_run(store, tmp_path / "one", [key("a"), key("of no file")])  # the last one counts
    note_run(store, tmp_path / "two", [key("a", "maps")])
    assert [run.output for run in runs(store)] == [str(tmp_path / "one"), str(tmp_path / "two")]
    partial = store.path(key("a")).with_name(".partial-of-a-killed-process")
    partial.write_bytes(b"half")
    fresh = make_store(store.folder / "fresh-of-a-killed-process")
    fresh.put(key("c"), ARRAYS)
    removed, size = prune(store)
    assert removed == 5 and size > 5  # two entries, the half file, and the entry and mark of the fresh store
    assert {each.kind: each.entries for each in info(store) if each.entries} == {"cells": 1, "maps": 1}
    assert not partial.exists() and not fresh.folder.exists()
    assert store.get(key("a")) is not None and store.get(key("a", "maps")) is not None
    assert prune(store) == (0, 0)


def test_a_store_in_use_is_not_pruned(store, tmp_path):
    note_run(store, tmp_path / "one", [])
    with opened(store.folder, fresh=False) as same:
        assert same.folder == store.folder
        with pytest.raises(SaqEvalError, match="is in use: wait for the runs to end"):
            prune(store)
    (store.folder / "locks" / "in-use-by-a-killed-process").touch()
    assert prune(store)[0] == 4


@pytest.mark.parametrize("about", ["", "[]", "{}", '{"output": "x", "entries": 3}', "[" * 100_000])
def test_a_note_that_cannot_be_read_keeps_everything(about, store, tmp_path):
    note_run(store, tmp_path / "one", [])
    (note,) = (store.folder / "runs").iterdir()
    note.write_text(about)
    with pytest.raises(SaqEvalError, match="cannot be read, so nothing says what its run needs"):
        prune(store)
    assert info(store)[0].entries == 2


def test_what_cannot_be_noted_ends_the_run(store, tmp_path):
    (store.folder / "runs").write_text("")
    with pytest.raises(CannotWrite):
        note_run(store, tmp_path / "one", [])


def test_any_folders_name_can_be_noted(store, tmp_path):
    note_run(store, tmp_path / "a 'b' \udcff", [key("a")])
    (note,) = (store.folder / "runs").iterdir()
    assert json.loads(note.read_text(encoding="utf-8"))["output"].endswith("a 'b' \udcff")


def test_without_a_folder_a_store_is_removed_at_the_end():
    with opened(None, fresh=False) as store:
        store.put(key("a"), ARRAYS)
        assert store.folder.exists()
    assert not store.folder.exists()


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_a_fresh_run_sees_nothing_and_replaces_what_is_there(error, store):
    def run():
        with opened(store.folder, fresh=True) as new:
            assert new.get(key("a")) is None
            new.put(key("a"), {"scores": np.zeros(1)})
            assert store.get(key("a")).arrays["scores"].shape == (3,)
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(error):
            run()
    assert store.get(key("a")).arrays["scores"].shape == (1,) and store.get(key("b")).arrays["scores"].shape == (3,)
    assert not any(path.name.startswith("fresh-") for path in store.folder.iterdir())


def test_a_store_is_found_by_its_own_folder_and_by_an_output_folder(store, tmp_path):
    assert find_store(store.folder).folder == find_store(tmp_path).folder == store.folder
    with pytest.raises(SaqEvalError, match="is no store"):
        find_store(tmp_path / "nowhere")
