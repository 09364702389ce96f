"""The tensors of frozen networks in zoo files, with integer codes packed at their bit width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from saq_eval.core.errors import SaqEvalError
from saq_eval.networks.modules import check_finite
from saq_eval.quantization.convert import FrozenLayer, restore_weight
from saq_eval.quantization.stated import STATED_BITS

_CODES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def pack_codes(codes: Tensor, bits: int) -> Tensor:
    """Pack codes without gaps, lowest bit first; for example, a byte holds four 2-bit codes.

    Args:
        codes: integers from 0 to 2^bits − 1, any shape.
        bits: 1 to 16.

    Returns:
        uint8 (ceil(count · bits / 8),); the last byte is padded with zeros.
    """
    flat = codes.reshape(-1).to(torch.int64).numpy()
    planes = (flat[:, None] >> np.arange(bits)) & 1
    return torch.from_numpy(np.packbits(planes.astype(np.uint8), bitorder="little"))


def unpack_codes(packed: Tensor, bits: int, shape: torch.Size) -> Tensor:
    """Return the int32 codes of the given shape, the inverse of `pack_codes`.

    Raises:
        SaqEvalError: if the type or length of `packed` does not match the shape and bits.
    """
    count = shape.numel()
    if packed.dtype != torch.uint8 or packed.shape != (-(-count * bits // 8),):
        raise SaqEvalError(
            f"{count} codes of {bits} bits take {-(-count * bits // 8)} bytes, not {tuple(packed.shape)} of {packed.dtype}"
        )
    planes = np.unpackbits(packed.numpy(), count=count * bits, bitorder="little").reshape(count, bits)
    codes = (planes.astype(np.int32) << np.arange(bits, dtype=np.int32)).sum(axis=1, dtype=np.int32)
    return torch.from_numpy(codes).reshape(shape)


def pack(network: nn.Module) -> dict[str, Tensor]:
    """Return a frozen network's tensors: its state dict, with packed codes in place of quantized weights.

    The bit widths are left out, because the model's card has them.
    """
    tensors = {
        name: tensor.detach().contiguous().cpu()
        for name, tensor in network.state_dict().items()
        if not name.endswith(STATED_BITS)
    }
    for name, layer in _quantized_layers(network):
        del tensors[f"{name}.weight"], tensors[f"{name}.weight_bits"]
        tensors[f"{name}.weight_code"] = pack_codes(layer.weight_code.cpu(), int(layer.weight_bits))
    check_finite(tensors, "the frozen network")
    return tensors


def unpack(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load the tensors from `pack` into a frozen network of the same architecture and scheme.

    Afterwards the network has the same weights as the packed network, bit for bit.

    Raises:
        SaqEvalError: if tensors are not finite, missing, unexpected, or of the wrong shape or type, or clips are not
            above 0. The message names them.
    """
    check_finite(tensors, "the file")
    state = dict(tensors)
    current = network.state_dict()
    state.update({name: tensor for name, tensor in current.items() if name.endswith(STATED_BITS)})
    for name, layer in _quantized_layers(network):
        state[f"{name}.weight"], state[f"{name}.weight_bits"] = current[f"{name}.weight"], layer.weight_bits
        if f"{name}.weight_code" in state:
            try:
                codes = unpack_codes(state[f"{name}.weight_code"], int(layer.weight_bits), layer.weight_code.shape)
            except SaqEvalError as error:
                raise SaqEvalError(f"the weights do not fit the network: {name}.weight_code: {error}") from error
            state[f"{name}.weight_code"] = codes
    wrong = [f"{name} is missing" for name in current.keys() - state.keys()]
    wrong += [f"{name} is not the network's" for name in state.keys() - current.keys()]
    wrong += [
        f"{name} is {state[name].dtype} {tuple(state[name].shape)} instead of {tensor.dtype} {tuple(tensor.shape)}"
        for name, tensor in current.items()
        if name in state and (state[name].shape != tensor.shape or state[name].dtype != tensor.dtype)
    ]
    wrong += [
        f"{name} is {tensor.item()}, not above 0"
        for name, tensor in state.items()
        if name.endswith("alpha") and tensor.numel() == 1 and not 0 < tensor.item() < float("inf")
    ]
    if wrong:
        raise SaqEvalError(f"the weights do not fit the network: {'; '.join(sorted(wrong))}")
    network.load_state_dict(state)
    for _, layer in _quantized_layers(network):
        restore_weight(layer)


def pack_state(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert a frozen network's state dict, as `network.state_dict()` returns it, to the form of `pack`.

    Args:
        network: a frozen network of the same architecture and scheme.
        state: the state dict of a frozen network; its codes may be packed already.

    Raises:
        SaqEvalError: if the bit widths in the state differ from the network's, or codes do not fit into their bits. The
            message names the layers and the values.
    """
    packed = dict(state)
    wrong = []
    for name, layer in _quantized_layers(network):
        bits = packed.pop(f"{name}.weight_bits", layer.weight_bits)
        if bits.numel() != 1 or bits.item() != int(layer.weight_bits):
            wrong.append(
                f"{name} has weights of {int(layer.weight_bits)} bits, but the state was made at {bits.tolist()}"
            )
        codes = packed.get(f"{name}.weight_code")
        if codes is not None and codes.dim() > 1:
            packed.pop(f"{name}.weight", None)  # computed from the codes
            if codes.shape != layer.weight_code.shape or codes.dtype not in _CODES or not codes.numel():
                wrong.append(
                    f"{name}.weight_code is {codes.dtype} {tuple(codes.shape)}, not whole numbers of the shape "
                    f"{tuple(layer.weight_code.shape)}"
                )
                continue
            low, high = int(codes.min()), int(codes.max())
            if low < 0 or high >= 2 ** int(layer.weight_bits):
                wrong.append(f"{name}.weight_code runs from {low} to {high}, not within {int(layer.weight_bits)} bits")
            else:
                packed[f"{name}.weight_code"] = pack_codes(codes, int(layer.weight_bits))
    for name, module in network.named_modules():
        stated = packed.pop(f"{name}.{STATED_BITS}", None)
        if stated is not None and stated.tolist() != getattr(module, "bits", None):
            width = getattr(module, "bits", 32)
            wrong.append(f"{name} has {width} bits, but the state was made at {stated.tolist()}")
    if wrong:
        raise SaqEvalError("; ".join(wrong))
    return packed


def _quantized_layers(network: nn.Module) -> list[tuple[str, FrozenLayer]]:
    return [
        (name, cast(FrozenLayer, module)) for name, module in network.named_modules() if hasattr(module, "weight_code")
    ]
