import re

import numpy as np
import pytest

from saq_eval.evaluation.store import make_store
from saq_eval.evaluation.store.upkeep import note_run
from tests.cli.process import saq_eval_here

KEYS = [{"kind": kind, "name": name} for kind in ("cells", "maps") for name in "ab"]


@pytest.fixture
def store(tmp_path):
    store = make_store(tmp_path / "report" / "store")
    for key in KEYS:
        store.put(key, {"values": np.zeros(2**16)})
    note_run(store, tmp_path / "report", KEYS[:3])
    return store


def ask(what, folder, cwd):
    return saq_eval_here("store", what, folder, cwd=cwd)


def test_info_of_a_store_and_of_an_output_folder(store, tmp_path):
    done = ask("info", "report", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["The", "store", "report/store"]
    assert ["cells", "2", "1.0"] in rows and ["logits", "0", "0.0"] in rows and ["all", "4", "2.0"] in rows
    assert [str(tmp_path / "report"), "3"] in rows
    assert ask("info", "report/store", tmp_path).stdout == done.stdout


def test_verify_names_each_damaged_file(store, tmp_path):
    done = ask("verify", "report", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 of 4 files are damaged\n", "")
    spoiled = [store.path(key) for key in KEYS[1:3]]
    for path in spoiled:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    done = ask("verify", "report", tmp_path)
    assert (done.returncode, done.stdout) == (1, "2 of 4 files are damaged\n")
    told = [line for line in done.stderr.splitlines() if re.match("saq-eval: .* is damaged: its checksum is not", line)]
    assert len(told) == len(done.stderr.splitlines()) == 2 and all(path.name in done.stderr for path in spoiled)


def test_prune_removes_what_no_run_needs(store, tmp_path):
    done = ask("prune", "report", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Removed 1 files, 0.5 MiB\n", "")
    assert [store.get(key) is not None for key in KEYS] == [True, True, True, False]
    assert ask("prune", "report", tmp_path).stdout == "Removed 0 files, 0.0 MiB\n"


@pytest.mark.parametrize("what", ["info", "verify", "prune"])
def test_a_folder_without_a_store_is_refused(what, tmp_path):
    done = ask(what, "nowhere", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "saq-eval: nowhere is no store: there is no store.json in it that can be read\n"
