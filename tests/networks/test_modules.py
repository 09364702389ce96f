"""Tests of copying networks."""

from __future__ import annotations

import collections
import copy
import threading

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from saq_eval.core.errors import SaqEvalError
from saq_eval.networks.modules import (
    CallableNetwork,
    as_module,
    channels_last,
    check_finite,
    computed_tensors,
    make_permanent,
    private_copy,
    read_logits,
    readable,
    unwrapped,
)


def _pruned(layer: nn.Module) -> nn.Module:
    return prune.l1_unstructured(layer, "weight", amount=0.5)


COMPUTING = {
    "prune": _pruned,
    "weight_norm": weight_norm,
    "spectral_norm": spectral_norm,
    "parametrized weight_norm": parametrizations.weight_norm,
    "parametrized spectral_norm": parametrizations.spectral_norm,
}


@pytest.mark.parametrize("compute", COMPUTING.values(), ids=COMPUTING)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_layers_that_compute_their_weights_are_copied(compute):
    network = nn.Sequential(compute(nn.Conv2d(1, 2, 3)), nn.ReLU()).eval()
    x = torch.rand(2, 1, 6, 6)
    expected = network(x)  # leaves computed weights on the layer
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    copied = private_copy(network)
    assert torch.equal(copied(x), expected)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(1)
    assert not torch.equal(copied(x), expected)
    assert torch.equal(network(x), expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_what_a_forward_pass_left_in_a_container_is_copied():
    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.seen = nn.Linear(3, 2), {"outputs": []}

        def forward(self, x: Tensor) -> Tensor:
            self.seen["outputs"].append(self.layer(x))
            return self.seen["outputs"][-1]

    network = Remembers()
    output = network(torch.rand(1, 3))
    copied = private_copy(network)
    assert torch.equal(copied.seen["outputs"][0], output)
    copied(torch.rand(1, 3))
    assert len(network.seen["outputs"]) == 1


def test_mode_and_hooks_are_kept():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train()
    network[0].eval()
    network[0].register_forward_hook(lambda layer, inputs, output: output + 1)
    copied = private_copy(network)
    assert (copied.training, copied[0].training, copied[1].training) == (True, False, True)
    x = torch.rand(1, 2)
    assert torch.equal(copied[0](x), network[0](x))


def test_a_network_that_cannot_be_copied_is_an_error():
    network = nn.Linear(2, 2)
    network.lock = threading.Lock()
    with pytest.raises(SaqEvalError, match="network Linear cannot be copied: TypeError: cannot pickle"):
        private_copy(network)


def test_numbers_that_are_none_are_named():
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    check_finite(network.state_dict(), "the network")
    with torch.no_grad():
        network[0].weight[0] = float("nan")
        network[1].running_var[1] = float("inf")
    with pytest.raises(
        SaqEvalError, match=r"^my file holds .* not finite: 0.weight \(2 of 6\), 1.running_var \(1 of 3\)$"
    ):
        check_finite(network.state_dict(), "my file")


@pytest.mark.parametrize("compute", COMPUTING.values(), ids=COMPUTING)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_computed_weights_become_permanent_in_a_copy_alone(compute):
    network = nn.Sequential(compute(nn.Conv2d(1, 2, 3)), nn.ReLU())
    x = torch.rand(2, 1, 6, 6)
    network(x)  # in train mode, where spectral norm's estimate moves
    copied = private_copy(network)
    make_permanent(copied)
    assert copied.training and type(copied[0]) is nn.Conv2d and not computed_tensors(copied)
    assert isinstance(copied[0].weight, nn.Parameter)
    torch.testing.assert_close(copied(x), network.eval()(x))
    assert [(found.layer, found.tensor) for found in computed_tensors(network)] == [("0", "weight")]


def test_a_layer_that_was_pruned_and_normed():
    network = nn.Sequential(nn.Linear(4, 3)).eval()
    prune.l1_unstructured(network[0], "weight", amount=0.5)
    prune.random_unstructured(network[0], "bias", amount=1)
    parametrizations.orthogonal(other := nn.Linear(3, 3))
    network.append(other)
    x = torch.rand(5, 4)
    copied = private_copy(network)
    make_permanent(copied)
    torch.testing.assert_close(copied(x), network(x))
    assert set(copied.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_a_function_becomes_a_module_and_is_shared_with_copies():
    layer = nn.Linear(4, 3)
    assert as_module(layer) is layer and as_module(layer.forward) is layer and as_module(layer.__call__) is layer
    x = torch.rand(2, 4, requires_grad=True)
    module = as_module(lambda images: layer(images))
    assert module(x).grad_fn is not None and not module.training and not list(module.parameters())
    assert private_copy(module).function is module.function
    by_numpy = as_module(lambda images: [images.numpy() @ np.ones((4, 3), np.float32)])
    assert by_numpy(x).shape == (2, 3) and by_numpy(x).grad_fn is None

    def fails(images):
        raise KeyError("no such input")

    with pytest.raises(SaqEvalError, match="the network fails cannot read images .* on cpu: KeyError: 'no such input'"):
        readable(CallableNetwork(fails), x)


def test_what_is_no_network_is_named():
    exported = torch.export.export(nn.Linear(2, 2), (torch.rand(1, 2),))
    for thing, shown in ((nn.Linear, "the type Linear"), ("net", "'net'"), (exported, ".*: give its `.module\\(\\)`")):
        with pytest.raises(SaqEvalError, match=f"a function of images that returns logits, not {shown}$"):
            as_module(thing)


Y, Z = torch.rand(2, 5), torch.rand(2, 7)
Named = collections.namedtuple("Named", ["logits", "aux_logits"])


@pytest.mark.parametrize(
    "output",
    [
        Y,
        Y.numpy(),
        [Y],
        {"out": Y},
        {"loss": Z, "logits": Y},
        Named(Y, None),
        type("Output", (), {"logits": Y})(),
        (Y, Y + 1),
        (Y, None, torch.rand(2, 3, 4, 4)),
    ],
)
def test_logits_are_read_where_there_is_one_way(output):
    assert torch.equal(read_logits(output), Y)


@pytest.mark.parametrize("output", [(Y, Z), (torch.rand(2, 3, 4, 4), Y), {"a": Y, "b": Y}, [], None, Y[0], Y.argmax(1)])
def test_logits_are_not_guessed(output):
    with pytest.raises(SaqEvalError, match="the network returns .*: wrap it in a module whose forward"):
        read_logits(output)


def test_wrappers_are_taken_off_unless_they_have_hooks():
    layer = nn.Linear(2, 2)
    assert unwrapped(nn.DataParallel(torch.compile(layer))) is layer
    wrapper = nn.DataParallel(layer)
    wrapper.register_forward_hook(lambda module, inputs, output: output + 1)
    assert unwrapped(wrapper) is wrapper


class Views(nn.Module):
    """A network that reads contiguous tensors only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(144, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).view(len(x), -1))


def test_a_network_that_reads_contiguous_tensors_only():
    network = Views().eval()
    images = torch.rand(2, 3, 8, 8)
    expected = network(images)
    moved = channels_last(copy.deepcopy(network))
    with pytest.raises(RuntimeError):
        moved(images)
    torch.testing.assert_close(readable(moved, images), expected)
    assert moved.conv.weight.is_contiguous()


def test_a_network_of_grey_images_that_reads_contiguous_tensors_only():
    """Weights of one channel are contiguous in either format."""
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), ReadsContiguous())
    images = torch.rand(2, 1, 8, 8)
    expected = network(images)
    moved = network.to(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError, match="view size"):
        moved(images)
    torch.testing.assert_close(readable(moved, images), expected)


class ReadsContiguous(nn.Module):
    def forward(self, x):
        return x.view(len(x), -1)
