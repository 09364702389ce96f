"""The low bits are real: hidden layers computed on integers alone, from the packed file, give the network's own results."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn

from saq_eval import load_dataset, load_model
from saq_eval.networks.inference import predict
from saq_eval.quantization import PACTActivation


def product(codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return codes @ weights, int32; by floats, which are exact on integers below 2^24 and many times as fast."""
    assert weights.dtype == np.int32 and codes.dtype == np.int32
    assert codes.min() >= 0 and np.abs(weights).sum(axis=0).max() * int(codes.max()) < 2**24
    sums = (codes.astype(np.float32) @ weights.astype(np.float32)).astype(np.int32)
    assert (sums[:200] == codes[:200] @ weights).all()
    return sums


def integer_layer(layer: nn.Conv2d | nn.Linear, codes: np.ndarray) -> np.ndarray:
    """Accumulate Σ (2 · weight code − (2^k − 1)) · activation code in int32: (n, out, ...)."""
    weights = 2 * layer.weight_code.numpy() - (2 ** int(layer.weight_bits) - 1)
    if isinstance(layer, nn.Linear):
        return product(codes, weights.T)
    (pad, _), (side, _) = layer.padding, layer.kernel_size
    assert layer.stride == (1, 1) and layer.groups == 1

    def convolved(some: np.ndarray) -> np.ndarray:
        padded = np.pad(some, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
        windows = sliding_window_view(padded, (side, side), axis=(2, 3))
        columns = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, weights[0].size)
        sums = product(columns, weights.reshape(len(weights), -1).T)
        return sums.reshape(len(some), *windows.shape[2:4], -1).transpose(0, 3, 1, 2)

    return np.concatenate([convolved(codes[first : first + 100]) for first in range(0, len(codes), 100)])


def codes_of(activation: PACTActivation, x: np.ndarray) -> np.ndarray:
    """Quantize float values to the codes 0 to 2^k − 1 of a PACT activation."""
    levels = 2**activation.bits - 1
    return np.rint(np.clip(x * np.float32(levels / activation.alpha.item()), 0, levels)).astype(np.int32)


def run(network: nn.Module, images: torch.Tensor, given: dict[str, np.ndarray] | None = None):
    """Run a cnn with integers between its first activation and its last layer.

    Args:
        given: codes to go on from after each activation, by its name, instead of those just computed.

    Returns:
        The logits, and the codes after each hidden layer's activation, by its name.
    """
    last = [name for name, module in network.named_children() if isinstance(module, (nn.Conv2d, nn.Linear))][-1]
    values, codes, step, seen = images, None, None, {}
    accumulated = None
    for name, module in network.named_children():
        if codes is None and not isinstance(module, PACTActivation):
            values = module(values)  # the first layer reads the image
        elif isinstance(module, PACTActivation):
            if codes is not None:  # one rescale turns the accumulators into the activation's own range
                values = torch.from_numpy(accumulated)
            codes = codes_of(module, values.numpy())
            step = module.alpha.item() / (2**module.bits - 1)
            if accumulated is not None:
                seen[name] = codes
            if given is not None:
                codes = given[name]
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            sums = integer_layer(module, codes)
            shape = (1, -1) + (1,) * (sums.ndim - 2)
            scale = (module.weight_scale.double().numpy() * step).reshape(shape)
            accumulated = (sums * scale + module.bias.double().numpy().reshape(shape)).astype(np.float32)
            if name == last:
                return accumulated, seen
        elif isinstance(module, nn.MaxPool2d):
            windows = sliding_window_view(codes, (2, 2), axis=(2, 3))[:, :, ::2, ::2]
            codes = windows.max(axis=(4, 5))  # the maximum of codes is the code of the maximum
        elif isinstance(module, nn.Flatten):
            codes = codes.reshape(len(codes), -1)
    raise AssertionError("no last layer")


@pytest.fixture(params=["digits", "fashionmnist"])
def images(request):
    dataset = request.param
    if dataset != "digits":
        request.getfixturevalue("data_root")
    split = "train" if dataset == "digits" else "test"  # of the digits, only the training set has a thousand images
    images = load_dataset(dataset, split).images[:1000]
    assert len(images) == 1000
    return dataset, images


@pytest.mark.parametrize(
    "name",
    [
        *("cnn-w4a4", "cnn-w2a2"),
        *(pytest.param(name, marks=pytest.mark.validation) for name in ("cnn-w4a4-sgt", "cnn-w2a2-sgt")),
    ],
)
def test_integer_arithmetic_gives_the_networks_own_activations_and_classes(images, name):
    dataset, images = images
    network = load_model(dataset, name).frozen
    own = {}

    def keep(layer: str) -> None:
        network.get_submodule(layer).register_forward_hook(lambda _, __, output: own.update({layer: output.numpy()}))

    for layer, module in network.named_children():
        if isinstance(module, PACTActivation):
            keep(layer)
    expected = network(images).argmax(dim=1).numpy()
    codes = {}
    for layer, values in own.items():
        activation = network.get_submodule(layer)
        levels = 2**activation.bits - 1
        exact = values * (levels / activation.alpha.item())
        codes[layer] = np.rint(exact).astype(np.int32)
        assert np.abs(exact - codes[layer]).max() < 1e-4 and codes[layer].min() >= 0 and codes[layer].max() <= levels

    # Layer by layer, from the network's own codes: float rounding moves a value over the middle between two codes
    # now and then, and to the neighbouring one.
    _, computed = run(network, images, given=codes)
    assert list(computed) == ["act2", "act3", "act4", "act5", "act_fc1"]
    for layer, ours in computed.items():
        difference = np.abs(ours - codes[layer])
        assert difference.max() <= 1 and (difference > 0).mean() < 1e-4, layer

    # From end to end, with no float between the first activation and the last layer.
    logits, _ = run(network, images)
    assert (logits.argmax(axis=1) == expected).mean() >= 0.999
    assert (predict(network, images).argmax(dim=1).numpy() == expected).all()
