import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.networks.sources import SOURCES, Opened, open_source, register_source
from saq_eval.networks.sources.base import builds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' names no network; valid: .*torchvision:NAME@FILE, or my_package.nets:function"),
        ("resnet18", "'resnet18' names no network"),
        ("network.onnx", "did you mean onnx:network.onnx"),
        ("torchvison:resnet18@w", "did you mean torchvision:resnet18@w"),
        ("a b:c", "'a b:c' names no network"),
        (":c", "':c' names no network"),
        ("os.path:join/me", "names no network"),
        ("onnx:", "a name is missing after onnx:"),
        ("my_pkg.nets:make", "is code from outside saq_eval"),
        (nn.ReLU(), "the source of a network is a text such as .*, not a ReLU"),
        (None, "the source of a network is a text"),
    ],
)
def test_what_names_no_network_is_told_what_would(text, message):
    with pytest.raises(SaqEvalError, match=message):
        open_source(text)


def test_a_kind_of_source_is_one_decorated_function(monkeypatch):
    monkeypatch.setattr(SOURCES, "_entries", dict(SOURCES._entries))

    @register_source("mine")
    def open_mine(source, *, trust_code):
        network = nn.Linear(source.arguments["width"], 2).eval()
        return Opened(network, source.name, source.preprocessing(Preprocessing()), None, None, "0", 0, None)

    opened = open_source("mine:small?width=3&mean=0.5@file")
    assert (opened.architecture, opened.module.in_features) == ("small", 3)
    assert opened.preprocessing.mean == (0.5,)
    with pytest.raises(SaqEvalError, match="'mine' is registered already"):
        register_source("mine")(open_mine)
    with pytest.raises(SaqEvalError, match="letters, digits and '_', not 'a:b'"):
        register_source("a:b")


def test_a_network_built_anew_draws_from_the_global_generator_and_is_in_eval_mode():
    make = builds("linear", nn.Linear, {"in_features": 2, "out_features": 2})
    torch.manual_seed(1)
    first, second = make(), make()
    torch.manual_seed(1)
    assert torch.equal(make().weight, first.weight) and not torch.equal(first.weight, second.weight)
    assert not first.training
