import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.data.geometry import Geometry
from saq_eval.networks.sources import open_source

CODE = """
import sys, torch
from torch import nn

def make(width=4, loaded=False):
    network = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width * 4, 2))
    network.double_of = width
    if loaded:
        generator = torch.Generator().manual_seed(0)
        for parameter in network.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
    return network.train()

KEPT = make()
def kept(): return KEPT
def nan():
    network = make()
    torch.nn.init.constant_(network[0].weight, float("nan"))
    return network
def lazy(): return nn.LazyLinear(3)
def leave(): sys.exit(1)
def number(): return 3
def quantized(): return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), {nn.Linear})
"""


@pytest.fixture(autouse=True)
def code(tmp_path, monkeypatch):
    (tmp_path / "nets_of_a_user.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def test_the_code_runs_only_if_it_is_trusted():
    with pytest.raises(SaqEvalError, match="'nets_of_a_user:make' is code from outside .* --trust-code"):
        open_source("nets_of_a_user:make")


def test_weights_from_a_file(tmp_path):
    from nets_of_a_user import make

    network = make(width=6)
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    opened = open_source("nets_of_a_user:make?width=6&mean=0.5&size=4@w.safetensors", trust_code=True)
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(opened.module(images), network.eval()(images)) and not opened.module.training
    content = (tmp_path / "w.safetensors").read_bytes()
    assert (opened.weights, opened.file_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (opened.architecture, opened.geometry, opened.classes) == ("nets_of_a_user:make", Geometry(4), None)
    assert opened.preprocessing.mean == (0.5,)
    anew = opened.build()
    assert anew[0].weight.shape == (6, 3, 3, 3) and not torch.equal(anew[0].weight, network[0].weight)


def test_a_function_that_loads_its_own_weights_cannot_be_built_anew():
    opened = open_source("nets_of_a_user:make?loaded=true", trust_code=True)
    again = open_source("nets_of_a_user:make?loaded=true", trust_code=True)
    assert opened.build is None and opened.file_bytes == 0
    assert opened.weights == again.weights != open_source("nets_of_a_user:make", trust_code=True).weights
    assert open_source("nets_of_a_user:make", trust_code=True).build is not None


def test_a_network_that_the_module_keeps_is_not_changed():
    from nets_of_a_user import KEPT

    opened = open_source("nets_of_a_user:kept", trust_code=True)
    assert KEPT.training and not opened.module.training and opened.build is None


def test_tensors_of_quantization_tools_are_taken():
    opened = open_source("nets_of_a_user:quantized", trust_code=True)
    assert opened.module(torch.rand(1, 3, 2, 2)).shape == (1, 2) and opened.build is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("make?depth=3", "unexpected keyword argument 'depth'"),
        (
            "make?width=5@w.safetensors",
            r"w.safetensors does not fit the architecture: .*0.weight of shape \(6, 3",
        ),
        ("make@none.safetensors", "none.safetensors: the weights cannot be read: No such file"),
        ("nan", "the network of nets_of_a_user:nan holds numbers that are not finite"),
        ("lazy", "the network of nets_of_a_user:lazy has layers without weights"),
        ("leave", "SystemExit: 1"),
        ("number", "builds no nn.Module but int"),
        ("nothing", "cannot be imported: AttributeError"),
    ],
)
def test_what_fails_is_named(tmp_path, text, message):
    save_file(nn.Sequential(nn.Conv2d(3, 6, 3)).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(SaqEvalError, match=message):
        open_source(f"nets_of_a_user:{text}", trust_code=True)
