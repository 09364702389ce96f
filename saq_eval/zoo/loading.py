"""Load, verify and measure the network of a card."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, fx, nn

from saq_eval.core.errors import SaqEvalError, SaqEvalWarning
from saq_eval.data import Images
from saq_eval.networks.architectures import build, find_architecture
from saq_eval.networks.inference import accuracy
from saq_eval.networks.preprocessing import with_preprocessing
from saq_eval.networks.weights import load_into, parse_weights, read_bytes, sha256_of
from saq_eval.quantization import Scheme, freeze, quantize
from saq_eval.quantization.costs import bit_widths, layer_costs
from saq_eval.quantization.packing import pack, pack_state, unpack
from saq_eval.zoo.cards import CARD, TRAINING_FORM, WEIGHTS, ArchitectureCard, Card
from saq_eval.zoo.finding import find_model


@dataclass(frozen=True, repr=False)
class Model:
    """A loaded zoo model.

    Attributes:
        card: its card.
        network: its frozen form, in eval mode: float32 pixels (n, c, h, w) in [0, 1] -> logits (n, classes).
        frozen: the frozen form without the preprocessing.
        ideal_bytes: the size of its tensors at their bit widths: packed codes, scales, biases and clips.
        file_bytes: the size of the file with its tensors.
    """

    card: Card
    network: nn.Module
    frozen: fx.GraphModule
    ideal_bytes: int
    file_bytes: int

    def __repr__(self) -> str:
        scheme, training = self.card.scheme.name, self.card.training
        return f"Model({self.card.dataset}/{self.card.name}: {scheme}, {training}, {self.parameters} parameters)"

    @property
    def parameters(self) -> int:
        """The number of weights, biases and clips."""
        return sum(parameter.numel() for parameter in self.network.parameters())


def load_model(dataset: str, name: str, zoo: str | os.PathLike | None = None, *, trust_code: bool = False) -> Model:
    """Load one model of the zoo in its frozen form, after checking the hash of its weights.

    Args:
        zoo: a folder that is searched in addition to the built-in zoo; see `zoo_folders`.
        trust_code: whether a network may be built by code outside this package that its card names.

    Raises:
        SaqEvalError: an unknown name, a malformed card, code that is not trusted, or a weights file that
            is unreadable, does not fit, or has another hash than on its card.
    """
    return open_model(*find_model(dataset, name, zoo), trust_code=trust_code)


def open_model(card: Card, folder: Path, *, trust_code: bool = False) -> Model:
    """Load the model of a card that `find_models` returned; raises as `load_model` does."""
    path = folder / WEIGHTS
    tensors = _read_weights(path, card.weights_sha256)
    frozen = frozen_of(card, tensors, path, trust_code=trust_code)
    return Model(
        card,
        with_preprocessing(frozen, card.preprocessing),
        frozen,
        ideal_bytes=sum(tensor.nbytes for tensor in tensors.values()),
        file_bytes=path.stat().st_size,
    )


def frozen_of(card: Card, tensors: Mapping[str, Tensor], source: Path, *, trust_code: bool) -> fx.GraphModule:
    """Build the frozen form of a card's network from the packed tensors of its file; errors name `source`."""
    try:
        frozen = freeze(quantize(build_network(card.architecture, seed=0, trust_code=trust_code), card.scheme))
        unpack(frozen, pack_state(frozen, tensors))
    except SaqEvalError as error:
        raise SaqEvalError(f"{source}: {error}") from error
    return frozen


def random_weights(model: Model, seed: int, *, trust_code: bool = False) -> nn.Module:
    """Return an untrained network with a model's architecture and preprocessing, in full precision and frozen.

    This is the control of Adebayo et al. (2018, arXiv 1810.03292): an explanation that does not change with random
    weights does not explain the weights.
    """
    frozen = freeze(build_network(model.card.architecture, seed, trust_code=trust_code).eval())
    return with_preprocessing(frozen, model.card.preprocessing)


def build_network(architecture: ArchitectureCard, seed: int, *, trust_code: bool = False) -> nn.Module:
    """Build an architecture with weights drawn from `seed`; torch's global generator is restored afterwards.

    Raises:
        SaqEvalError: as `find_architecture` and `build` do.
    """
    builder = find_architecture(architecture.name, trust_code=trust_code)
    return build(architecture.name, builder, architecture.arguments, seed=seed)


def _read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    content = read_bytes(path)
    actual = sha256_of(content)
    if actual != sha256:
        raise SaqEvalError(f"{path}: the weights were changed: SHA-256 is {actual}, the card says {sha256}")
    return parse_weights(content, path)


def verify_model(card: Card, folder: Path, test_set: Images, *, trust_code: bool = False) -> float:
    """Check a card against its files: the hashes, the test accuracy, the size, the bit widths and the bit operations.

    Returns:
        The accuracy, 0 to 1.

    Raises:
        SaqEvalError: if one of them differs. The accuracy may differ by 0.05 percentage points, since processors round
            differently.
    """
    if card.training_form_sha256 is not None:
        _read_weights(folder / TRAINING_FORM, card.training_form_sha256)
    model = open_model(card, folder, trust_code=trust_code)
    check_reads(card.name, model.network, test_set)
    measured = measure(card, model.frozen, test_set)
    if abs(measured.test_accuracy - card.test_accuracy) > 5e-4:
        raise SaqEvalError(
            f"{folder / CARD}: test_accuracy: is {card.test_accuracy:.4f}, but the model reaches "
            f"{measured.test_accuracy:.4f}"
        )
    for name in ("ideal_bytes", "bops", "bits"):
        if getattr(card, name) not in (getattr(measured, name), None):
            raise SaqEvalError(f"{folder / CARD}: {name}: is {getattr(card, name)}, not {getattr(measured, name)}")
    return measured.test_accuracy


def measure(card: Card, frozen: fx.GraphModule, test_set: Images) -> Card:
    """Return a copy of the card with its frozen network's test accuracy, size, bit widths and bit operations."""
    costs = layer_costs(frozen, card.scheme, test_set.read([0]))
    return replace(
        card,
        test_accuracy=accuracy(with_preprocessing(frozen, card.preprocessing), test_set),
        ideal_bytes=sum(tensor.nbytes for tensor in pack(frozen).values()),
        bops=sum(layer.bops for layer in costs),
        bits=bit_widths(costs),
    )


def warn_of_unused_bits(frozen: fx.GraphModule, scheme: Scheme, image: Tensor, *, stacklevel: int = 3) -> None:
    """Warn if no layer has a scheme's default bits because the network has no hidden layer.

    Args:
        frozen: the network in frozen form.
        scheme: the scheme that the network is quantized by.
        image: float32 (1, c, h, w), an image that the network reads.
        stacklevel: as in `warnings.warn`; 3 names the line that called this function's caller.
    """
    unused = scheme.unused([layer.name for layer in layer_costs(frozen, scheme, image)])
    if unused:
        warnings.warn(unused, SaqEvalWarning, stacklevel=stacklevel)


def check_reads(name: str, network: nn.Module, dataset: Images) -> None:
    """Raise `SaqEvalError` unless a network reads a dataset's images and has an output for each of the dataset's classes."""
    shape = dataset.image_shape
    try:
        with torch.no_grad():
            logits = network(dataset.read([0]))
    except Exception as error:  # a user's network may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SaqEvalError(f"{name} cannot read images of shape {shape}: {reason}") from error
    if not isinstance(logits, Tensor):
        raise SaqEvalError(f"{name} returns no tensor of logits but {type(logits).__name__}")
    if not torch.isfinite(logits).all():
        raise SaqEvalError(f"{name} returns logits that are not finite; look for NaN or infinity in its weights")
    outputs = logits.shape
    if len(outputs) != 2 or outputs[1] < len(dataset.class_names):
        raise SaqEvalError(
            f"{name} has outputs of shape {tuple(outputs)} for an image; {dataset.name} has "
            f"{len(dataset.class_names)} classes"
        )


def load_training_form(card: Card, folder: Path, *, trust_code: bool = False) -> nn.Module:
    """Return a model's training form, which has batch norm layers and, in a quantized network, latent weights.

    Args:
        card, folder: as returned by `find_models`.
        trust_code: see `load_model`.

    Raises:
        SaqEvalError: a model without a stored training form, or a file that is unreadable, was changed or does not fit.
    """
    path = folder / TRAINING_FORM
    if card.training_form_sha256 is None:
        raise SaqEvalError(f"{folder} keeps no {TRAINING_FORM}, so nothing can start from it")
    tensors = _read_weights(path, card.training_form_sha256)
    return training_form_of(card.architecture, card.scheme, tensors, path, trust_code=trust_code)


def training_form_of(
    architecture: ArchitectureCard, scheme: Scheme, tensors: Mapping[str, Tensor], source: Path, *, trust_code: bool
) -> nn.Module:
    """Build a network in training form from a state dict; raises `SaqEvalError` unless its tensors are the network's."""
    network = build_network(architecture, seed=0, trust_code=trust_code)
    if not scheme.is_full_precision:
        network = quantize(network, scheme)
    load_into(network, tensors, str(source))
    return network
