"""Compiled passes give the network's logits, and the network itself computes where they cannot be had."""

import warnings

import pytest
import torch
from torch import nn

from saq_eval.core.errors import SaqEvalWarning
from saq_eval.networks import compiled
from saq_eval.networks.compiled import Compiled, why_not_compiled


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 4)).eval()


@pytest.mark.parametrize("count", [1, 5, 6, 8, 9])
def test_logits_are_those_of_the_network_in_batches_that_are_filled_up(count, network, monkeypatch):
    seen = []

    def pretend(module, **_):
        return lambda images: (seen.append(len(images)), module(images))[1]

    monkeypatch.setattr(torch, "compile", pretend)
    images = torch.rand(count, 1, 8, 8)
    torch.testing.assert_close(Compiled(network, 8)(images), network(images))
    assert seen == ([8] if count in (6, 8) else [])  # smaller ones are faster as they are, larger ones do not occur


@pytest.mark.skipif(bool(why_not_compiled()), reason=f"torch.compile does not work here: {why_not_compiled()}")
def test_a_network_is_really_compiled(network):
    images = torch.rand(7, 1, 8, 8)
    fast = Compiled(network, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SaqEvalWarning)
        torch.testing.assert_close(fast(images), network(images))
    assert not fast(images).requires_grad


def test_what_cannot_be_compiled_is_computed_by_the_network_and_said_once(network, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", lambda module, **_: fails)
    images, slow = torch.rand(8, 1, 8, 8), Compiled(network, 8)
    with pytest.warns(SaqEvalWarning, match="^a network is not compiled: RuntimeError: no compiler$"):
        torch.testing.assert_close(slow(images), network(images))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slow(images)
    assert "no compiler" in compiled.why_not_compiled()
