"""A network as a comparison sees it: what computes, what tells it from others, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class LayerCost:
    """A convolution or linear layer of a frozen network.

    Attributes:
        name: of the layer.
        shape: of its weights, (out, in, ...).
        weight_bits, activation_bits: of its two operands; the first layer of a quantized network reads
            8-bit pixels where its scheme says so.
        alpha: the clip of the quantizer that it reads from; `None` if it reads the image, several quantizers
            or values that are not quantized.
        weight_bytes: its weights at their bit width, without scales and biases.
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
    """A network's bit widths for people: "4"; "4/2" where earlier and later layers differ, in order of execution.

    Attributes:
        weights, activations: of the hidden layers; of a network that has none, of the layers that it has.
        ends: the weights of the first and the last layer.
    """

    weights: str
    activations: str
    ends: str


@dataclass(frozen=True)
class Facts:
    """What is known of a network, wherever it comes from.

    Attributes:
        name: unique in a comparison.
        architecture: its name.
        scheme: the name of its bit widths.
        bits: the bit widths of the layers that are there.
        training: "standard", "saliency-guided", "external" for a network trained elsewhere, "none" for random weights.
        seed: of its initialisation and training.
        full_precision: whether all of it computes in floating point.
        starts_from_parent: whether it was quantized, or trained on, from another network.
        kin: a text that is the same for networks that differ in nothing but the seed.
        kin_but_guidance: the same for those that may also differ in saliency-guided training; none for a network
            trained elsewhere.
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
        facts: what is known of it.
        module: float32 pixels (n, c, h, w) in [0, 1] -> logits (n, classes), in eval mode.
        identity: a hash of its weights and of all that is computed with them, or a text that stands for it.
        weights: what a record says of its weights: their SHA-256, or the seed that they were drawn from.
        layers: its convolutions and linear layers in order of execution.
        parameters: the number of weights, biases and clips.
        ideal_bytes: its size at its bit width: packed codes, scales, biases and clips.
        file_bytes: the size of the file that it is stored in.
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
