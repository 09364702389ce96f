"""The costs of a network's layers: bit widths, sizes, and multiply-accumulate and bit operations of one inference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, fx, nn

from saq_eval.core.errors import SaqEvalError, first_line, ordinary_errors
from saq_eval.networks.network import BitWidths, LayerCost
from saq_eval.quantization.graph import LAYERS, is_call, layer_of
from saq_eval.quantization.pact import ACTIVATION_QUANTIZERS
from saq_eval.quantization.schemes import Scheme


def bit_widths(layers: Sequence[LayerCost]) -> BitWidths:
    """Return the bit widths of a network's layers, which are given in order of execution.

    Only the layers of the network count. A scheme may also give bits for layers that the network does not have.
    """
    hidden, ends = layers[1:-1] or layers, (layers[0], layers[-1])

    def text(widths: Iterable[int]) -> str:
        return "/".join(str(width) for width in dict.fromkeys(widths))

    return BitWidths(
        weights=text(layer.weight_bits for layer in hidden),
        activations=text(layer.activation_bits for layer in hidden),
        ends=text(layer.weight_bits for layer in ends),
    )


@torch.no_grad()
def layer_costs(network: fx.GraphModule, scheme: Scheme, image: Tensor) -> list[LayerCost]:
    """Return the costs of a frozen network's layers in order of execution.

    Args:
        network: from `freeze`.
        scheme: the scheme that the network was quantized by.
        image: float32 (1, c, h, w); its size decides the number of operations.

    Raises:
        SaqEvalError: if the network cannot read the image.
    """
    nodes = [node for node in network.graph.nodes if is_call(network, node, LAYERS)]
    layers = {node.target: layer_of(network, node) for node in nodes}
    macs: dict[str, int] = {}

    def count(name: str, layer: nn.Conv2d | nn.Linear, output: Tensor) -> None:
        # Every output value takes one pass over its channel's weights.
        macs[name] = output[0].numel() * layer.weight[0].numel()

    hooks = [
        layer.register_forward_hook(lambda layer, _, output, name=name: count(name, layer, output))
        for name, layer in layers.items()
    ]
    try:
        with ordinary_errors():
            network(image)
    except SaqEvalError:
        raise
    except Exception as error:  # of torch, and of modules of a user's
        shape = tuple(image.shape[1:])
        raise SaqEvalError(f"the network cannot read images of shape {shape}: {first_line(error)}") from error
    finally:
        for hook in hooks:
            hook.remove()
    bits = scheme.assign(list(layers))
    return [
        LayerCost(
            name=node.target,
            shape=tuple(layers[node.target].weight.shape),
            weight_bits=bits[node.target].weight_bits,
            activation_bits=bits[node.target].activation_bits,
            alpha=_clip(network, node),
            weight_bytes=math.ceil(layers[node.target].weight.numel() * bits[node.target].weight_bits / 8),
            macs=macs[node.target],
        )
        for node in nodes
    ]


def _clip(network: fx.GraphModule, node: fx.Node) -> float | None:
    source = node.args[0]
    while source.op == "call_module":
        module = network.get_submodule(source.target)
        if isinstance(module, ACTIVATION_QUANTIZERS):
            return module.alpha.item()
        if isinstance(module, LAYERS):
            return None
        source = source.args[0]
    return None
