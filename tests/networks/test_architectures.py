import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError, register_architecture
from saq_eval.networks.architectures import ARCHITECTURES, find_architecture


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("cnn", {}, (1, 28, 28)),
        (
            "cnn",
            {"in_channels": 3, "image_size": 32, "channels": (8, 16), "pool_after": (2,), "hidden": 5},
            (3, 32, 32),
        ),
        ("resnet20", {}, (1, 28, 28)),
        ("resnet20", {"in_channels": 3, "width": 4, "blocks": 1}, (3, 32, 32)),
        ("resnet20", {"width": 4}, (1, 4, 4)),
    ],
)
def test_architectures_read_images_and_have_an_output_for_each_class(name, arguments, shape):
    network = ARCHITECTURES[name](classes=7, **arguments).eval()
    assert network(torch.rand(2, *shape)).shape == (2, 7)


def test_the_cnn_has_the_layers_that_it_is_asked_for():
    network = ARCHITECTURES["cnn"](channels=(4, 6, 8), pool_after=(1, 3), hidden=5)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in convolutions] == [(1, 4), (4, 6), (6, 8)]
    assert [name for name, _ in network.named_children() if name.startswith("pool")] == ["pool1", "pool3"]
    assert (network.fc1.in_features, network.fc1.out_features) == (8 * 7 * 7, 5)


def test_the_residual_network_has_20_layers_as_in_the_paper():
    network = ARCHITECTURES["resnet20"](in_channels=3)
    layers = [layer for layer in network.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    shortcuts = [layer for layer in layers if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)]
    assert len(layers) - len(shortcuts) == 20 and len(shortcuts) == 2
    # Table 6 of arXiv 1512.03385 says 0.27 million.
    assert sum(p.numel() for layer in layers if layer not in shortcuts for p in layer.parameters()) == pytest.approx(
        0.27e6, rel=0.01
    )


def test_a_block_adds_what_it_was_given():
    block = ARCHITECTURES["resnet20"](width=4).stage1_block2.eval()
    with torch.no_grad():
        block.norm2.weight.zero_()
    x = torch.rand(1, 4, 5, 5)
    assert torch.equal(block(x), x)


def test_registered_functions_are_found_by_name(monkeypatch):
    monkeypatch.setattr(ARCHITECTURES, "_entries", dict(ARCHITECTURES._entries))

    @register_architecture("mine")
    def build(width: int = 2) -> nn.Module:
        return nn.Linear(1, width)

    assert find_architecture("mine") is build
    with pytest.raises(SaqEvalError, match="unknown architecture 'mien'; did you mean 'mine'"):
        find_architecture("mien")


def test_code_runs_only_if_it_is_trusted(tmp_path, monkeypatch):
    (tmp_path / "nets_to_be_trusted.py").write_text("def make(): return 7\nnothing = None\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/nowhere"])
    with pytest.raises(SaqEvalError, match="'nets_to_be_trusted:make' is code from outside .* with --trust-code"):
        find_architecture("nets_to_be_trusted:make")
    assert find_architecture("nets_to_be_trusted:make", trust_code=True)() == 7
    for name, message in (
        ("nets_to_be_trusted:nothing", "is no function but NoneType"),
        ("nets_to_be_trusted:other", "cannot be imported: AttributeError"),
        ("nets_that_are_not_there:make", "cannot be imported: ModuleNotFoundError"),
    ):
        with pytest.raises(SaqEvalError, match=message):
            find_architecture(name, trust_code=True)
