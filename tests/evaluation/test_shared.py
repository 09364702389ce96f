"""What jobs share is read by other processes, once, and never changed."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from saq_eval.evaluation import shared as module
from saq_eval.evaluation.executors import Call, Processes
from saq_eval.evaluation.scoring import logits_of
from saq_eval.evaluation.shared import share, shared_at
from saq_eval.networks.inference import predict
from tests.evaluation.made import make_settings, make_shared


@pytest.fixture
def networks(cnn):
    other = copy.deepcopy(cnn)
    with torch.no_grad():
        other.fc2.bias += 1.0
    return {"a": cnn, "b": other}


def test_this_process_finds_the_objects_themselves(networks, digits, tmp_path):
    shared = make_shared(digits, make_settings(digits, tmp_path), networks)
    with share(shared, apart=False) as place:
        assert shared_at(place) is shared and shared.network("a") is networks["a"]
    with pytest.raises(FileNotFoundError):
        shared_at(place)


def test_other_processes_read_the_same(networks, digits, tmp_path, monkeypatch):
    shared = make_shared(digits, make_settings(digits, tmp_path), networks)
    with share(shared, apart=True) as place:
        monkeypatch.setattr(module, "_OPEN", {})  # as in a process that has set nothing up
        read = shared_at(place)
        assert shared_at(place) is read is not shared
        assert list(read.networks) == ["a", "b"] and read.network("b") is read.network("b")
        assert torch.equal(read.test_set.read(range(20)), shared.test_set.read(range(20)))
        assert torch.equal(read.test_set.labels, shared.test_set.labels)
        assert torch.equal(read.settings.sample.images, shared.settings.sample.images)
        for identity in networks:
            ours, theirs = (each.logits(identity, each.test_set.batches(8)) for each in (shared, read))
            np.testing.assert_array_equal(ours, theirs)
        module._OPEN[place] = shared  # what leaves the block takes it away again


class Local(nn.Module):
    """Of a module that workers cannot be sure to import."""

    def forward(self, images):
        return images.flatten(1)[:, 300:310] * 2


def test_workers_compute_with_networks_of_any_class(digits, tmp_path):
    shared = make_shared(digits, make_settings(digits, tmp_path), {"local": Local().eval()})
    with share(shared, apart=True) as place:
        call = Call(logits_of, ("local", "mine", np.array([3, 7]), "print"), ("local",))
        with Processes(2) as executor:
            ((_, logits),) = executor.run([call], place)
    np.testing.assert_allclose(logits, digits.images[[3, 7]].flatten(1)[:, 300:310] * 2)


def test_logits_are_those_of_the_whole_set_whatever_the_batch(networks, digits, tmp_path):
    for batch_size in (3, 64):
        shared = make_shared(digits, make_settings(digits, tmp_path, batch_size=batch_size), networks)
        logits = shared.logits("a", shared.test_set.batches(batch_size))
        np.testing.assert_allclose(logits, predict(networks["a"], digits.images[:20]), atol=1e-5)
        assert logits.dtype == np.float32 and logits.shape == (20, 10)


def test_what_jobs_share_is_computed_once(networks, digits, tmp_path, monkeypatch):
    shared = make_shared(digits, make_settings(digits, tmp_path), networks)
    calls = []

    def compute(value):
        return lambda: calls.append(value) or np.full((2, 3), value)

    with share(shared, apart=True) as place:
        np.testing.assert_array_equal(shared.once("a", compute(1.0)), np.ones((2, 3)))
        np.testing.assert_array_equal(shared.once("b", compute(2.0)), np.full((2, 3), 2.0))
        monkeypatch.setattr(module, "_OPEN", {})  # as in another process
        again = shared_at(place).once("a", compute(3.0))
        np.testing.assert_array_equal(again, np.ones((2, 3)))
        assert calls == [1.0, 2.0]
        with pytest.raises(ValueError, match="read-only"):
            again[0] = 5
        with pytest.raises(ZeroDivisionError):
            shared.once("c", lambda: 1 / 0)
        np.testing.assert_array_equal(shared.once("c", compute(4.0)), np.full((2, 3), 4.0))
        module._OPEN[place] = shared


def test_compiled_passes_give_the_same_logits(networks, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda network, **_: network)  # the compiler itself is tested with `Compiled`
    shared = make_shared(digits, make_settings(digits, tmp_path), networks)
    fast = make_shared(digits, dataclasses.replace(shared.settings, compile=True), networks)
    ours, theirs = (each.logits("b", each.test_set.batches(8, np.arange(20))) for each in (shared, fast))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert fast.compiled("a").network is fast.network("a")
