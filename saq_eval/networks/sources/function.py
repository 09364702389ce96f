"""Networks that a user's function builds: `my_pkg.nets:make_net?width=32@weights.safetensors`. The code has to be trusted.

The function may load its own weights; then the text names no file.
"""

from __future__ import annotations

import io
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from saq_eval.core.errors import SaqEvalError
from saq_eval.networks.architectures import build, import_function
from saq_eval.networks.modules import check_finite, private_copy
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.networks.sources.base import FUNCTION, Opened, builds, read_stored, register_source
from saq_eval.networks.sources.text import SourceText
from saq_eval.networks.weights import load_into, sha256_of


@register_source(FUNCTION)
def open_function(source: SourceText, *, trust_code: bool) -> Opened:
    """Open a network that the function `source.name`, "module:function", builds from the text's arguments."""
    name = source.name
    builder = import_function(name, trust_code=trust_code)
    stored = read_stored(source)
    network = build(name, builder, source.arguments, seed=0)
    if any(is_lazy(parameter) for parameter in network.parameters()):
        raise SaqEvalError(f"the network of {name} has layers without weights; the function has to run it once")
    again = build(name, builder, source.arguments, seed=1)
    anew = _draws_its_weights(network, again)
    if again is network:  # the function hands out a network that its module keeps
        network = private_copy(network)
    if stored is not None:
        load_into(network, stored.tensors, str(source.file))
    if any(value.is_meta for value in network.state_dict().values() if isinstance(value, Tensor)):
        raise SaqEvalError(f"the network of {name} has weights without values, on the device meta")
    plain = {key: value for key, value in network.state_dict().items() if _is_plain(value)}
    check_finite(plain, f"the network of {name}")
    return Opened(
        network.cpu().eval(),
        name,
        source.preprocessing(Preprocessing()),
        source.geometry(None),
        None,
        sha256_of(_content(network)) if stored is None else stored.sha256,
        0 if stored is None else stored.size,
        builds(name, builder, source.arguments) if anew else None,
        source.arguments,
    )


def _draws_its_weights(network: nn.Module, again: nn.Module) -> bool:
    """Tell whether a function drew all weights of two networks from torch's generator, which had different seeds.

    A function that loads weights builds the same network twice. Biases, and weights that start at one number, say nothing.
    """
    first, second = list(network.parameters()), list(again.parameters())
    drawn = [
        not torch.equal(one, other)
        for one, other in zip(first, second, strict=False)
        if one.requires_grad and _is_plain(one) and one.dim() > 1 and one.numel() > 1 and one.min() < one.max()
    ]
    return len(first) == len(second) and bool(drawn) and all(drawn)


def _is_plain(value: Any) -> bool:
    """Tell whether a value is a tensor of torch itself with values; those of quantization tools cannot be compared."""
    return type(value) in (Tensor, nn.Parameter) and not value.is_quantized and not value.is_meta


def _content(network: nn.Module) -> bytes:
    content = io.BytesIO()
    torch.save(network.state_dict(), content)  # takes what safetensors does not: packed and wrapped tensors
    return content.getvalue()
