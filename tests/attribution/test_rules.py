"""The copy that methods with rules work on: what it holds, and what it refuses."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from saq_eval import SaqEvalError, explain, freeze
from saq_eval.attribution import METHODS, rules
from saq_eval.attribution.rules import Apart, ClippedReLU, explainable
from saq_eval.networks.preprocessing import Normalize, Preprocessing
from tests.conftest import settle

WITH_RULES = [name for name, method in METHODS.items() if method.layers is not None]
FREE = [name for name, method in METHODS.items() if method.layers is None and method.family != "control"]


def test_the_copy_computes_the_same(network, digits):
    copied = explainable(network, rules.LRP_LAYERS, "lrp")
    with torch.no_grad():
        torch.testing.assert_close(copied(digits.images[:8]), network(digits.images[:8]), atol=1e-5, rtol=1e-5)
    assert not {id(p) for p in copied.parameters()} & {id(p) for p in network.parameters()}
    assert all(node.op in ("placeholder", "call_module", "output") for node in copied.graph.nodes)
    called = [node.target for node in copied.graph.nodes if node.op == "call_module"]
    assert len(called) == len(set(called))


def test_what_has_a_rule_reads_a_tensor_of_its_own(network):
    copied = explainable(network, rules.DEEPLIFT_LAYERS, "deeplift")
    for node in copied.graph.nodes:
        if node.op == "call_module" and isinstance(copied.get_submodule(node.target), rules._WITH_RULE):
            source = node.args[0]
            assert isinstance(copied.get_submodule(source.target), Apart) and list(source.users) == [node]


@pytest.mark.parametrize("name", WITH_RULES)
@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (nn.SiLU(), "SiLU (1)"),
        (nn.LeakyReLU(), "LeakyReLU (1)"),
        (nn.MaxPool2d(1, return_indices=False), None),
        (type("Secret", (nn.ReLU,), {"forward": lambda self, x: x.abs()})(), "Secret (1)"),
        (type("Scaled", (nn.Module,), {"forward": lambda self, x: x * 2})(), "mul (mul)"),
        (type("Shifted", (nn.Module,), {"forward": lambda self, x: x + 1})(), "add (add)"),
        (type("Weighted", (nn.Module,), {"forward": lambda self, x: torch.add(x, x, alpha=2)})(), "add (add)"),
        (
            type("Branching", (nn.Module,), {"forward": lambda self, x: x if x.sum() > 0 else -x})(),
            "depends on its input",
        ),
    ],
)
def test_a_layer_without_a_rule_is_refused_by_name(name, layer, named, background):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), layer, nn.Flatten(), nn.Linear(3 * 26 * 26, 10)).eval()
    images, targets = torch.rand(2, 1, 28, 28), torch.tensor([0, 1])
    if named is None:
        assert explain(name, network, images, targets, background=background).shape == (2, 28, 28)
        return
    with pytest.raises(SaqEvalError) as error:
        explain(name, network, images, targets, background=background)
    message = str(error.value)
    assert named in message and message.startswith(name) and "\n" not in message
    # What is advised works: Grad-CAM does not, where nobody knows which rectifier is the last.
    free = [free for free in FREE if free != "gradcam" or named != "depends on its input"]
    assert message.endswith(f"methods that need no rules work: {', '.join(free)}") and not any(
        f" {name}," in message for name in WITH_RULES
    )


@pytest.mark.parametrize("name", ["deeplift", "lrp", "lrp_epsilon"])
def test_group_norm_has_no_rule_but_lets_gradients_through(name):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(2704, 10)).eval()
    images, targets = torch.rand(1, 1, 28, 28), torch.tensor([0])
    with pytest.raises(SaqEvalError, match=r"no rule for GroupNorm \(_?1\)"):
        explain(name, network, images, targets)
    assert explain("guided_backprop", network, images, targets).any()


@pytest.mark.parametrize("name", WITH_RULES)
def test_a_call_that_fails_leaves_the_network_as_it_was(name, small, batch, background):
    before = {key: tensor.clone() for key, tensor in small.state_dict().items()}
    expected = explain(name, small, *batch, background=background)

    def interrupt(module, gradients):
        raise KeyboardInterrupt

    handle = small.act2.register_full_backward_pre_hook(interrupt)  # in the middle, with all of the method's hooks set
    with pytest.raises(KeyboardInterrupt):
        explain(name, small, *batch, background=background)
    handle.remove()
    assert all(torch.equal(tensor, before[key]) for key, tensor in small.state_dict().items())
    torch.testing.assert_close(explain(name, small, *batch, background=background), expected)


@pytest.mark.parametrize("name", WITH_RULES)
def test_preprocessing_in_front_of_a_network(name, small, batch, background):
    # (x − 0) / 1: a layer more, and nothing else.
    wrapped = nn.Sequential(Normalize(Preprocessing((0.0,), (1.0,))), small).eval()
    plain = explain(name, small, *batch, background=background)
    torch.testing.assert_close(explain(name, wrapped, *batch, background=background), plain)


def test_deeplift_is_complete_behind_preprocessing(small, batch):
    images, targets = batch
    network = nn.Sequential(Normalize(Preprocessing((0.3,), (0.4,))), copy.deepcopy(small)).eval()
    precise = copy.deepcopy(network).double()
    with torch.no_grad():
        rise = (precise(images.double()) - precise(torch.zeros_like(images).double())).gather(1, targets[:, None])[:, 0]
    total = explain("deeplift", network, images, targets).double().sum(dim=(1, 2))
    assert (total - rise).abs().max() <= 1e-4 * rise.abs().max()


def test_a_clipped_rectifier():
    x = torch.linspace(-1, 3, 9, requires_grad=True)
    y = ClippedReLU(2.0)(x)
    torch.testing.assert_close(y, x.clamp(0, 2))
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("pool", [nn.MaxPool2d(3, stride=1, padding=1), nn.MaxPool2d(2, ceil_mode=True), nn.AdaptiveMaxPool2d(4)])  # fmt: skip  # noqa: E501
def test_deeplift_of_max_pooling_alone(pool):
    """Windows that overlap, also on the image itself."""
    torch.manual_seed(2)
    features = pool(torch.zeros(1, 1, 9, 9)).numel()
    network = nn.Sequential(pool, nn.Flatten(), nn.Linear(features, 3)).eval()
    images, targets = torch.rand(5, 1, 9, 9), torch.tensor([0, 1, 2, 0, 1])
    background = torch.rand(1, 1, 9, 9)
    with torch.no_grad():
        rise = (network(images) - network(background)).gather(1, targets[:, None])[:, 0]
    total = explain("deeplift_shap", network, images, targets, background=background).sum(dim=(1, 2))
    torch.testing.assert_close(total, rise, atol=1e-5, rtol=1e-4)


def test_functions_and_modules_are_explained_alike(batch):
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4 * 13 * 13, 10)

        def forward(self, x):
            return self.fc(torch.flatten(F.max_pool2d(F.relu(self.conv(x)), 2), 1))

    torch.manual_seed(0)
    functional = Functional().eval()
    modules = nn.Sequential(functional.conv, nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), functional.fc).eval()
    for name in ("guided_backprop", "deconvolution", "deeplift", "lrp", "lrp_epsilon"):
        torch.testing.assert_close(explain(name, functional, *batch), explain(name, modules, *batch))


@pytest.mark.parametrize("name", ["deeplift", "lrp"])
def test_freezing_is_advised_where_it_helps(name, background):
    torch.manual_seed(0)
    layers = [layer for _ in range(20) for layer in (nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())]
    layers = [nn.Conv2d(1, 4, 3, padding=1), *layers, nn.Flatten(), nn.Linear(4 * 784, 10)]
    images, targets = torch.rand(2, 1, 28, 28), torch.tensor([0, 1])
    network = settle(nn.Sequential(*layers), images)
    if name == "deeplift":
        layers.insert(1, nn.Softplus())  # for which freezing does not help
        network = nn.Sequential(*layers).eval()
        with pytest.raises(SaqEvalError, match=r"deeplift: no rule for Softplus \(1\); methods that need no") as error:
            explain(name, network, images, targets)
        assert "freeze" not in str(error.value)
        return
    with pytest.raises(SaqEvalError) as error:
        explain(name, network, images, targets)
    start = (
        "lrp: no rule for BatchNorm2d (2, 5, 8 and 17 more); it has one for all layers of `saq_eval.freeze(network)`"
    )
    assert str(error.value).startswith(start) and len(str(error.value)) < 300
    assert explain(name, freeze(network), images, targets).any()


@pytest.mark.parametrize("name", WITH_RULES)
def test_methods_are_advised_only_where_they_work(name, background):
    """A network in whose middle the gradient is cut, so that it reaches the rounded feature map, but not the image."""
    rounds = type("Rounds", (nn.Module,), {"forward": lambda self, x: torch.round(4 * x)})()
    network = nn.Sequential(nn.Conv2d(1, 4, 3), rounds, nn.Flatten(), nn.Linear(2704, 10)).eval()
    images, targets = torch.rand(2, 1, 28, 28), torch.tensor([0, 1])
    with pytest.raises(SaqEvalError) as error:
        explain(name, network, images, targets, background=background)
    advised = str(error.value).rpartition("work: ")[2].split(", ")
    assert advised == ["gradcam", "occlusion", "feature_ablation", "kernel_shap", "lime", "rise"]


def test_a_layer_used_twice_keeps_its_name_and_its_second_use_has_that_of_the_frozen_form():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU())
            self.fc = nn.Linear(64, 3)

        def forward(self, x):
            return self.fc(self.block[1](self.block(x)).flatten(1))

    network = Twice().eval()
    for graph in (rules.layer_graph(network), freeze(network)):
        called = [node.target for node in graph.graph.nodes if node.op == "call_module"]
        assert called == ["block.0", "block.1", "block_2", "flatten", "fc"]
