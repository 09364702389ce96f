"""The base class of weight quantizers, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.paths import check_name
from saq_eval.core.registry import Registry
from saq_eval.quantization.stated import StatesBits

Granularity = Literal["layer", "channel"]

WIDTHS = range(2, 17)  # the bit widths that quantized weights and activations can have


def dequantize(codes: Tensor, scale: Tensor, bits: int) -> Tensor:
    """Return the weights of codes: (2 · code − (2^k − 1)) · scale, in `scale`'s dtype.

    The levels are the odd multiples of `scale`, symmetric about zero. Training, freezing and loading
    all use this function, so their weights agree bit for bit.

    Args:
        codes: whole numbers from 0 to 2^k − 1, (out, ...).
        scale: float32, () or (out,): half a step, for the layer or for each output channel.
        bits: k.
    """
    odd = 2 * codes.to(scale.dtype) - (2**bits - 1)
    return odd * per_channel(scale, codes)


def per_channel(values: Tensor, weight: Tensor) -> Tensor:
    """Reshape values of shape () or (out,) so that they broadcast over `weight`, (out, ...)."""
    return values.reshape(-1, *(1,) * (weight.dim() - 1)) if values.dim() else values


class WeightQuantizer(StatesBits, ABC):
    """Turns a layer's latent weights into integer codes and a scale.

    A quantizer is a subclass that defines `scale`. It may also define the latent weights that a layer
    starts from (`adopt`), and the function of the latent weights that is rounded (`surrogate`). Its levels
    are those of `dequantize`. `register_quantizer` registers it under a name.

    Args:
        bits: one of `widths`.
        granularity: whether statistics are taken over the whole layer ("layer") or each output channel ("channel").

    Attributes:
        bits: k; codes run from 0 to 2^k − 1.
        granularity: as given.
        widths: the bit widths that the quantizer supports, in ascending order; set by `register_quantizer`.
        reference: the paper that describes the quantizer; set by `register_quantizer`.

    Raises:
        SaqEvalError: for a bit width that the quantizer does not support.
    """

    widths: ClassVar[tuple[int, ...]] = tuple(WIDTHS)
    reference: ClassVar[str] = ""

    def __init__(self, bits: int, granularity: Granularity = "layer") -> None:
        self.check_width(bits)
        super().__init__(bits)
        self.granularity = granularity

    @classmethod
    def check_width(cls, bits: int) -> None:
        """Raise `SaqEvalError` for a bit width that this quantizer does not support; it names quantizers that do."""
        if bits not in cls.widths:
            others = [name for name, kind in QUANTIZERS.items() if bits in kind.widths]
            raise SaqEvalError(
                f"{cls.__name__} quantizes weights to {widths_text(cls.widths)} bits, not {bits}"
                + (f"; valid for {bits} bits: {', '.join(others)}" if others else "")
            )

    def adopt(self, weight: Tensor) -> Tensor:
        """Return the latent weights that the quantized twin of a layer with `weight` starts from.

        It is called once, when the layer is built. A quantizer may store facts about `weight` in buffers or parameters.

        Args:
            weight: float, (out, ...), the weights of the full-precision layer.

        Returns:
            a tensor of `weight`'s shape that shares no memory with it.
        """
        return weight.detach().clone()

    @abstractmethod
    def scale(self, latent: Tensor) -> Tensor:
        """Return half a quantization step, without gradient (see `per_group`).

        Args:
            latent: float, (out, ...).

        Returns:
            float, () by layer or (out,) by channel.
        """

    def surrogate(self, latent: Tensor) -> Tensor:
        """Return the weights before rounding, in `latent`'s shape; training uses the gradient of this function."""
        return latent

    @torch.no_grad()
    def per_group(self, weight: Tensor, statistic: Callable[[Tensor], Tensor]) -> Tensor:
        """Return a statistic of each group of weights that share a scale, without gradient.

        Args:
            weight: float, (out, ...).
            statistic: a function from groups, one per row, (groups, n), to values (groups,), such as
                `lambda rows: rows.std(dim=1)`.

        Returns:
            float, () by layer or (out,) by channel.
        """
        if self.granularity == "layer":
            return statistic(weight.reshape(1, -1)).squeeze(0)
        return statistic(weight.flatten(1))

    @torch.no_grad()
    def codes(self, latent: Tensor) -> Tensor:
        """Return the nearest codes: whole numbers from 0 to 2^bits − 1 in `latent`'s dtype and shape."""
        step = 2 * per_channel(self.scale(latent), latent).clamp(min=torch.finfo(latent.dtype).tiny)
        top = 2**self.bits - 1
        return torch.round(self.surrogate(latent) / step + top / 2).clamp(0, top)

    def forward(self, latent: Tensor) -> Tensor:
        """Return the quantized weights; gradients are computed as if nothing were rounded."""
        quantized = dequantize(self.codes(latent), self.scale(latent), self.bits)
        surrogate = self.surrogate(latent)
        return quantized + (surrogate - surrogate.detach())

    def extra_repr(self) -> str:
        return f"bits={self.bits}, granularity={self.granularity!r}"


QUANTIZERS: Registry[type[WeightQuantizer]] = Registry("quantizer")

Kind = TypeVar("Kind", bound=type[WeightQuantizer])


def register_quantizer(name: str, *, bits: Iterable[int], reference: str) -> Callable[[Kind], Kind]:
    """Register the decorated subclass of `WeightQuantizer`, so that schemes can name it.

    Args:
        name: the quantizer's name in schemes.
        bits: the bit widths that it supports, each from 2 to 16.
        reference: the paper that describes it.

    Raises:
        SaqEvalError: if the name is taken or not a valid name, or a bit width is out of range.
    """
    check_name("quantizer", name)
    widths = tuple(sorted(set(bits)))
    if not widths or not set(widths) <= set(WIDTHS):
        raise SaqEvalError(f"the quantizer {name!r} has bit widths from {WIDTHS[0]} to {WIDTHS[-1]}, not {widths}")

    def register(kind: Kind) -> Kind:
        if not (isinstance(kind, type) and issubclass(kind, WeightQuantizer)):
            raise SaqEvalError(f"the quantizer {name!r} is a subclass of WeightQuantizer, not {in_short(kind)}")
        QUANTIZERS.add(name, kind)
        kind.widths, kind.reference = widths, reference
        return kind

    return register


def widths_text(widths: Iterable[int]) -> str:
    """Return ascending bit widths as text: "2", "2 or 4", "2 to 16"."""
    widths = list(widths)
    if len(widths) > 2 and widths == list(range(widths[0], widths[-1] + 1)):
        return f"{widths[0]} to {widths[-1]}"
    return " or ".join(map(str, widths))
