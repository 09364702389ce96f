import copy
import importlib

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from saq_eval import Bits, SaqEvalError, Scheme, freeze, quantize
from saq_eval.networks.architectures import ARCHITECTURES
from saq_eval.quantization import SCHEMES, PACTActivation, QuantConv2d, QuantLinear, SignedPACT
from saq_eval.quantization.packing import pack, unpack
from saq_eval.quantization.quantizers import dequantize
from tests.conftest import settle

models = importlib.import_module("torchvision.models")


@pytest.fixture
def trained(cnn, digits):
    """Make a quantized network whose weights, clips and statistics have moved by a few training steps."""

    def make(scheme):
        network = quantize(cnn, scheme).train()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.02)
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(network(digits.images[:64]), digits.labels[:64]).backward()
            optimizer.step()
        return network.eval()

    return make


@pytest.mark.parametrize("scheme", SCHEMES)
def test_frozen_form_gives_the_training_forms_logits(trained, digits, scheme):
    network = trained(scheme)
    with torch.no_grad():
        difference = (freeze(network)(digits.images) - network(digits.images)).abs().amax(dim=1)
        # In single precision a value may lie so near the middle between two codes that folding batch norm moves it over.
        assert (difference < 1e-5).float().mean() > 0.98
        exact = copy.deepcopy(network).double()
        torch.testing.assert_close(
            freeze(exact)(digits.images.double()), exact(digits.images.double()), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_frozen_form_is_made_of_plain_layers(trained, scheme):
    frozen = freeze(trained(scheme))
    kinds = {type(module) for module in frozen.children()}
    activation = nn.ReLU if SCHEMES[scheme].is_full_precision else PACTActivation
    assert kinds == {nn.Conv2d, nn.Linear, nn.MaxPool2d, nn.Flatten, activation}
    assert not frozen.training and not any(p.requires_grad for p in frozen.parameters())
    calls = [node.target for node in frozen.graph.nodes if node.op == "call_module"]
    assert len(calls) == len(set(calls)) == len(list(frozen.children()))


@pytest.mark.parametrize(
    ("scheme", "hidden"), [("w8a8", [8] * 5), ("w4a4", [4] * 5), ("w2a2", [2] * 5), ("mixed", [4, 4, 4, 2, 2])]
)
def test_weights_and_activations_take_no_more_values_than_their_bits_allow(trained, digits, scheme, hidden):
    frozen = freeze(trained(scheme))
    layers = [m for m in frozen.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    weight_bits = [8, *hidden, 8]
    for layer, bits in zip(layers, weight_bits, strict=True):
        for channel in layer.weight:
            assert len(channel.unique()) <= 2**bits
        assert torch.equal(layer.weight, dequantize(layer.weight_code, layer.weight_scale, bits))
    seen = {}
    activations = [m for m in frozen.modules() if isinstance(m, PACTActivation)]
    for place, activation in enumerate(activations):
        activation.register_forward_hook(lambda m, i, o, place=place: seen.update({place: len(o.unique())}))
    frozen(digits.images)
    activation_bits = [*hidden, 8]  # a layer's bits are those of what it reads; the last layer reads 8
    assert [activation.bits for activation in activations] == activation_bits
    assert all(seen[place] <= 2**bits for place, bits in enumerate(activation_bits))


def test_quantize_keeps_names_and_weights_and_leaves_the_parent_alone(cnn):
    before = copy.deepcopy(cnn.state_dict())
    twin = quantize(cnn, Scheme("w16", Bits(16, 16), Bits(16, 16)))
    assert all(torch.equal(cnn.state_dict()[name], value) for name, value in before.items())
    assert [name for name, _ in twin.named_children()] == [name for name, _ in cnn.named_children()]
    assert isinstance(twin.conv2, QuantConv2d) and isinstance(twin.fc2, QuantLinear)
    for name in ("conv1", "conv5", "fc1", "fc2"):
        ours, parents = getattr(twin, name).quantizer(getattr(twin, name).weight), getattr(cnn, name).weight
        assert (ours - parents).abs().max() <= parents.abs().max() * 2**-15


def test_at_16_bits_the_twin_computes_what_its_parent_does(cnn, digits):
    twin = quantize(cnn, Scheme("w16", Bits(16, 16), Bits(16, 16)))
    with torch.no_grad():
        expected = cnn(digits.images)
        torch.testing.assert_close(twin(digits.images), expected, atol=2e-3 * expected.abs().max().item(), rtol=0)


def test_full_precision_scheme_changes_nothing(cnn, digits):
    with torch.no_grad():
        assert torch.equal(quantize(cnn, "fp32")(digits.images), cnn(digits.images))


class Residual(nn.Module):
    """One rectifier used twice, functions for modules, a residual sum, dropout, ReLU6, average pooling."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1)
        self.body = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.body2 = nn.Conv2d(6, 6, 3, groups=2)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.tail = nn.Conv2d(6, 6, 3, stride=2, bias=False)
        self.tail_norm = nn.BatchNorm2d(6)
        self.relu6 = nn.ReLU6()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(6, 10)

    def forward(self, x):
        x = self.relu(self.stem(x))
        x = self.relu(self.norm(self.body(x)) + x)
        x = F.relu(self.body2(x))
        x = self.relu6(self.tail_norm(self.tail(self.drop(x))))
        return self.head(torch.flatten(self.pool(x), 1))


def test_residual_network_converts(digits):
    images = digits.images[:64]
    network = settle(Residual(), images)
    with torch.no_grad():
        expected = network(images)
        torch.testing.assert_close(freeze(quantize(network, "fp32"))(images), expected, atol=1e-5, rtol=0)
        twin = quantize(network, "w4a4")
        torch.testing.assert_close(freeze(twin)(images), twin(images), atol=1e-5, rtol=0)
    rectifiers = [m for m in twin.modules() if isinstance(m, nn.ReLU)]
    assert len(rectifiers) == 4 and all(isinstance(m, PACTActivation) for m in rectifiers)
    # A rectifier that no layer reads directly takes the bits of the layer behind the pooling.
    assert twin.relu6.bits == 8 and twin.relu6.alpha.item() == 6
    F.cross_entropy(twin.train()(images), digits.labels[:64]).backward()
    assert all(p.grad is not None for p in twin.parameters())


def test_converting_leaves_the_global_generator_alone(cnn):
    before = torch.random.get_rng_state()
    freeze(quantize(cnn, "w2a2"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_layer_without_a_rectifier_before_it_gets_a_signed_quantizer():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    twin = quantize(network, "w4a4")
    (quantizer,) = [module for module in twin.modules() if isinstance(module, SignedPACT)]
    assert twin.get_submodule("1_input") is quantizer and quantizer.bits == 4
    read = {}
    hook = twin.get_submodule("1").register_forward_pre_hook(
        lambda module, inputs: read.update(values=inputs[0].unique())
    )
    x = torch.randn(8, 1, 6, 6) * 20
    twin(x).sum().backward()
    hook.remove()
    assert 8 < len(read["values"]) <= 15
    assert quantizer.alpha.grad is not None
    torch.testing.assert_close(freeze(twin)(x), twin.eval()(x))
    # Where a scheme wants floating point there, nothing is put in.
    scheme = Scheme("x", Bits(4, 4), Bits(8, 8), overrides={"1": Bits(4, 32)})
    assert not any(isinstance(module, SignedPACT) for module in quantize(network, scheme).modules())


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_resnet20_converts(channels, size):
    torch.manual_seed(0)
    network = ARCHITECTURES["resnet20"](in_channels=channels).double()  # in which no value lies near two codes' middle
    images = torch.rand(8, channels, size, size, dtype=torch.float64)
    settle(network, images)
    twin = quantize(network, "w2a2").double()
    layers = [name for name, module in twin.named_modules() if isinstance(module, (QuantConv2d, QuantLinear))]
    assert len(layers) == 20 + 2 and layers[0] == "conv1" and layers[-1] == "fc"
    assert "stage2_block1.shortcut" in layers
    assert not any(isinstance(module, SignedPACT) for module in twin.modules())
    # The sum's rectifier feeds the next block's convolution and its shortcut alike.
    assert twin.get_submodule("stage1_block3.act2").bits == 2 and twin.get_submodule("stage3_block3.act2").bits == 8
    with torch.no_grad():
        torch.testing.assert_close(freeze(twin)(images), twin(images), atol=1e-5, rtol=0)
        torch.testing.assert_close(freeze(network)(images), network(images), atol=1e-6, rtol=1e-6)
    kept = set(dict(twin.named_modules()))
    assert set(layers) <= {name for name, _ in freeze(twin).named_modules()} <= kept


@pytest.mark.parametrize(
    ("name", "signed"),
    [
        ("resnet18", 0),
        ("mobilenet_v2", 17),  # one per linear bottleneck
        ("vgg11_bn", 0),
    ],
)
def test_torchvisions_networks_convert_and_take_a_training_step(name, signed):
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = getattr(models, name)(num_classes=10)
    if name == "vgg11_bn":  # whose head alone would take gigabytes here
        network.classifier[0] = nn.Linear(network.classifier[0].in_features, 64)
        network.classifier[3], network.classifier[6] = nn.Linear(64, 64), nn.Linear(64, 10)
    twin = quantize(network, "w4a4").train()
    assert sum(isinstance(module, SignedPACT) for module in twin.modules()) == signed
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.01)
    F.cross_entropy(twin(images), torch.tensor([1, 2])).backward()
    assert all(parameter.grad is not None for parameter in twin.parameters())
    optimizer.step()
    twin.eval()
    twin.double()
    frozen = freeze(twin)
    with torch.no_grad():
        torch.testing.assert_close(frozen(images.double()), twin(images.double()), atol=1e-6, rtol=1e-6)
    bits = {int(module.weight_bits) for module in frozen.modules() if hasattr(module, "weight_bits")}
    assert bits == {4, 8}


def test_a_quantized_network_cannot_be_quantized_again(cnn):
    with pytest.raises(SaqEvalError, match="quantized already"):
        quantize(quantize(cnn, "w4a4"), "w2a2")


def _settled(network, shape=(4, 1, 12, 12)):
    """Move a network's batch statistics and affine numbers away from where they start."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
    return network.eval(), torch.rand(shape)


LAYERS_AND_NORMS = {  # by what becomes of the norm
    "convolution": (lambda: [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)], "folds"),
    "convolution, dropout between": (lambda: [nn.Conv2d(1, 3, 3), nn.Dropout2d(), nn.BatchNorm2d(3)], "folds"),
    "convolution, pooling between": (lambda: [nn.Conv2d(1, 3, 3), nn.MaxPool2d(2), nn.BatchNorm2d(3)], "stays"),
    "linear over 2 axes": (lambda: [nn.Flatten(), nn.Linear(144, 6), nn.BatchNorm1d(6)], "folds"),
    "linear over 2 axes, twice": (
        lambda: [nn.Flatten(), nn.Linear(144, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5), nn.BatchNorm1d(5)],
        "folds",
    ),
    "linear over 3 axes": (lambda: [nn.Flatten(1, 2), nn.Linear(12, 12), nn.BatchNorm1d(12)], "stays"),
    "linear over 4 axes": (lambda: [nn.Linear(12, 7), nn.BatchNorm2d(1)], "stays"),
    "linear over 4 axes of one size": (lambda: [nn.Conv2d(1, 10, 3), nn.Linear(10, 10), nn.BatchNorm2d(10)], "stays"),
    "norm first": (lambda: [nn.BatchNorm2d(1), nn.Conv2d(1, 3, 3)], "stays"),
}


@pytest.mark.parametrize("scheme", ["fp32", "w4a4"])
@pytest.mark.parametrize(("layers", "fate"), LAYERS_AND_NORMS.values(), ids=LAYERS_AND_NORMS)
def test_a_norm_is_folded_only_where_it_acts_on_the_layers_outputs(layers, fate, scheme):
    network, x = _settled(nn.Sequential(*layers(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10)))
    network(x)
    network = quantize(network, scheme).double().eval()
    frozen = freeze(network)
    torch.testing.assert_close(frozen(x.double()), network(x.double()), atol=1e-9, rtol=0)
    kept = any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in frozen.modules())
    assert kept == (fate == "stays")


def test_a_norm_that_stays_is_stored(tmp_path):
    network, x = _settled(
        nn.Sequential(nn.Flatten(1, 2), nn.Linear(12, 12), nn.BatchNorm1d(12), nn.Flatten(), nn.Linear(144, 3))
    )
    frozen = freeze(quantize(network, "w4a4"))
    again = freeze(quantize(network.apply(lambda module: getattr(module, "reset_parameters", lambda: None)()), "w4a4"))
    unpack(again, pack(frozen))
    assert torch.equal(again(x), frozen(x))


COMPUTED = {
    "prune": (lambda layer: prune.l1_unstructured(layer, "weight", 0.5), "prune.remove"),
    "weight_norm": (weight_norm, "remove_weight_norm"),
    "spectral_norm": (spectral_norm, "remove_spectral_norm"),
    "parametrized weight_norm": (parametrizations.weight_norm, "remove_parametrizations"),
    "parametrized spectral_norm": (parametrizations.spectral_norm, "remove_parametrizations"),
}


@pytest.mark.parametrize(("compute", "remedy"), COMPUTED.values(), ids=COMPUTED)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_weights_that_hooks_compute(compute, remedy):
    network, x = _settled(
        nn.Sequential(
            compute(nn.Conv2d(1, 4, 3)), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), compute(nn.Linear(400, 10))
        )
    )
    network.train()(x)
    network.eval()
    torch.testing.assert_close(freeze(network)(x), network(x))
    torch.testing.assert_close(freeze(quantize(network, "fp32"))(x), network(x))
    with pytest.raises(
        SaqEvalError, match=rf"0.weight \(.*\), 4.weight \(.*\); make them permanent first, with .*{remedy}$"
    ):
        quantize(network, "w4a4")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("tensor", ["0.weight", "1.running_var", "4.bias"])
def test_numbers_that_are_not_finite_become_no_codes(tensor, value):
    network, _ = _settled(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(400, 10))
    )
    twin = quantize(network, "w4a4")
    tensors = pack(freeze(twin))
    for broken in (network, twin):
        broken.state_dict()[tensor].flatten()[0] = value
        with pytest.raises(SaqEvalError, match=rf"not finite: {tensor} \(1 of"):
            freeze(broken)
    with pytest.raises(SaqEvalError, match=rf"not finite: {tensor} \(1 of"):
        quantize(network, "w4a4")
    twin.state_dict()[tensor].flatten()[0] = 1.0
    frozen = freeze(twin)
    frozen.state_dict()["4.bias"][0] = value
    with pytest.raises(SaqEvalError, match=r"not finite: 4.bias \(1 of 10\)"):
        pack(frozen)
    tensors["0.weight_scale"][1] = value
    with pytest.raises(SaqEvalError, match=r"not finite: 0.weight_scale \(1 of 4\)"):
        unpack(frozen, tensors)
