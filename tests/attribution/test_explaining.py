"""What `explain` promises of every method."""

import copy
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from saq_eval import SaqEvalError, explain, freeze, quantize
from saq_eval.attribution import METHODS, Explainer, Method
from saq_eval.attribution.rules import ClippedReLU
from saq_eval.networks.private import private
from saq_eval.quantization import Bits, PACTActivation, Scheme
from saq_eval.training.loop import start_clips_at_quantile
from saq_eval.zoo import load_training_form
from saq_eval.zoo.finding import find_model
from tests import ROOT
from tests.attribution.conftest import cheap

SEVEN = [9, 8, 7, 6, 5, 4, 3]


def test_maps_depend_on_no_batch_and_no_order(method, small, digits, background):
    # In double precision: single precision rounds differently in another batch, and where that moves a value over a
    # rectifier's or quantizer's edge, a gradient changes.
    network = copy.deepcopy(small).double()
    images, targets = digits.images[:7].double(), digits.labels[:7]

    def maps(positions=slice(None), batch_size=64):
        return explain(
            cheap(method),
            network,
            images[positions],
            targets[positions],
            indices=np.array(SEVEN)[positions].tolist(),
            batch_size=batch_size,
            background=background,
        )

    whole = maps()
    assert whole.shape == (7, 28, 28) and whole.dtype == torch.float32 and torch.isfinite(whole).all()
    tolerance = {"atol": 1e-6 * whole.abs().max().item(), "rtol": 1e-6}
    for batch_size in (1, 7):
        torch.testing.assert_close(maps(batch_size=batch_size), whole, **tolerance)
    backwards = np.arange(6, -1, -1)
    torch.testing.assert_close(maps(backwards, batch_size=3).flip(0), whole, **tolerance)


def test_no_more_images_pass_the_network_than_the_batch_size(method, built, digits, background):
    sizes = []
    network = copy.deepcopy(built("cnn", "w2a2"))
    network.conv1.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    for batch_size in (1, 4, 8):
        sizes.clear()
        explain(
            cheap(method), network, digits.images[:9], digits.labels[:9], batch_size=batch_size, background=background
        )
        # For controls, the network is looked at in four passes of two images, but not asked.
        assert (sum(sizes) > 8) == (METHODS[method].family != "control")
        assert max(sizes) <= max(batch_size, METHODS[method].in_flight)


def test_only_random_methods_depend_on_the_seed(method, small, batch, background):
    state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (explain(cheap(method), small, *batch, seed=seed, background=background) for seed in (0, 1))
    assert torch.equal(first, second) is not METHODS[method].random
    assert torch.equal(state[0], torch.random.get_rng_state()) and (state[1] == np.random.get_state()[1]).all()


def test_the_given_class_is_explained(method, small, batch, background):
    images, targets = batch
    label, other = (
        explain(cheap(method), small, images, t, background=background) for t in (targets, (targets + 1) % 10)
    )
    assert torch.allclose(label, other) is (METHODS[method].family == "control")


def test_signs_are_as_declared(method, small, batch, background):
    maps = explain(cheap(method), small, *batch, background=background)
    if METHODS[method].sign == "absolute":
        assert (maps >= 0).all()
    elif method not in ("gradcam",):  # signed, but keeps the positive part
        assert (maps < 0).any()


def test_colour_channels_are_summed(method, background):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 144, 5)).eval()
    images = F.interpolate(torch.rand(2, 3, 3, 3), 12, mode="bilinear")  # smooth, so that it has superpixels
    targets = torch.tensor([1, 4])
    maps = explain(cheap(method), network, images, targets, background=torch.rand(2, 3, 12, 12))
    assert maps.shape == (2, 12, 12) and (maps.amax((1, 2)) > maps.amin((1, 2))).all()
    if method == "saliency":
        pixels = images.clone().requires_grad_()
        network(pixels).gather(1, targets[:, None]).sum().backward()
        torch.testing.assert_close(maps, pixels.grad.abs().sum(1))
    if method == "input_x_gradient":
        pixels = images.clone().requires_grad_()
        network(pixels).gather(1, targets[:, None]).sum().backward()
        torch.testing.assert_close(maps, (pixels.grad * images).sum(1))


def test_the_network_is_left_as_it_was(method, small, batch, background):
    before = {name: tensor.clone() for name, tensor in small.state_dict().items()}
    attributes = {name: sorted(vars(module)) for name, module in small.named_modules()}
    with torch.no_grad():
        logits = small(batch[0])
    explain(cheap(method), small, *batch, background=background)
    assert all(torch.equal(tensor, before[name]) and tensor.dtype == before[name].dtype for name, tensor in small.state_dict().items())  # fmt: skip  # noqa: E501
    assert {name: sorted(vars(module)) for name, module in small.named_modules()} == attributes
    for module in small.modules():
        assert not (module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)
        assert not any(parameter.requires_grad for parameter in module.parameters())
    with torch.no_grad():
        assert torch.equal(small(batch[0]), logits)


def test_a_method_says_nothing_on_standard_error(method, small, batch, background, recwarn, capfd):
    explain(cheap(method), small, *batch, background=background)
    assert not [
        warning for warning in recwarn if "captum" in str(warning.filename) or "zennit" in str(warning.filename)
    ]
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def sixteen_bits(digits):
    """The trained digits network with 16 bits everywhere, and its full-precision parent with the same clips."""
    card, folder = find_model("digits", "cnn-fp32", None)
    parent = load_training_form(card, folder).eval()
    wide = quantize(parent, Scheme("w16a16", Bits(16, 16), Bits(16, 16)))
    start_clips_at_quantile(wide, digits.images)
    clipped = freeze(parent)
    wide = freeze(wide)
    for name, module in wide.named_modules():
        if isinstance(module, PACTActivation):
            clipped.set_submodule(name, ClippedReLU(float(module.alpha)))
    return wide, clipped


def test_quantized_code_paths_add_nothing_of_their_own(method, sixteen_bits, digits, background):
    if METHODS[method].family == "control":
        pytest.skip("a control does not ask the network")
    wide, clipped = sixteen_bits
    images, targets = digits.images[:12], digits.labels[:12]
    one, other = (explain(cheap(method), net, images, targets, background=background) for net in (wide, clipped))
    assert (one - other).norm() <= 1e-2 * other.norm()


@pytest.mark.parametrize("name", ["saliency", "integrated_gradients", "smoothgrad", "lrp", "deeplift", "rise"])
def test_a_pass_has_as_many_images_as_fit_into_memory(name, precise, precise_batch, monkeypatch):
    from saq_eval.networks import memory

    images, targets = precise_batch
    whole = explain(cheap(name), precise, images, targets)
    monkeypatch.setattr(memory, "BUDGET", 2.5 * memory.bytes_per_image(private(precise), images[:1]))
    passed = []
    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda module, inputs, output: passed.append(len(output)) if isinstance(module, nn.Linear) else None
    )
    try:
        parts = explain(cheap(name), precise, images, targets)
    finally:
        handle.remove()
    assert len(images) > 2 and max(passed) == 2
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["integrated_gradients", "gradient_shap", "deeplift", "occlusion", "feature_ablation", "kernel_shap", "lime", "rise"])  # fmt: skip  # noqa: E501
def test_the_fill_is_a_parameter(name, small, batch):
    spec = cheap(name)
    joint = "," if ":" in spec else ":"
    maps = [explain(f"{spec}{joint}fill={fill}", small, *batch) for fill in ("black", "mean", "blur")]
    assert not torch.allclose(maps[0], maps[1]) and not torch.allclose(maps[1], maps[2])
    assert torch.equal(maps[0], explain(spec, small, *batch))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("smooth_grad", "unknown method 'smooth_grad'; did you mean 'smoothgrad'"),
        ("occlusion:windows=3", "unknown parameter of occlusion 'windows'; did you mean 'window'"),
        ("occlusion:window=0", "occlusion: window=0: input should be greater than or equal to 1"),
        ("occlusion:window=wide", "occlusion: window=wide: input should be a valid integer"),
        ("integrated_gradients:baseline=white", "baseline=white: input should be 'black', 'mean' or 'blur'"),
        ("integrated_gradients:fill=white", "fill=white: input should be 'black', 'mean' or 'blur'"),
        ("smoothgrad:stdev=nan", "stdev=nan: input should be"),
        ("saliency:n_steps=3", "saliency has no parameters"),
        ("occlusion:7", "a parameter is written name=value"),
        ("deeplift_shap", "deeplift_shap compares with typical images"),
        ("gradcam:layer=conv9", "unknown layer with spatial extent 'conv9'; did you mean 'conv"),
    ],
)
def test_bad_requests(spec, message, small, batch):
    with pytest.raises(SaqEvalError, match=message):
        explain(spec, small, *batch)


def test_counts_that_differ(small, batch):
    with pytest.raises(SaqEvalError, match="6 images go with 5 targets"):
        explain("saliency", small, batch[0], batch[1][:5])
    with pytest.raises(SaqEvalError, match="batch_size is at least 1"):
        explain("saliency", small, *batch, batch_size=0)
    assert explain("saliency", small, batch[0][:0], batch[1][:0]).shape == (0, 28, 28)


@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (6, 1, 14, 28), (6, 7, 28, 28), (6,)])
def test_attributions_of_another_shape_are_refused(shape, small, batch):
    method = Method("flat", "gradient", "none", "signed", lambda parameters: 1, lambda batch: torch.zeros(shape))
    with pytest.raises(SaqEvalError, match=re.escape(f"flat returned attributions of shape {shape} for images (6,")):
        explain(Explainer(method), small, *batch)


MEMORY = """
import sys, saq_eval
from saq_eval.attribution import explain
from tests.memory import peak_memory
network = saq_eval.load_model("digits", "cnn-w4a4").network
data = saq_eval.load_dataset("digits", "train")
for spec in sys.argv[1:]:
    explain(spec, network, data.images[:32], data.labels[:32], batch_size=32)
    before = peak_memory()
    explain(spec, network, data.images[:384], data.labels[:384], batch_size=32)
    print(spec, (peak_memory() - before) / 2**20)
"""


def test_memory_does_not_grow_with_the_number_of_images():
    specs = ["saliency", "smoothgrad:n_samples=3", "deeplift", "lrp", "occlusion:window=9,stride=9"]
    done = subprocess.run([sys.executable, "-c", MEMORY, *specs], cwd=ROOT, capture_output=True, text=True, check=True)
    grown = {spec: float(mebibytes) for spec, mebibytes in map(str.split, done.stdout.splitlines())}
    # 384 images' maps are 1 MiB; their activations would be 150. What the allocator keeps comes and goes.
    assert list(grown) == specs and max(grown.values()) < 75, grown
