"""What tells networks apart."""

import copy
import functools
import subprocess
import sys
import threading
import types

import pytest
import torch
from torch import nn

from saq_eval import load_model
from saq_eval.networks.fingerprint import fingerprint, form_of
from tests import ROOT
from tests.attribution import foreign


class Rounded(nn.Module):
    """A network whose bit width is a plain attribute."""

    def __init__(self, bits=8, scale=None):
        super().__init__()
        self.layer, self.bits = nn.Linear(4, 3), bits
        self.offset = scale  # a tensor that is in no state dict

    def forward(self, x):
        return self.layer(torch.round(x * 2**self.bits) / 2**self.bits)


def same_weights(network):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.5)
    return network


def test_equal_parts_give_equal_fingerprints():
    network = foreign.densenet()  # batch norm counts batches in a tensor without axes
    assert fingerprint(network) == fingerprint(copy.deepcopy(network)) is not None
    before = copy.deepcopy(network.state_dict())
    fingerprint(network)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "changed",
    [
        lambda: Rounded(bits=4),
        lambda: Rounded(scale=torch.ones(1)),
        lambda: Rounded().train(False),
        lambda: nn.Sequential(Rounded()),
        lambda: nn.utils.parametrizations.weight_norm(Rounded().layer),
        lambda: with_hook(Rounded(), 2),
    ],
)
def test_other_parts_than_weights_count(changed):
    assert fingerprint(same_weights(Rounded())) != fingerprint(same_weights(changed()))


def with_hook(network, factor):
    network.register_forward_hook(lambda module, inputs, output: factor * output)
    return network


def test_a_hook_counts_by_what_it_does_and_not_by_its_number():
    one, again, other = (fingerprint(with_hook(same_weights(Rounded()), factor)) for factor in (2, 2, 3))
    assert one == again != other


def test_the_code_of_a_class_of_a_notebook_counts():
    def network(code):
        names = {"nn": nn, "__name__": "notebook"}
        exec(code, names)
        return names["Net"]()

    code = "class Net(nn.Module):\n    def forward(self, x):\n        return {} * x.flatten(1)\n"
    assert fingerprint(network(code.format(2))) != fingerprint(network(code.format(3)))


@pytest.mark.filterwarnings("ignore")
def test_every_packed_weight_counts(monkeypatch):
    """Their texts show a few values only."""
    make = functools.partial(foreign.by_torchao, "Int8WeightOnlyConfig")
    one, again = fingerprint(make()), fingerprint(make())
    network = foreign.trained()
    with torch.no_grad():
        network[6].weight[16, 100] += 0.05 * network[6].weight.abs().max()
    monkeypatch.setattr(foreign, "trained", lambda: copy.deepcopy(network))
    assert one == again != fingerprint(make())


def test_what_cannot_be_read_has_no_fingerprint():
    network = Rounded()
    network.lock = threading.Lock()
    assert fingerprint(network) is None


def test_parts_may_hold_each_other():
    network = Rounded()
    network.parts = [types.SimpleNamespace(network=network, parts=None)]
    network.parts[0].parts = network.parts
    assert fingerprint(network) == fingerprint(copy.deepcopy(network)) is not None


def test_another_process_finds_the_same():
    made = "torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))"
    code = f"import torch; from saq_eval.networks.fingerprint import fingerprint as f; torch.manual_seed(0); print(f({made}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    torch.manual_seed(0)
    assert done.stdout.strip() == fingerprint(eval(made)), done.stderr


def test_networks_that_differ_in_their_weights_alone_have_one_form():
    first, second, other, coarse = (
        load_model("digits", name).network for name in ("cnn-w4a4", "cnn-w4a4-s1", "cnn-fp32", "cnn-w2a2")
    )
    assert form_of(first) == form_of(second) != None  # noqa: E711
    assert len({form_of(network) for network in (first, other, coarse)}) == 3
    assert form_of(torch.nn.Sequential(torch.nn.Flatten())) is None
