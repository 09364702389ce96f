"""Quantization schemes: the bit widths of each layer, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.paths import check_name, user_path
from saq_eval.core.records import read_record
from saq_eval.core.registry import Registry
from saq_eval.quantization.quantizers import QUANTIZERS, WIDTHS, Granularity, WeightQuantizer

FULL_PRECISION = 32
_USUAL = "dorefa"  # the default quantizer


@dataclass(frozen=True)
class Bits:
    """Bit widths of a layer's two operands: its weights and the activations that it reads.

    Each is 2 to 16, or 32 for floating point.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    weight_bits: int
    activation_bits: int

    def __post_init__(self) -> None:
        for width in (self.weight_bits, self.activation_bits):
            if type(width) is not int or not (width in WIDTHS or width == FULL_PRECISION):
                raise SaqEvalError(
                    f"a bit width is a whole number from 2 to 16, or 32 for full precision, not {width!r}"
                )


@dataclass(frozen=True)
class Scheme:
    """The bit widths of a whole network, and how its weights are quantized.

    For each layer, the first of these fields that applies to the layer gives its bits: `overrides`, `ends`,
    `later`, `default`.

    Attributes:
        name: the scheme's name in cards and reports.
        default: bits of the hidden layers.
        ends: bits of the first and last layer. The first layer reads the image itself, which is not quantized.
        later: bits of the later half of the hidden layers, in order of execution (of 5 hidden layers, the last 2);
            `None` if they have the default bits.
        overrides: bits by layer name; shell patterns such as `conv*` are allowed, and the first match counts.
        weights: the registered quantizer of the weights, such as "dorefa" (see `register_quantizer`).
        two_bit_weights: the registered quantizer of 2-bit weights, such as "sawb"; `None` is replaced by `weights`.
        granularity: whether weights are scaled per "layer" or per output "channel".
        fine_tuned: for full precision only: whether the network starts from a trained parent and is trained further by
            the recipe of quantized networks. Such a network is the control that separates the effect of further
            training from the effect of fewer bits. Quantized networks always start from a trained parent.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    default: Bits
    ends: Bits
    later: Bits | None = None
    overrides: Mapping[str, Bits] = field(default_factory=dict)
    weights: str = field(default=_USUAL, kw_only=True)
    two_bit_weights: str | None = None
    granularity: Granularity = "layer"
    fine_tuned: bool = False

    def __post_init__(self) -> None:
        check_name("scheme", self.name)
        if self.granularity not in ("layer", "channel"):
            raise SaqEvalError(f"a scheme's granularity is 'layer' or 'channel', not {self.granularity!r}")
        # A card always names the quantizer of 2-bit weights, most schemes do not. The filled-in name makes them equal.
        two_bit_weights = self.weights if self.two_bit_weights is None else self.two_bit_weights
        object.__setattr__(self, "two_bit_weights", two_bit_weights)
        for name in (self.weights, two_bit_weights):
            check_name("quantizer", name)

    def weight_quantizer(self, bits: int) -> WeightQuantizer:
        """Return a new quantizer for a layer whose weights have `bits` bits; raises as `check_quantizers` does."""
        return self._quantizer_kind(bits)(bits, self.granularity)

    def _quantizer_kind(self, bits: int) -> type[WeightQuantizer]:
        return QUANTIZERS[getattr(self, _quantizer_field(bits))]

    def check_quantizers(self, source: str) -> None:
        """Check that the scheme's quantizers are registered and support the scheme's bit widths.

        Building a scheme does not check this, so a card can be read even if the package with its quantizer is missing.

        Args:
            source: where the scheme came from, for the message.

        Raises:
            SaqEvalError: for a wrong name or bit width; the message names the field, the wrong value and valid values.
        """
        for field_name in ("weights", "two_bit_weights"):
            try:
                kind = QUANTIZERS[getattr(self, field_name)]
                for bits in self._weight_widths:
                    if _quantizer_field(bits) == field_name:
                        kind.check_width(bits)
            except SaqEvalError as error:
                raise SaqEvalError(f"{source}: {field_name}: {error}") from error

    @property
    def _parts(self) -> tuple[Bits, ...]:
        return (self.default, self.ends, self.later or self.default, *self.overrides.values())

    @property
    def _weight_widths(self) -> list[int]:
        """The bit widths of quantized weights, in ascending order."""
        return sorted({bits.weight_bits for bits in self._parts} - {FULL_PRECISION})

    @property
    def is_full_precision(self) -> bool:
        """Whether every layer computes in floating point."""
        return all(bits == Bits(FULL_PRECISION, FULL_PRECISION) for bits in self._parts)

    @property
    def starts_from_parent(self) -> bool:
        """Whether a network starts from a trained full-precision parent, to be quantized or fine-tuned."""
        return self.fine_tuned or not self.is_full_precision

    def hidden_bits(self, operand: Literal["weight_bits", "activation_bits"]) -> str:
        """Return the hidden layers' bit width as text: "4", or "4/2" if earlier and later layers differ.

        A "*" is added if the scheme has overrides.
        """
        widths = [getattr(bits, operand) for bits in (self.default, self.later or self.default)]
        return "/".join(str(width) for width in dict.fromkeys(widths)) + ("*" if self.overrides else "")

    def description(self) -> str:
        """Return a sentence that describes the scheme, with bits as weight bits / activation bits."""
        if self.is_full_precision:
            further = ", trained on from its parent as quantized networks are" if self.fine_tuned else ""
            return f"{self.name}: floating point throughout{further}"

        def text(bits: Bits) -> str:
            return f"{bits.weight_bits}/{bits.activation_bits}"

        parts = [f"{self.name}: hidden layers {text(self.default)}"]
        parts += [f"the later half {text(self.later)}"] if self.later else []
        parts += [f"first and last layer {text(self.ends)}"]
        parts += [f"{pattern} {text(bits)}" for pattern, bits in self.overrides.items()]
        parts += self._quantizers_text()
        return ", ".join(parts) + (", scaled per channel" if self.granularity == "channel" else "")

    def _quantizers_text(self) -> list[str]:
        """Return texts that name the quantizers: that of 2-bit weights always, that of others unless it is DoReFa."""
        two_bit = 2 in self._weight_widths
        texts = [f"2-bit weights by {self._quantizer_kind(2).__name__}"] if two_bit else []
        others = [bits for bits in self._weight_widths if bits != 2]
        if others and self.weights != _USUAL:
            texts += [f"{'other ' if two_bit else ''}weights by {self._quantizer_kind(others[0]).__name__}"]
        return texts

    def unused(self, layers: Sequence[str]) -> str | None:
        """Return a sentence that says that a network has no hidden layer for the scheme's bits; `None` if it has one.

        Args:
            layers: as for `assign`.
        """
        if len(layers) > 2 or self.is_full_precision or self.default == self.ends:
            return None
        given = self.assign(layers)
        bits = ", ".join(f"{name} {given[name].weight_bits}/{given[name].activation_bits}" for name in layers)
        return (
            f"scheme {self.name!r} touches no hidden layer: the network has none, and its first and last layer have other "
            f"bits than the scheme's name says, as weights/activations: {bits}"
        )

    def assign(self, layers: Sequence[str]) -> dict[str, Bits]:
        """Return each layer's bits by the layer's name.

        Args:
            layers: the names of all layers with weights, in order of execution.

        Raises:
            SaqEvalError: if an override matches no layer.
        """
        for pattern in self.overrides:
            if not any(fnmatchcase(layer, pattern) for layer in layers):
                raise SaqEvalError(
                    f"scheme {self.name!r} overrides {pattern!r}, which matches none of the layers {', '.join(layers)}"
                )
        hidden = list(layers[1:-1])
        later = set(hidden[(len(hidden) + 1) // 2 :]) if self.later else set()

        def bits(layer: str) -> Bits:
            for pattern, override in self.overrides.items():
                if fnmatchcase(layer, pattern):
                    return override
            if layer in (layers[0], layers[-1]):
                return self.ends
            return self.later if self.later and layer in later else self.default

        return {layer: bits(layer) for layer in layers}


def _quantizer_field(bits: int) -> str:
    """Return the field of `Scheme` that names the quantizer of weights with `bits` bits."""
    return "two_bit_weights" if bits == 2 else "weights"


SCHEMES: Registry[Scheme] = Registry("scheme")


def register_scheme(scheme: Scheme) -> Scheme:
    """Register a scheme under its name."""
    return SCHEMES.add(scheme.name, scheme)


def load_scheme(source: str | Path | Scheme) -> Scheme:
    """Return a scheme by its registered name, or read one from a `.yaml` file with the fields of `Scheme`.

    Raises:
        SaqEvalError: an unknown name, a malformed file, or a quantizer that `Scheme.check_quantizers` refuses.
    """
    path = None if isinstance(source, Scheme) else user_path(source)
    if path is not None and path.suffix in (".yaml", ".yml"):
        scheme, origin = read_record(Scheme, path), str(path)
    else:
        scheme = source if isinstance(source, Scheme) else SCHEMES[str(source)]
        origin = f"scheme {scheme.name!r}"
    scheme.check_quantizers(origin)
    return scheme


# First and last layers have 8 bits: with 2 bits there, PACT's own 2-bit network loses twice as much accuracy (arXiv
# 1805.06085, table 4). SAWB quantizes 2-bit weights: DoReFa's outermost level is the largest weight, so most weights would
# get only the two inner levels.
_ENDS = Bits(8, 8)
register_scheme(Scheme("fp32", default=Bits(32, 32), ends=Bits(32, 32)))
register_scheme(Scheme("fp32-ft", default=Bits(32, 32), ends=Bits(32, 32), fine_tuned=True))
register_scheme(Scheme("w8a8", default=Bits(8, 8), ends=_ENDS))
register_scheme(Scheme("w4a4", default=Bits(4, 4), ends=_ENDS))
register_scheme(Scheme("mixed", default=Bits(4, 4), later=Bits(2, 2), ends=_ENDS, two_bit_weights="sawb"))
register_scheme(Scheme("w4a2", default=Bits(4, 2), ends=_ENDS))
register_scheme(Scheme("w2a2", default=Bits(2, 2), ends=_ENDS, two_bit_weights="sawb"))
