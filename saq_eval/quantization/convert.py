"""Convert a full-precision network to its quantized twin (`quantize`), and a network to its frozen form (`freeze`)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor, fx, nn

from saq_eval.core.errors import SaqEvalError
from saq_eval.networks.modules import channels_last, check_finite, computed_tensors
from saq_eval.quantization.graph import (
    LAYERS,
    NORMS,
    ONLY_IN_TRAINING,
    PASSING,
    RECTIFIERS,
    SUMS,
    add_module,
    is_call,
    layer_of,
    traced,
)
from saq_eval.quantization.layers import QuantConv2d, QuantLinear, geometry_of
from saq_eval.quantization.pact import ACTIVATION_QUANTIZERS, PACTActivation, SignedPACT
from saq_eval.quantization.quantizers import dequantize
from saq_eval.quantization.schemes import FULL_PRECISION, Bits, Scheme, load_scheme


def _without_drawing(convert: Callable) -> Callable:
    """Restore torch's global generator afterwards, because new layers draw initial weights, which are not used here."""

    @functools.wraps(convert)
    def wrapped(*args: Any, **kwargs: Any) -> fx.GraphModule:
        with torch.random.fork_rng(devices=[]):
            return convert(*args, **kwargs)

    return wrapped


@_without_drawing
def quantize(model: nn.Module, scheme: str | Scheme) -> fx.GraphModule:
    """Return the quantized twin of a full-precision network, in its training form.

    Convolution and linear layers become `QuantConv2d` and `QuantLinear`, which start from the
    network's own weights. Rectifiers become `PACTActivation`, at the activation bits of the layer
    that reads them (the largest, if several layers do). Some layers read values that do not come from
    a rectifier, for example after a linear bottleneck. Such a layer gets a `SignedPACT` named
    `<layer>_input` before it, unless it is the network's first layer. Layers keep their names.
    Full-precision layers (32 bits) are left unchanged. `model` itself is not changed.

    Args:
        model: made of 2-d convolution, linear, batch and group norm, ReLU/ReLU6, max and average
            pooling (as modules or functions), flatten, dropout and residual sums.
        scheme: a scheme, the name of a registered one, or a `.yaml` file.

    Raises:
        SaqEvalError: if layers cannot be quantized, for example because a hook computes their weights (pruning,
            spectral norm), or tensors hold NaN or infinity. The message names them.
    """
    scheme = load_scheme(scheme)
    if not scheme.is_full_precision:
        _check_permanent(model)
    network = traced(model)
    layers = _layers_to_quantize(network)
    bits = scheme.assign([node.target for node in layers])
    _quantize_activations(network, layers, bits)
    for node in layers:
        width = bits[node.target].weight_bits
        if width != FULL_PRECISION:
            layer, quantizer = layer_of(network, node), scheme.weight_quantizer(width)
            quantized = QuantConv2d(layer, quantizer) if isinstance(layer, nn.Conv2d) else QuantLinear(layer, quantizer)
            network.set_submodule(node.target, quantized.to(layer.weight.device).train(layer.training))
    network.recompile()
    return network


def _check_permanent(model: nn.Module) -> None:
    """Raise `SaqEvalError` if hooks compute weights; the message names these weights."""
    computed = computed_tensors(model)
    if computed:
        listed = ", ".join(f"{found.layer}.{found.tensor} ({found.by})" for found in computed)
        raise SaqEvalError(
            f"training a quantized network would not keep how these weights are computed: {listed}; make them permanent "
            f"first, with {' or '.join(dict.fromkeys(found.remedy for found in computed))}"
        )


def _layers_to_quantize(network: fx.GraphModule) -> list[fx.Node]:
    """Return the layers with weights in order of execution; raises `SaqEvalError` if there is none, or one is quantized."""
    layers = [node for node in network.graph.nodes if is_call(network, node, LAYERS)]
    already = [node.target for node in layers if is_call(network, node, (QuantConv2d, QuantLinear))]
    if already:
        raise SaqEvalError(
            f"the network is quantized already, in {', '.join(already)}; quantize its full-precision parent"
        )
    if not layers:
        raise SaqEvalError("the network has no convolution or linear layer to quantize")
    return layers


def _quantize_activations(network: fx.GraphModule, layers: Sequence[fx.Node], bits: Mapping[str, Bits]) -> None:
    """Replace rectifiers by `PACTActivation`, and put `SignedPACT` before layers that read values not yet quantized.

    Args:
        layers: the layers with weights, in order of execution.
        bits: each layer's bits, by the layer's name.
    """
    device = layer_of(network, layers[0]).weight.device
    for node in list(network.graph.nodes):
        if not is_call(network, node, RECTIFIERS):
            continue
        width = max((bits[reader].activation_bits for reader in _readers(network, node)), default=FULL_PRECISION)
        if width != FULL_PRECISION:
            alpha = 6.0 if isinstance(network.get_submodule(node.target), nn.ReLU6) else 10.0
            network.set_submodule(node.target, PACTActivation(width, alpha).to(device))
    for node in layers[1:]:
        width = bits[node.target].activation_bits
        if width != FULL_PRECISION and not _reads_quantized(network, node):
            name = add_module(network, f"{node.target}_input".replace(".", "_"), SignedPACT(width).to(device))
            with network.graph.inserting_before(node):
                node.update_arg(0, network.graph.call_module(name, (node.args[0],)))


def _readers(network: fx.GraphModule, node: fx.Node) -> Iterator[str]:
    """Yield the names of the layers that read a node's value, directly or through pooling, flattening and sums."""
    for user in node.users:
        if is_call(network, user, LAYERS):
            yield user.target
        elif is_call(network, user, PASSING) or user.target in SUMS:
            yield from _readers(network, user)


def _reads_quantized(network: fx.GraphModule, node: fx.Node) -> bool:
    """Tell whether all values that a layer reads are quantized values, or averages or sums of quantized values."""

    def quantized(source: fx.Node) -> bool:
        if is_call(network, source, PASSING) or source.target in SUMS:
            return all(quantized(operand) for operand in source.all_input_nodes)
        return is_call(network, source, ACTIVATION_QUANTIZERS)

    return all(quantized(source) for source in node.all_input_nodes)


@_without_drawing
def freeze(model: nn.Module) -> fx.GraphModule:
    """Return the frozen form of a network, which the zoo stores and every evaluation uses.

    - Plain `nn.Conv2d` and `nn.Linear` layers hold the quantized weights.
    - Batch norm after a layer is folded into the layer. This changes the scale of each output channel, but not
      the integer codes. Batch norm stays if it may act on another axis than that of the layer's outputs, for
      example after a linear layer over the last of three axes.
    - Dropout is removed. Weights that pruning, weight norm or spectral norm compute become plain parameters.
    - A quantized layer has, besides `weight`, the buffers `weight_code` (int32, in `weight`'s shape),
      `weight_scale` (float32, (out,)) and `weight_bits` (int32, ()), and
      weight = `dequantize(weight_code, weight_scale, weight_bits)` exactly.

    The result is in eval mode, and its parameters need no gradient. `model` is not changed.

    Args:
        model: a network in training form (see `quantize`), or a full-precision network.

    Raises:
        SaqEvalError: if layers are of an unsupported kind, or tensors hold NaN or infinity. The message names them.
    """
    network = traced(model).eval()
    for node in list(network.graph.nodes):
        if is_call(network, node, ONLY_IN_TRAINING):
            node.replace_all_uses_with(node.args[0])
            network.graph.erase_node(node)
    for node in list(network.graph.nodes):
        if not is_call(network, node, LAYERS):
            continue
        norm = _foldable_norm(network, node)
        frozen = _frozen(layer_of(network, node), network.get_submodule(norm.target) if norm else None)
        network.set_submodule(node.target, frozen)
        if norm:
            norm.replace_all_uses_with(node)
            network.graph.erase_node(norm)
    network.delete_all_unused_submodules()
    network.recompile()
    check_finite(network.state_dict(), "the frozen network")
    # All networks use the same memory format. In another format, kernels round differently, and a small difference can
    # move a rounded activation by a whole step.
    return channels_last(network.requires_grad_(False).eval())


def _foldable_norm(network: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """Return the batch norm after a layer if it is the layer's only reader and acts on the axis of the layer's outputs."""
    users = list(node.users)
    if len(users) != 1 or not is_call(network, users[0], NORMS):
        return None
    layer, norm = network.get_submodule(node.target), network.get_submodule(users[0].target)
    # A convolution's outputs are on axis 1 of 4, a linear layer's on the last axis. A norm acts on axis 1.
    if isinstance(layer, nn.Conv2d):
        same = isinstance(norm, nn.BatchNorm2d)
    else:
        same = isinstance(norm, nn.BatchNorm1d) and _rank(network, node) == 2
    return users[0] if same else None


def _rank(network: fx.GraphModule, node: fx.Node) -> int | None:
    """Return the number of axes of a node's value; `None` if the graph alone does not tell."""
    if node.op != "call_module":
        ranks = {_rank(network, operand) for operand in node.all_input_nodes} if node.target in SUMS else {None}
        return ranks.pop() if len(ranks) == 1 else None
    module = network.get_submodule(node.target)
    if isinstance(module, nn.Flatten) and module.end_dim == -1:
        return module.start_dim + 1 if module.start_dim >= 0 else None
    if isinstance(module, (nn.Flatten, nn.Conv2d)):  # a convolution may also read a single image without a batch axis
        return None
    return _rank(network, node.args[0])


@torch.no_grad()
def _frozen(layer: nn.Conv2d | nn.Linear, norm: nn.Module | None) -> nn.Conv2d | nn.Linear:
    factor = layer.weight.new_ones(layer.weight.shape[0])
    shift = torch.zeros_like(factor)
    if norm is not None:
        assert isinstance(norm, NORMS) and norm.running_mean is not None and norm.running_var is not None
        factor = torch.rsqrt(norm.running_var + norm.eps)
        if norm.affine:
            factor = factor * norm.weight
        shift = (norm.bias if norm.affine else 0) - norm.running_mean * factor
    has_bias = layer.bias is not None or norm is not None

    plain: nn.Conv2d | nn.Linear
    if isinstance(layer, nn.Conv2d):
        plain = nn.Conv2d(**geometry_of(layer), bias=has_bias)
    else:
        plain = nn.Linear(layer.in_features, layer.out_features, has_bias)
    plain = plain.to(layer.weight.device, layer.weight.dtype)
    if isinstance(layer, (QuantConv2d, QuantLinear)):
        quantizer = layer.quantizer
        plain.register_buffer("weight_code", quantizer.codes(layer.weight).to(torch.int32))
        plain.register_buffer("weight_scale", quantizer.scale(layer.weight) * factor)
        plain.register_buffer(
            "weight_bits", torch.tensor(quantizer.bits, dtype=torch.int32, device=layer.weight.device)
        )
        restore_weight(cast(FrozenLayer, plain))
    else:
        plain.weight.copy_(layer.weight * factor.reshape(-1, *(1,) * (layer.weight.dim() - 1)))
    if plain.bias is not None:
        plain.bias.copy_(shift if layer.bias is None else layer.bias * factor + shift)
    return plain


class FrozenLayer(Protocol):
    """A quantized layer in frozen form: an `nn.Conv2d` or `nn.Linear` with the buffers that `freeze` tells of."""

    weight: Tensor
    weight_code: Tensor
    weight_scale: Tensor
    weight_bits: Tensor


@torch.no_grad()
def restore_weight(layer: FrozenLayer) -> None:
    """Set a frozen quantized layer's `weight` from its codes and scales."""
    layer.weight.copy_(dequantize(layer.weight_code, layer.weight_scale, int(layer.weight_bits)))
