"""State dicts that hold the bit width of the quantizers that made them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

STATED_BITS = "stated_bits"  # the buffer's name


class StatesBits(nn.Module):
    """A quantizer whose state dict holds its bit width; loading a state dict with another bit width is an error.

    Older state dicts hold no bit width and are loaded without this check.

    Attributes:
        bits: the bit width.
        stated_bits: int32 (), the bit width as a buffer of the state dict.
    """

    stated_bits: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer(STATED_BITS, torch.tensor(bits, dtype=torch.int32))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        stated = state_dict.setdefault(prefix + STATED_BITS, self.stated_bits)
        if stated.numel() != 1 or int(stated) != self.bits:
            given = int(stated) if stated.numel() == 1 else tuple(stated.shape)
            state_dict[prefix + STATED_BITS] = self.stated_bits
            rest[-1].append(f"{prefix.rstrip('.')} has {self.bits} bits, but the state was made at {given}")
        super()._load_from_state_dict(state_dict, prefix, *rest)
