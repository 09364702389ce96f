"""A network as a comparison sees it: its module, its identity, and the known facts about it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class LayerCost:
    """A convolution or linear layer of a frozen network.

    Attributes:
        name: the layer's name.
        shape: the shape of its weights, (out, in, ...).
        weight_bits, activation_bits: the bit widths of its weights and of the activations that it reads, as its scheme
            says; the first layer of a quantized network may read 8-bit pixels.
        alpha: the clip of the quantizer that it reads from; `None` if it reads the image, several quantizers,
            or values that are not quantized.
        weight_bytes: the size of its weights at their bit width, without scales and biases.
        macs: multiply-accumulate operations for one image.
    """

    name: str
    shape: tuple[int, ...]
    weight_bits: int
    activation_bits: int
    alpha: float | None
    weight_bytes: int
    macs: int

    @property
    def bops(self) -> int:
        """Bit operations for one image: MACs · weight bits · activation bits (as arXiv 2005.07093 counts them)."""
        return self.macs * self.weight_bits * self.activation_bits


@dataclass(frozen=True)
class BitWidths:
    """A network's bit widths as text: "4", or "4/2" if layers differ, in order of execution.

    Attributes:
        weights, activations: the bit widths of the hidden layers; for a network without hidden layers, of all layers.
        ends: the bit widths of the weights of the first and the last layer.
    """

    weights: str
    activations: str
    ends: str


@dataclass(frozen=True)
class Facts:
    """The known facts about a network.

    Attributes:
        name: the network's name, unique in a comparison.
        architecture: the architecture's name.
        scheme: the name of its quantization scheme.
        bits: the bit widths of its layers.
        training: "standard", "saliency-guided", "external" for a network trained elsewhere, "none" for random weights.
        seed: the seed of its initialisation and training.
        full_precision: whether all layers compute in floating point.
        starts_from_parent: whether its training started from another trained network, as for quantized networks.
        kin: a text that is equal for networks that differ only in the seed.
        kin_but_guidance: a text that is equal for networks that differ only in the seed and in saliency-guided
            training; `None` for a network trained elsewhere and for random weights.
    """

    name: str
    architecture: str
    scheme: str
    bits: BitWidths
    training: str
    seed: int
    full_precision: bool
    starts_from_parent: bool
    kin: str
    kin_but_guidance: str | None


@dataclass(frozen=True, eq=False)
class Network:
    """A network that takes part in a comparison.

    Attributes:
        facts: the known facts about it.
        module: float32 pixels (n, c, h, w) in [0, 1] -> logits (n, classes), in eval mode.
        identity: a hash of its weights and of how they are used (architecture, scheme, preprocessing), or a text that
            identifies it as well.
        weights: the weights' description in records: their SHA-256, or the seed that they were drawn from.
        layers: its convolutions and linear layers in order of execution.
        parameters: the number of weights, biases and clips.
        ideal_bytes: its size at its bit widths: packed codes, scales, biases and clips.
        file_bytes: the size of its file.
    """

    facts: Facts
    module: nn.Module
    identity: str
    weights: str
    layers: tuple[LayerCost, ...] = ()
    parameters: int = 0
    ideal_bytes: int = 0
    file_bytes: int = 0

    @property
    def name(self) -> str:
        """Its name."""
        return self.facts.name
