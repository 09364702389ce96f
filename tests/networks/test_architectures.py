import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError, register_architecture
from saq_eval.networks.architectures import ARCHITECTURES, build, find_architecture


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
    def mine(width: int = 2) -> nn.Module:
        return nn.Linear(1, width)

    assert find_architecture("mine") is mine
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


def test_code_that_ends_the_program_or_prints_does_neither(tmp_path, monkeypatch, capsys):
    (tmp_path / "nets_that_misbehave.py").write_text(
        "import sys\nprint('imported')\n"
        "def leave(): sys.exit(3)\n"
        "def fail(width=1): raise KeyError('x')\n"
        "def chat():\n    print('built')\n    from torch import nn\n    return nn.Linear(2, 2)\n"
    )
    (tmp_path / "nets_that_leave.py").write_text("raise SystemExit(4)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SaqEvalError, match="cannot be imported: SystemExit: 4"):
        find_architecture("nets_that_leave:make", trust_code=True)
    for name, arguments, message in (
        ("leave", {}, "'leave' cannot be built with the arguments {}: SystemExit: 3"),
        ("fail", {"width": 2}, "'fail' cannot be built with the arguments {'width': 2}: KeyError: 'x'"),
        ("fail", {"depth": 2}, "unexpected keyword argument 'depth'"),
    ):
        with pytest.raises(SaqEvalError, match=message):
            build(name, find_architecture(f"nets_that_misbehave:{name}", trust_code=True), arguments)
    build("chat", find_architecture("nets_that_misbehave:chat", trust_code=True), {})
    printed = capsys.readouterr()
    assert printed.out == "" and "imported" in printed.err and "built" in printed.err


def test_a_seed_gives_the_same_weights_and_leaves_the_generator_as_it_was():
    before = torch.get_rng_state()
    one, two, other = (build("cnn", ARCHITECTURES["cnn"], {"hidden": 4}, seed) for seed in (1, 1, 2))
    assert torch.equal(one.fc2.weight, two.fc2.weight) and not torch.equal(one.fc2.weight, other.fc2.weight)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(build("cnn", ARCHITECTURES["cnn"], {"hidden": 4}).fc2.weight, one.fc2.weight)
    assert not torch.equal(torch.get_rng_state(), before)


def test_a_function_that_builds_no_network_is_named():
    with pytest.raises(SaqEvalError, match="'mine' builds no nn.Module but dict"):
        build("mine", dict, {"a": 1})
