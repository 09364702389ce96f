"""A network as a comparison sees it: its module, its identity, and the known facts about it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.data.geometry import Geometry
from saq_eval.networks.preprocessing import Preprocessing


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


RANDOM_WEIGHTS = "random weights"
UNKNOWN = ""  # a text fact that nobody has given


@dataclass(frozen=True, eq=False)
class Network:
    """A network that takes part in a comparison, and the known facts about it.

    In Python, a network of your own is given as it is, or as `Network(net, weight_bits=4, …)` with facts that cannot be
    read from it. Facts that are not given are shown as unknown. They are never guessed.

    Attributes:
        module: a module or a function: float32 pixels (n, c, h, w) -> logits (n, classes).
        name: its name, unique in a comparison.
        architecture: the architecture's name.
        scheme: the name of its quantization scheme.
        weight_bits, activation_bits: the bit widths of its hidden layers, 32 for floating point: a number, or a text such
            as "4/2" if layers differ.
        end_bits: the bit widths of the weights of the first and the last layer.
        training: how it was trained: "standard", "saliency-guided", "external" for a zoo network trained elsewhere,
            "none" for random weights, or another word.
        seed: the seed of its initialisation and training.
        full_precision: whether all layers compute in floating point; by default known from the bit widths.
        further_trained: whether it was trained further from its parent: true for quantization-aware training, false for
            post-training quantization.
        parent: the name of the network that it was made from. If no baseline is named, it is compared with its parent.
        preprocessing: the normalisation that has to be put before `module`; `None` for that of the comparison (`mean` and
            `std` of `saq_eval.compare`), and if that has none, `module` reads pixels in [0, 1] as they are.
        classes: the names of its outputs, in order.
        geometry: how pictures are brought to the size that it was trained for.
        input_size: height and width of the only images that it can read; `None` if it reads others too, or that is not known.
        reads: how it reads images, where that is not as they are, in sentences; a comparison finds it.
        kin: a text that is equal for networks that differ only in the seed; by default its own name.
        kin_but_guidance: a text that is equal for networks that differ only in the seed and in saliency-guided
            training; `None` if it is not known.
        identity: a hash of its weights and of how they are used, or a text that identifies it as well. For a network
            outside the zoo it is found, except for a function: its maps are used again only if a text is given.
        weights: the weights' description in records: their SHA-256, or the seed that they were drawn from.
        layers: its convolutions and linear layers in order of execution; empty if it is not known how they are quantized.
        parameters: the number of weights, biases and clips.
        ideal_bytes: its size at its bit widths: packed codes, scales, biases and clips.
        file_bytes: the size of its file.
        untrained: a seed -> the same network with random weights drawn from the seed, which the control of Adebayo et al.
            (2018, arXiv 1810.03292) needs; `None`, or a function that returns `None`, if there is none.

    Raises:
        SaqEvalError: a module that cannot be called, or a fact of a wrong type.
    """

    module: Callable[..., Any]
    _: KW_ONLY
    name: str = UNKNOWN
    architecture: str = UNKNOWN
    scheme: str = UNKNOWN
    weight_bits: str | int = UNKNOWN
    activation_bits: str | int = UNKNOWN
    end_bits: str | int = UNKNOWN
    training: str = UNKNOWN
    seed: int | None = None
    full_precision: bool | None = None
    further_trained: bool | None = None
    parent: str = UNKNOWN
    preprocessing: Preprocessing | None = None
    classes: tuple[str, ...] | None = None
    geometry: Geometry | None = None
    input_size: tuple[int, int] | None = None
    reads: tuple[str, ...] = ()
    kin: str = UNKNOWN
    kin_but_guidance: str | None = None
    identity: str = UNKNOWN
    weights: str = UNKNOWN
    layers: tuple[LayerCost, ...] = ()
    parameters: int | None = None
    ideal_bytes: int | None = None
    file_bytes: int | None = None
    untrained: Callable[[int], Network | None] | None = None

    def __post_init__(self) -> None:
        if not callable(self.module):
            raise SaqEvalError(f"a network is a module or a function of images, not {in_short(self.module)}")
        for fact in ("name", "architecture", "scheme", "training", "parent", "kin"):
            if not isinstance(getattr(self, fact), str):
                raise SaqEvalError(f"a network's {fact} is a text, not {in_short(getattr(self, fact))}")
        for fact in ("weight_bits", "activation_bits", "end_bits"):
            object.__setattr__(self, fact, _bits(fact, getattr(self, fact)))
        for fact, kinds in _KINDS.items():
            value = getattr(self, fact)
            if value is not None and type(value) is not kinds:
                raise SaqEvalError(f"a network's {fact} is {_SAID[kinds]}, not {in_short(value)}")
        if self.full_precision is None and self.weight_bits and self.activation_bits:
            widths = {width for bits in self.bits for width in bits.split("/") if width}
            object.__setattr__(self, "full_precision", widths == {"32"})
        object.__setattr__(self, "kin", self.kin or self.name)

    @property
    def bits(self) -> tuple[str, str, str]:
        """The bit widths of the hidden layers' weights and activations, and of the ends' weights, as texts."""
        return str(self.weight_bits), str(self.activation_bits), str(self.end_bits)


_KINDS: dict[str, type] = {
    **dict.fromkeys(("seed", "parameters", "ideal_bytes", "file_bytes"), int),
    **dict.fromkeys(("full_precision", "further_trained"), bool),
}
_SAID = {int: "a whole number", bool: "True or False"}
_WIDTHS = re.compile(r"[1-9]\d?(/[1-9]\d?)*")


def _bits(fact: str, value: Any) -> str:
    """Return bit widths as text, "" if they are unknown."""
    text = str(value) if isinstance(value, str) or type(value) is int else ""
    if value != UNKNOWN and not (_WIDTHS.fullmatch(text) and all(int(width) <= 64 for width in text.split("/"))):
        raise SaqEvalError(
            f"a network's {fact} are a number from 1 to 64 or several as in '4/2', not {in_short(value)}"
        )
    return text
