import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from saq_eval import Bits, SaqEvalError, Scheme, freeze, quantize
from saq_eval.quantization import PACTActivation, QuantConv2d, QuantLinear
from saq_eval.quantization.weights import dequantize
from tests.conftest import settle

SCHEMES = ["fp32", "w4a4", "mixed", "w2a2"]


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
        difference = freeze(network)(digits.images) - network(digits.images)
    assert difference.abs().max() < 1e-5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_frozen_form_is_made_of_plain_layers(trained, scheme):
    frozen = freeze(trained(scheme))
    kinds = {type(module) for module in frozen.children()}
    activation = nn.ReLU if scheme == "fp32" else PACTActivation
    assert kinds == {nn.Conv2d, nn.Linear, nn.MaxPool2d, nn.Flatten, activation}
    assert not frozen.training and not any(p.requires_grad for p in frozen.parameters())
    calls = [node.target for node in frozen.graph.nodes if node.op == "call_module"]
    assert len(calls) == len(set(calls)) == len(list(frozen.children()))


@pytest.mark.parametrize(("scheme", "hidden"), [("w4a4", [4] * 5), ("w2a2", [2] * 5), ("mixed", [4, 4, 4, 2, 2])])
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
        ours, parents = getattr(twin, name).quantized_weight(), getattr(cnn, name).weight
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


def test_functions_and_modules_of_one_name_stay_apart(digits):
    class Colliding(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.last = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4 * 24 * 24, 10)
            self.relu, self.flatten = nn.ReLU6(), nn.Flatten()

        def forward(self, x):
            x = F.relu(self.first(x))
            return self.last(torch.flatten(self.relu(self.second(x)), 1))

    images = digits.images[:8] * 30  # so that ReLU6 clips
    network = Colliding().eval()
    torch.testing.assert_close(freeze(network)(images), network(images), atol=1e-4, rtol=1e-4)
    rectifiers = [m for m in quantize(network, "w4a4").modules() if isinstance(m, PACTActivation)]
    assert sorted((m.bits, m.alpha.item()) for m in rectifiers) == [(4, 10.0), (8, 6.0)]


def test_converting_leaves_the_global_generator_alone(cnn):
    before = torch.random.get_rng_state()
    freeze(quantize(cnn, "w2a2"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_batch_norm_without_running_statistics_is_named():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.ReLU(), nn.Flatten())
    with pytest.raises(SaqEvalError, match=r"1 \(BatchNorm2d without running statistics\)"):
        freeze(network)


def test_everything_unsupported_is_named_at_once():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.GELU(), nn.Flatten(), nn.LSTM(3, 3), nn.Linear(4, 2))
    with pytest.raises(SaqEvalError, match=r"cannot convert .*1 \(GELU\), 3 \(LSTM\)"):
        quantize(network, "w4a4")


def test_a_layer_without_a_rectifier_before_it_is_named():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    with pytest.raises(SaqEvalError, match="no ReLU stands before 1;"):
        quantize(network, "w4a4")
    scheme = Scheme("x", Bits(4, 4), Bits(8, 8), overrides={"1": Bits(4, 32)})
    assert isinstance(quantize(network, scheme).get_submodule("2"), PACTActivation)


def test_a_quantized_network_cannot_be_quantized_again(cnn):
    with pytest.raises(SaqEvalError, match="quantized already"):
        quantize(quantize(cnn, "w4a4"), "w2a2")


def test_a_shared_layer_is_an_error():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(self.layer(x))

    with pytest.raises(SaqEvalError, match=r"layer \(used more than once\)"):
        quantize(Shared(), "w4a4")


def test_control_flow_on_the_input_is_an_error():
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(SaqEvalError, match="depends on its input"):
        quantize(Branching(), "w4a4")
