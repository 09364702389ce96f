"""Quantization without training, beside the full-precision network."""

import copy
import importlib

import pytest
import torch
from torch import nn

from saq_eval import Bits, SaqEvalError, Scheme, freeze, quantize
from saq_eval.networks.architectures import ARCHITECTURES
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.quantization import PACTActivation, SignedPACT
from saq_eval.quantization.calibration import calibrate, post_training, values
from saq_eval.quantization.packing import pack, unpack
from saq_eval.quantization.quantizers import dequantize
from saq_eval.zoo import load_model
from tests.conftest import settle

W4A4 = post_training("w4a4")


def group_normed():
    layers = [
        nn.Conv2d(1, 8, 3, bias=False),
        nn.GroupNorm(2, 8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.ReLU(),
        nn.Dropout(),
    ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10))


def mobilenet():
    network = importlib.import_module("torchvision.models").mobilenet_v2(num_classes=10, width_mult=0.25)
    network.features = network.features[:6]
    network.classifier[1] = nn.Linear(8, 10)
    return network


NETWORKS = {
    "residual": lambda: ARCHITECTURES["resnet20"](in_channels=3, width=8, blocks=1),
    "linear bottlenecks": mobilenet,
    "group norm": lambda: nn.Sequential(nn.Conv2d(3, 1, 1), group_normed()),
}


@pytest.fixture(scope="module")
def images():
    smooth = torch.rand(24, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    return nn.functional.interpolate(smooth, 16, mode="bilinear")


@pytest.fixture(scope="module", params=NETWORKS)
def network(request, images):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return settle(NETWORKS[request.param](), images)


@torch.no_grad()
def distance(one, other, images):
    """Return how far a network's logits are from another's, in the spread of the other's."""
    logits = other(images)
    return ((one(images) - logits).square().mean() / logits.var(dim=0).mean()).sqrt().item()


@pytest.mark.parametrize("scheme", ["w8a8", W4A4, post_training("mixed")], ids=["w8a8", "w4a4-ptq", "mixed-ptq"])
def test_what_is_stored_and_read_is_what_was_calibrated(network, images, scheme):
    made = calibrate(network, scheme, images)
    again = freeze(quantize(copy.deepcopy(network).apply(reset), scheme))
    unpack(again, pack(made))
    with torch.no_grad():
        assert torch.equal(again(images), made(images))
    for module in made.modules():
        if hasattr(module, "weight_code"):
            bits = int(module.weight_bits)
            assert torch.equal(module.weight, dequantize(module.weight_code, module.weight_scale, bits))
            assert module.weight_code.min() >= 0 and module.weight_code.max() < 2**bits
    assert not made.training and not any(parameter.requires_grad for parameter in made.parameters())


def reset(module):
    getattr(module, "reset_parameters", lambda: None)()


def test_more_bits_are_nearer_to_full_precision(network, images):
    exact = freeze(network)
    wide, narrow = (
        distance(calibrate(network, post_training(name), images), exact, images) for name in ("w8a8", "w4a4")
    )
    assert wide < 0.15 and wide < narrow / 2


def test_the_means_of_the_logits_are_those_of_full_precision(network, images):
    with torch.no_grad():
        expected = network(images).mean(dim=0)
        made, uncorrected = (
            calibrate(network, W4A4, images, correct_biases=c)(images).mean(dim=0) for c in (True, False)
        )
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)
    assert (uncorrected - expected).abs().max() > 1e-2 * expected.abs().max()


def test_a_small_trained_network_stays_accurate_at_4_bits(digits):
    model = load_model("digits", "cnn-fp32")
    with torch.no_grad():
        for rounding in ("least-squares", "nearest"):
            made = calibrate(model.network, W4A4, digits.images[:64], rounding=rounding)
            assert (made(digits.images).argmax(dim=1) == digits.labels).float().mean() > 0.98
        two = {
            rounding: distance(
                calibrate(model.network, post_training("w2a2"), digits.images[:64], rounding=rounding),
                model.network,
                digits.images[64:],
            )
            for rounding in ("least-squares", "nearest")
        }
    assert two["least-squares"] < 0.8 * two["nearest"]


def test_nothing_of_the_users_is_changed_and_the_result_repeats(cnn, digits):
    cnn.train()
    state, images = copy.deepcopy(cnn.state_dict()), digits.images[:40]
    before, rng = images.clone(), torch.get_rng_state()
    one, other = (calibrate(cnn, W4A4, images).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.equal(state[name], tensor) for name, tensor in cnn.state_dict().items())
    assert cnn.training and all(parameter.requires_grad for parameter in cnn.parameters())
    assert torch.equal(images, before) and torch.equal(rng, torch.get_rng_state())


def test_chunks_and_files_change_nothing_but_the_order_of_sums(cnn, digits, monkeypatch):
    images = digits.images[:40]
    whole = calibrate(cnn, W4A4, images, rounding="nearest").state_dict()
    monkeypatch.setattr(values, "CHUNK_BYTES", 3 * images[0].nbytes)
    monkeypatch.setattr(values.Store.__init__, "__defaults__", (10_000,))
    parts = calibrate(cnn, W4A4, images, rounding="nearest").state_dict()
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, atol=2e-3, rtol=2e-3)


def test_preprocessing_comes_before_the_network(cnn, digits):
    preprocessing = Preprocessing(mean=(0.3,), std=(0.5,))
    one = calibrate(cnn, W4A4, digits.images[:40], preprocessing=preprocessing).state_dict()
    other = calibrate(cnn, W4A4, (digits.images[:40] - 0.3) / 0.5).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_relu6_still_ends_at_6(images):
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10)
    )
    with torch.no_grad():
        network[0].weight.mul_(40)
    for clip in ("mse", "quantile:1"):
        made = calibrate(network.eval(), "w8a8", images, clip=clip)
        assert 5 < made.get_submodule("1").alpha <= 6 + 1e-5
        assert distance(made, freeze(network), images) < 0.2


def test_clips_of_signed_activations_bound_their_magnitude(images):
    network = settle(mobilenet(), images)
    made = calibrate(network, "w8a8", images, clip="quantile:1")
    signed = {name: module for name, module in made.named_modules() if isinstance(module, SignedPACT)}
    assert signed
    for module in signed.values():
        module.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0].abs().max(), module.alpha)))
    seen = []
    made(images)
    assert len(seen) == len(signed)
    for largest, alpha in seen:
        torch.testing.assert_close(alpha, largest, atol=0, rtol=0.02)


def test_dead_channels_and_activations_that_are_constant_or_never_positive(images):
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(),  # the first channel is dead
        nn.Conv2d(4, 4, 3), nn.ReLU(),  # always 0.7
        nn.Conv2d(4, 4, 3), nn.ReLU(),  # never positive
        nn.Conv2d(4, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
    ).eval()  # fmt: skip
    with torch.no_grad():
        network[1].weight[0] = network[1].bias[0] = 0
        network[3].weight.zero_()
        network[3].bias.fill_(0.7)
        network[5].bias.fill_(-100)
        made = calibrate(network, W4A4, images)
        assert torch.equal(made.get_submodule("0").weight[0], torch.zeros(3, 3, 3))
        assert made.get_submodule("4").alpha.item() == pytest.approx(0.7)
        assert made.get_submodule("6").alpha == made.get_submodule("8").alpha == 1
        assert made.get_submodule("7").bias is None
        torch.testing.assert_close(made(images), network(images), atol=1e-5, rtol=1e-4)


def test_layers_of_full_precision_stay_as_they_are(cnn, digits):
    scheme = Scheme("some", Bits(32, 32), Bits(32, 32), overrides={"conv3": Bits(4, 4)})
    made, exact = calibrate(cnn, scheme, digits.images[:40]), freeze(cnn)
    quantized = [name for name, module in made.named_modules() if hasattr(module, "weight_code")]
    assert quantized == ["conv3"]
    assert [name for name, module in made.named_modules() if isinstance(module, PACTActivation)] == ["act2"]
    for layer in ("conv1", "conv2"):
        assert torch.equal(made.get_submodule(layer).bias, exact.get_submodule(layer).bias)
    assert torch.equal(made.get_submodule("conv4").weight, exact.get_submodule("conv4").weight)


def test_a_schemes_variant_for_after_training_has_its_bits():
    scheme = post_training("mixed")
    assert (scheme.name, scheme.weights, scheme.two_bit_weights, scheme.granularity) == (
        "mixed-ptq",
        "mse",
        "mse",
        "channel",
    )
    assert scheme.later == Bits(2, 2) and post_training(scheme) == scheme
    assert "MSE" in scheme.description()


def broken(images):
    images = images.clone()
    images[[2, 5]] = torch.nan
    return images


@pytest.mark.parametrize(
    ("scheme", "change", "arguments", "message"),
    [
        ("fp32", lambda x: x, {}, "the scheme 'fp32' is of full precision, so there is nothing to calibrate"),
        ("w4a4", broken, {}, "2 of 40 calibration images hold NaN or infinity, the first is 2"),
        (
            "w4a4",
            lambda x: x[:0],
            {},
            r"calibration images are a float32 tensor .*, not torch.float32 \(0, 1, 28, 28\)",
        ),
        ("w4a4", lambda x: x.double(), {}, "are a float32 tensor"),
        ("w4a4", lambda x: x.numpy(), {}, "are a float32 tensor .*, not a ndarray"),
        ("w4a4", lambda x: x.repeat(1, 3, 1, 1), {}, r"the network cannot read images of shape \(3, 28, 28\)"),
        ("w4a4", lambda x: x, {"clip": "most"}, "a clip is 'mse', or"),
        ("w4a4", lambda x: x, {"rounding": "up"}, "unknown rounding 'up'.* valid: least-squares, nearest"),
    ],
)
def test_bad_input_is_one_sentence(cnn, digits, scheme, change, arguments, message):
    with pytest.raises(SaqEvalError, match=message):
        calibrate(cnn, scheme, change(digits.images[:40]), **arguments)


@pytest.mark.parametrize(
    "form", [lambda n: quantize(n, "w4a4"), lambda n: freeze(quantize(n, "w4a4"))], ids=["training", "frozen"]
)
def test_a_quantized_network_is_refused(cnn, digits, form):
    with pytest.raises(
        SaqEvalError, match="the network is quantized already, in conv1.*; quantize its full-precision parent"
    ):
        calibrate(form(cnn), "w8a8", digits.images[:8])
