"""What holds of every registered quantizer, at each bit width that it has, per layer and per channel; and one of one's own."""

import pytest
import torch
from torch import nn

from saq_eval import Bits, SaqEvalError, Scheme, explain, freeze, quantize
from saq_eval.quantization import (
    QUANTIZERS,
    QuantConv2d,
    QuantLinear,
    WeightQuantizer,
    load_scheme,
    register_quantizer,
)
from saq_eval.quantization.packing import pack, unpack
from saq_eval.quantization.quantizers import WIDTHS, dequantize, widths_text

EACH = pytest.mark.parametrize(
    ("name", "bits", "granularity"),
    [
        (name, bits, granularity)
        for name, kind in QUANTIZERS.items()
        for bits in kind.widths
        for granularity in ("layer", "channel")
    ],
)
SOURCES = pytest.mark.parametrize("source", [nn.Conv2d(3, 7, 3), nn.Linear(40, 7)], ids=["convolution", "linear"])


def quantized(source, name, bits, granularity):
    layer = (QuantConv2d if isinstance(source, nn.Conv2d) else QuantLinear)(source, QUANTIZERS[name](bits, granularity))
    with torch.no_grad():
        layer.weight.mul_(1 + 0.2 * torch.rand_like(layer.weight))  # as training would move them
    return layer


def scheme_of(name, bits, granularity):
    return Scheme("x", Bits(bits, 4), Bits(bits, 4), weights=name, granularity=granularity)


def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(320, 3)
    ).eval()


@EACH
@SOURCES
def test_codes_are_whole_numbers_within_the_bits_and_reach_both_ends(source, name, bits, granularity):
    layer = quantized(source, name, bits, granularity)
    codes = layer.quantizer.codes(layer.weight)
    assert codes.shape == layer.weight.shape and torch.equal(codes, codes.round())
    assert codes.min() >= 0 and codes.max() <= 2**bits - 1
    assert (
        codes.max() - codes.min() >= 2**bits // 2
    )  # more than half of the levels lie between the smallest and largest


@EACH
@SOURCES
def test_weights_are_the_nearest_levels(source, name, bits, granularity):
    layer = quantized(source, name, bits, granularity)
    weights, scale = layer.quantizer(layer.weight), layer.quantizer.scale(layer.weight)
    assert scale.shape == (() if granularity == "layer" else (7,)) and not scale.requires_grad and (scale > 0).all()
    every_code = torch.arange(2**bits).repeat(7, 1)
    levels = dequantize(every_code, scale, bits)
    assert all(torch.isin(channel, of_channel).all() for channel, of_channel in zip(weights, levels, strict=True))
    assert torch.equal(weights, dequantize(layer.quantizer.codes(layer.weight), scale, bits))
    surrogate, half = layer.quantizer.surrogate(layer.weight).flatten(1), scale.reshape(-1, 1)
    between = surrogate.abs() <= (2**bits - 1) * half
    assert between.float().mean() > 0.3
    assert ((weights.flatten(1) - surrogate).abs() <= half * 1.02)[between].all()


@EACH
@SOURCES
def test_gradients_pass_as_if_nothing_were_rounded(source, name, bits, granularity):
    layer = quantized(source, name, bits, granularity)
    upstream = torch.randn_like(layer.weight)
    (ours,) = torch.autograd.grad((layer.quantizer(layer.weight) * upstream).sum(), layer.weight)
    (unrounded,) = torch.autograd.grad((layer.quantizer.surrogate(layer.weight) * upstream).sum(), layer.weight)
    assert torch.equal(ours, unrounded) and torch.isfinite(ours).all() and (ours != 0).all()


@EACH
def test_a_layer_of_zeros_stays_finite(name, bits, granularity):
    source = nn.Linear(3, 2)
    nn.init.zeros_(source.weight)
    layer = quantized(source, name, bits, granularity)
    layer(torch.ones(1, 3)).sum().backward()
    assert torch.equal(layer.quantizer(layer.weight), torch.zeros(2, 3))
    assert torch.isfinite(layer.weight.grad).all()


@EACH
def test_frozen_and_packed_the_weights_are_the_training_forms_bit_for_bit(name, bits, granularity):
    network, x = small(), torch.rand(2, 1, 12, 12)
    twin = quantize(network, scheme_of(name, bits, granularity))
    frozen = freeze(twin)
    for place in ("3", "6"):  # behind which no batch norm is folded
        layer, plain = twin.get_submodule(place), frozen.get_submodule(place)
        assert type(layer.quantizer) is QUANTIZERS[name] and layer.quantizer.bits == bits == int(plain.weight_bits)
        assert torch.equal(plain.weight, layer.quantizer(layer.weight))
    folded = twin.get_submodule("0")
    assert torch.equal(frozen.get_submodule("0").weight_code, folded.quantizer.codes(folded.weight).int())
    network.apply(lambda module: getattr(module, "reset_parameters", lambda: None)())
    other = freeze(quantize(network, scheme_of(name, bits, granularity)))
    assert not torch.equal(other(x), frozen(x))
    unpack(other, pack(frozen))
    assert all(torch.equal(other.state_dict()[key], value) for key, value in frozen.state_dict().items())
    assert torch.equal(other(x), frozen(x))


def test_dequantize_scales_each_output_channel():
    codes = torch.tensor([[0, 3], [1, 2]])
    assert dequantize(codes, torch.tensor([1.0, 10.0]), 2).tolist() == [[-3, 3], [-10, 10]]


@pytest.fixture
def registered(monkeypatch):
    """Let a test register quantizers that are gone after it."""
    monkeypatch.setattr(QUANTIZERS, "_entries", dict(QUANTIZERS._entries))


@pytest.fixture
def three_sigma(registered):
    @register_quantizer("three-sigma", bits=(4, 3, 8), reference="a test")
    class ThreeSigma(WeightQuantizer):
        """Levels evenly spaced up to three standard deviations."""

        def scale(self, latent):
            return self.per_group(latent, lambda rows: 3 * rows.std(dim=1)) / (2**self.bits - 1)

    return ThreeSigma


def test_one_class_is_a_quantizer_that_is_trained_frozen_packed_and_explained(three_sigma, tmp_path, digits):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "name: mine\n"
        "default: {weight_bits: 3, activation_bits: 4}\n"
        "ends: {weight_bits: 8, activation_bits: 8}\n"
        "weights: three-sigma\n"
        "granularity: channel\n"
    )
    assert three_sigma.widths == (3, 4, 8) and three_sigma.reference == "a test"
    network = nn.Sequential(
        nn.Conv2d(1, 4, 5, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(180, 10)
    )
    images, labels = digits.images[:8], digits.labels[:8]
    twin = quantize(network, str(file))
    assert [type(twin.get_submodule(place).quantizer) for place in ("0", "2", "5")] == [three_sigma] * 3
    nn.functional.cross_entropy(twin(images), labels).backward()
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter -= 0.1 * parameter.grad
    frozen = freeze(twin)
    torch.testing.assert_close(frozen(images), twin.eval()(images))
    assert int(frozen.get_submodule("2").weight_bits) == 3
    stored = freeze(quantize(network, str(file)))
    unpack(stored, pack(frozen))
    assert torch.equal(stored(images), frozen(images))
    maps = explain("lrp", stored, images, labels)
    assert maps.shape == (8, 28, 28) and maps.abs().sum(dim=(1, 2)).min() > 0
    assert torch.equal(maps, explain("lrp", frozen, images, labels))
    assert load_scheme(file).description() == (
        "mine: hidden layers 3/4, first and last layer 8/8, weights by ThreeSigma, scaled per channel"
    )


def test_what_cannot_be_registered(registered):
    def register(name="x", bits=(2,), kind=None):
        register_quantizer(name, bits=bits, reference="none")(kind or type("X", (WeightQuantizer,), {}))

    for wrong, message in (
        ({"name": "sawb"}, "the quantizer 'sawb' is registered already"),
        ({"name": "a b"}, "a quantizer's name has up to 100 letters"),
        ({"bits": ()}, "'x' has bit widths from 2 to 16, not ()"),
        ({"bits": (1, 2)}, "'x' has bit widths from 2 to 16, not (1, 2)"),
        ({"kind": nn.Linear}, "'x' is a subclass of WeightQuantizer, not the type Linear"),
    ):
        with pytest.raises(SaqEvalError) as error:
            register(**wrong)
        assert message in str(error.value)
    assert QUANTIZERS["sawb"].widths == (2,) and "x" not in QUANTIZERS
    register()
    assert QUANTIZERS["x"].widths == (2,)


def test_widths_for_people():
    assert [widths_text(widths) for widths in (WIDTHS, (2,), (2, 3), (4, 5, 6), (2, 4, 8))] == [
        *("2 to 16", "2", "2 or 3", "4 to 6", "2 or 4 or 8")
    ]
