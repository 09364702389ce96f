"""What a Dask worker does, without a cluster; with one, see test_dask.py."""

import queue
from types import SimpleNamespace

import cloudpickle
import pytest

import saq_eval
from saq_eval import SaqEvalError
from saq_eval.evaluation.executors import dask_worker
from saq_eval.evaluation.executors.dask_worker import forget, receive, sees, software
from saq_eval.evaluation.store import make_store
from saq_eval.evaluation.store.store import identity_of
from tests.evaluation.made import make_settings


def test_a_store_is_seen_if_it_is_the_same_one(tmp_path):
    one, other = (make_store(tmp_path / name).folder for name in ("one", "other"))
    assert sees(one, identity_of(one)) and not sees(one, identity_of(other))
    assert not sees(tmp_path, "") and not sees(tmp_path / "none", identity_of(one))


def test_settings_name_a_store_of_this_machine_unless_the_senders_is_seen(digits, tmp_path):
    settings = make_settings(digits, tmp_path / "store")
    path = tmp_path / "settings"
    for identity, folder in ((identity_of(settings.store), settings.store), ("another", tmp_path / "own")):
        path.write_bytes(cloudpickle.dumps(settings))
        dask_worker._use_store(path, identity, tmp_path / "own")
        assert cloudpickle.loads(path.read_bytes()).store == folder
    assert identity_of(tmp_path / "own") not in ("", "another", identity_of(settings.store))


def test_other_software_is_refused_by_name():
    assert software()["saq_eval"] == saq_eval.__version__ and software()["torch"]
    dask_worker._check(software(), "tcp://there")
    with pytest.raises(SaqEvalError, match=r"tcp://there has another torch .* and not 0\.1: install the same versions"):
        dask_worker._check({**software(), "torch": "0.1"}, "tcp://there")


@pytest.fixture
def worker(tmp_path):
    (tmp_path / "saq_eval-run").mkdir()
    return SimpleNamespace(local_directory=str(tmp_path / "worker"))


def test_parts_are_put_together_and_an_error_reaches_the_call_that_waits(worker, tmp_path, monkeypatch):
    parts = queue.SimpleQueue()
    monkeypatch.setitem(dask_worker._ARRIVING, "one", parts)
    receive("run", "one", b"ab", False, dask_worker=worker)
    receive("run", "one", b"c", True, dask_worker=worker)
    assert (parts.get(), parts.get()) == (False, True)
    assert dask_worker._part(worker, "run", "one").read_bytes() == b"abc"
    receive("gone", "one", b"c", True, dask_worker=worker)  # a folder that is not there
    assert isinstance(parts.get(), OSError)
    receive("run", "nobody waits", b"c", True, dask_worker=worker)
    assert len(list((tmp_path / "saq_eval-run").iterdir())) == 1


def test_what_a_run_has_sent_is_removed(worker, tmp_path):
    (tmp_path / "saq_eval-other").mkdir()
    forget(["run", "not there"], dask_worker=worker)
    assert [path.name for path in tmp_path.iterdir()] == ["saq_eval-other"]
