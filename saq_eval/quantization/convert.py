"""From a full-precision network to its quantized twin (`quantize`), and on to the form that is evaluated (`freeze`)."""

from __future__ import annotations

import copy
import functools
import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from saq_eval.core.errors import SaqEvalError
from saq_eval.networks.modules import check_finite, computed_tensors, hooked, make_permanent, private_copy
from saq_eval.quantization.pact import ACTIVATION_QUANTIZERS, PACTActivation, SignedPACT
from saq_eval.quantization.schemes import FULL_PRECISION, Scheme, load_scheme
from saq_eval.quantization.weights import QuantConv2d, QuantLinear, dequantize

_LAYERS = (nn.Conv2d, nn.Linear, QuantConv2d, QuantLinear)
_RECTIFIERS = (nn.ReLU, nn.ReLU6, PACTActivation)
_NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
)  # fold into the layer before them; group norm, which depends on its input, stays
_ONLY_IN_TRAINING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity)
# What may stand between a rectifier and the layer that reads it. Averages and sums of quantized activations lie
# between their codes: the layer then reads a few more values than its activation bits say.
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_PASSING = (*_POOLS, nn.Flatten, *_ONLY_IN_TRAINING)
SUMS = (operator.add, operator.iadd, torch.add)  # residual connections, as functions

# Functions and methods that become modules of their own, with the names and defaults of the arguments that the
# module takes too; others (`training`, `inplace`) are the module's business. "view" and "reshape" see `_trace`.
_MODULE_FOR: dict[Any, tuple[type[nn.Module], dict[str, Any]]] = {
    **dict.fromkeys((F.relu, torch.relu, torch.relu_, "relu", "relu_"), (nn.ReLU, {})),
    F.relu6: (nn.ReLU6, {}),
    F.max_pool2d: (nn.MaxPool2d, {"kernel_size": 2, "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}),
    F.avg_pool2d: (
        nn.AvgPool2d,
        {
            "kernel_size": 2,
            "stride": None,
            "padding": 0,
            "ceil_mode": False,
            "count_include_pad": True,
            "divisor_override": None,
        },
    ),
    F.adaptive_avg_pool2d: (nn.AdaptiveAvgPool2d, {"output_size": 1}),
    F.adaptive_max_pool2d: (nn.AdaptiveMaxPool2d, {"output_size": 1}),
    F.dropout: (nn.Dropout, {"p": 0.5}),
    **dict.fromkeys((torch.flatten, "flatten"), (nn.Flatten, {"start_dim": 0, "end_dim": -1})),
}


def _without_drawing(convert: Callable) -> Callable:
    """Let a function that builds layers leave torch's global generator alone: layers draw weights when they are built."""

    @functools.wraps(convert)
    def wrapped(*args: Any, **kwargs: Any) -> fx.GraphModule:
        with torch.random.fork_rng(devices=[]):
            return convert(*args, **kwargs)

    return wrapped


@_without_drawing
def quantize(model: nn.Module, scheme: str | Scheme) -> fx.GraphModule:
    """Return the quantized twin of a full-precision network, in its training form.

    Convolution and linear layers become `QuantConv2d` and `QuantLinear`, which start from the
    network's own weights; rectifiers become `PACTActivation`, at the activation bits of the layer
    that reads them (the largest, where several do). A layer other than the first that reads values
    which no rectifier made, as after a linear bottleneck, gets a `SignedPACT` named `<layer>_input`
    before it. Layers keep their names; full-precision layers (32 bits) stay what they are. `model`
    itself is left untouched.

    Args:
        model: made of 2-d convolution, linear, batch and group norm, ReLU/ReLU6, max and average
            pooling (as modules or functions), flatten, dropout and residual sums.
        scheme: the bit widths, or the name of a registered scheme.

    Raises:
        SaqEvalError: names every layer that cannot be quantized, among them those whose weights a hook computes, as
            pruning and spectral norm do, and tensors that hold NaN or infinity.
    """
    scheme = load_scheme(scheme)
    computed = computed_tensors(model)
    if computed and not scheme.is_full_precision:
        listed = ", ".join(f"{found.layer}.{found.tensor} ({found.by})" for found in computed)
        raise SaqEvalError(
            f"training a quantized network would not keep how these weights are computed: {listed}; make them permanent "
            f"first, with {' or '.join(dict.fromkeys(found.remedy for found in computed))}"
        )
    network = _trace(model)
    layers = [node for node in network.graph.nodes if _is(network, node, _LAYERS)]
    already = [
        node.target for node in layers if isinstance(network.get_submodule(node.target), (QuantConv2d, QuantLinear))
    ]
    if already:
        raise SaqEvalError(
            f"the network is quantized already, in {', '.join(already)}; quantize its full-precision parent"
        )
    if not layers:
        raise SaqEvalError("the network has no convolution or linear layer to quantize")
    bits = scheme.assign([node.target for node in layers])
    device = network.get_submodule(layers[0].target).weight.device

    for node in list(network.graph.nodes):
        if not _is(network, node, _RECTIFIERS):
            continue
        width = max((bits[reader].activation_bits for reader in _readers(network, node)), default=FULL_PRECISION)
        if width != FULL_PRECISION:
            alpha = 6.0 if isinstance(network.get_submodule(node.target), nn.ReLU6) else 10.0
            network.set_submodule(node.target, PACTActivation(width, alpha).to(device))
    for node in layers[1:]:
        width = bits[node.target].activation_bits
        if width != FULL_PRECISION and not _reads_quantized(network, node):
            name = _add_module(network, f"{node.target}_input".replace(".", "_"), SignedPACT(width).to(device))
            with network.graph.inserting_before(node):
                node.update_arg(0, network.graph.call_module(name, (node.args[0],)))
    for node in layers:
        width = bits[node.target].weight_bits
        if width != FULL_PRECISION:
            layer = network.get_submodule(node.target)
            twin = QuantConv2d if isinstance(layer, nn.Conv2d) else QuantLinear
            quantized = twin(layer, scheme.weight_quantizer(width))
            network.set_submodule(node.target, quantized.to(device).train(layer.training))
    network.recompile()
    return network


@_without_drawing
def freeze(model: nn.Module) -> fx.GraphModule:
    """Return the frozen form of a network: what the zoo stores and every evaluation uses.

    Plain `nn.Conv2d` and `nn.Linear` hold the quantized weights; batch norm that follows a layer is
    folded into it, which changes the scale of each output channel and leaves the integer codes as
    they are. It stays where it is not certain to act on the axis that the layer puts its outputs on, as
    behind a linear layer over the last of three axes. Dropout is gone; weights that pruning, weight norm or
    spectral norm compute are plain ones. A quantized layer carries, besides `weight`, the buffers
    `weight_code` (int32, in `weight`'s shape), `weight_scale` (float32, (out,)) and `weight_bits`
    (int32, ()), with weight = `dequantize(weight_code, weight_scale, weight_bits)` exactly. The
    result is in eval mode, and its parameters need no gradient. `model` is left untouched.

    Args:
        model: a network in training form (see `quantize`), or a full-precision one.

    Raises:
        SaqEvalError: names every layer of an unsupported kind, and tensors that hold NaN or infinity.
    """
    network = _trace(model).eval()
    for node in list(network.graph.nodes):
        if _is(network, node, _ONLY_IN_TRAINING):
            node.replace_all_uses_with(node.args[0])
            network.graph.erase_node(node)
    for node in list(network.graph.nodes):
        if not _is(network, node, _LAYERS):
            continue
        norm = _foldable_norm(network, node)
        layer = network.get_submodule(node.target)
        network.set_submodule(node.target, _frozen(layer, network.get_submodule(norm.target) if norm else None))
        if norm:
            norm.replace_all_uses_with(node)
            network.graph.erase_node(norm)
    network.delete_all_unused_submodules()
    network.recompile()
    check_finite(network.state_dict(), "the frozen network")
    # One memory format everywhere: kernels round differently in another, and rounded activations would show it.
    return network.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def _foldable_norm(network: fx.GraphModule, node: fx.Node) -> fx.Node | None:
    """Return the batch norm that alone reads a layer and acts on the axis that the layer puts its outputs on."""
    users = list(node.users)
    if len(users) != 1 or not _is(network, users[0], _NORMS):
        return None
    layer, norm = network.get_submodule(node.target), network.get_submodule(users[0].target)
    # A convolution's outputs are on axis 1 of 4, a linear layer's on the last; a norm acts on axis 1.
    if isinstance(layer, nn.Conv2d):
        same = isinstance(norm, nn.BatchNorm2d)
    else:
        same = isinstance(norm, nn.BatchNorm1d) and _rank(network, node) == 2
    return users[0] if same else None


def _rank(network: fx.GraphModule, node: fx.Node) -> int | None:
    """Return the number of axes of a node's value, as far as the graph alone tells."""
    if node.op != "call_module":
        ranks = {_rank(network, operand) for operand in node.all_input_nodes} if node.target in SUMS else {None}
        return ranks.pop() if len(ranks) == 1 else None
    module = network.get_submodule(node.target)
    if isinstance(module, nn.Flatten) and module.end_dim == -1:
        return module.start_dim + 1 if module.start_dim >= 0 else None
    if isinstance(module, (nn.Flatten, nn.Conv2d)):  # a convolution also reads a single image
        return None
    return _rank(network, node.args[0])


@torch.no_grad()
def _frozen(layer: nn.Module, norm: nn.Module | None) -> nn.Conv2d | nn.Linear:
    factor = layer.weight.new_ones(layer.weight.shape[0])
    shift = torch.zeros_like(factor)
    if norm is not None:
        factor = torch.rsqrt(norm.running_var + norm.eps)
        if norm.affine:
            factor = factor * norm.weight
        shift = (norm.bias if norm.affine else 0) - norm.running_mean * factor
    has_bias = layer.bias is not None or norm is not None

    if isinstance(layer, nn.Conv2d):
        plain = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            has_bias,
            layer.padding_mode,
        )
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
        restore_weight(plain)
    else:
        plain.weight.copy_(layer.weight * factor.reshape(-1, *(1,) * (layer.weight.dim() - 1)))
    if has_bias:
        plain.bias.copy_(shift if layer.bias is None else layer.bias * factor + shift)
    return plain


@torch.no_grad()
def restore_weight(layer: nn.Conv2d | nn.Linear) -> None:
    """Set a frozen quantized layer's `weight` from its codes and scales."""
    layer.weight.copy_(dequantize(layer.weight_code, layer.weight_scale, int(layer.weight_bits)))


def modular(model: nn.Module, leaves: tuple[type[nn.Module], ...] = ()) -> fx.GraphModule:
    """Copy a network into a graph in which what rectifies, pools and flattens is a module, also where a function did it.

    Args:
        model: left untouched.
        leaves: kinds of modules that stay whole, beside torch's own and this package's layers.

    Raises:
        SaqEvalError: if the network's forward pass depends on its input's values.
    """

    # Not `fx.symbolic_trace`: custom layers are leaves, as torch's own are.
    class Tracer(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            kinds = (*_LAYERS, *_RECTIFIERS, SignedPACT, *leaves)
            return isinstance(module, kinds) or super().is_leaf_module(module, name)

    model = private_copy(model)
    make_permanent(model)
    try:
        network = fx.GraphModule(model, Tracer().trace(model))
    except Exception as error:  # whatever the network's own code raises when it meets a symbolic input
        raise SaqEvalError(
            f"the network's forward pass depends on its input's values or shape and cannot be converted: {error}"
        ) from error
    network.train(model.training)
    for node in list(network.graph.nodes):
        if node.target in ("view", "reshape") and _keeps_batch_only(node):
            _replace(network, node, nn.Flatten())
        elif node.op in ("call_function", "call_method") and node.target in _MODULE_FOR:
            kind, defaults = _MODULE_FOR[node.target]
            given = dict(zip(defaults, node.args[1:], strict=False)) | node.kwargs
            _replace(network, node, kind(**{name: given.get(name, value) for name, value in defaults.items()}))
    network.graph.eliminate_dead_code()  # the sizes that `view` was called with
    network.recompile()
    return network


def _trace(model: nn.Module) -> fx.GraphModule:
    """Copy a network into a graph in which every rectifier, pooling and flatten is a module of its own, used once.

    Raises:
        SaqEvalError: names every part that is of no supported kind, layers whose weights are shared, hooks, and tensors
            that hold NaN or infinity.
    """
    check_finite(model.state_dict(), "the network")
    hooks = hooked(model)
    if hooks:
        raise SaqEvalError(f"a converted network would lose the hooks of {', '.join(hooks)}; remove them first")
    network = modular(model)
    unsupported, used = [], set()
    for node in list(network.graph.nodes):
        if node.op in ("call_function", "call_method"):
            if node.target not in SUMS:
                unsupported.append(f"{node.name} ({getattr(node.target, '__name__', node.target)})")
        elif node.op == "call_module":
            module = network.get_submodule(node.target)
            if type(module) not in (*_LAYERS, *_RECTIFIERS, SignedPACT, *_NORMS, nn.GroupNorm, *_PASSING):
                unsupported.append(f"{node.target} ({type(module).__name__})")
            elif isinstance(module, _NORMS) and module.running_mean is None:
                unsupported.append(f"{node.target} ({type(module).__name__} without running statistics)")
            elif node.target in used and isinstance(module, (*_LAYERS, *_NORMS, nn.GroupNorm)):
                unsupported.append(f"{node.target} (used more than once)")
            elif node.target in used:
                _replace(network, node, copy.deepcopy(module))
            used.add(node.target)
        elif node.op == "get_attr":
            unsupported.append(f"{node.target} (a tensor used outside a layer)")
    if unsupported:
        raise SaqEvalError(f"cannot convert these parts of the network: {', '.join(unsupported)}")
    network.delete_all_unused_submodules()
    network.recompile()
    return network


def _keeps_batch_only(node: fx.Node) -> bool:
    """Tell whether a reshaping is x.view(<batch size>, -1)."""

    def is_batch_size(size: Any) -> bool:
        if not isinstance(size, fx.Node):
            return False
        if size.target == "size":
            return size.args[1:] == (0,) or size.kwargs == {"dim": 0}
        source = size.args[0] if size.target is operator.getitem and size.args[1] == 0 else None
        return isinstance(source, fx.Node) and (source.target == "size" or source.args[1:] == ("shape",))

    shape = node.args[1] if len(node.args) == 2 and isinstance(node.args[1], (tuple, list)) else node.args[1:]
    return len(shape) == 2 and shape[1] == -1 and is_batch_size(shape[0])


def _replace(network: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    """Replace a node by a call of `module`, added under the node's name."""
    name = _add_module(network, node.name, module)
    with network.graph.inserting_before(node):
        call = network.graph.call_module(name, (node.args[0],))
    node.replace_all_uses_with(call)
    network.graph.erase_node(node)


def _add_module(network: fx.GraphModule, name: str, module: nn.Module) -> str:
    """Add a module under a name, or with a number behind it if that is taken; return the name."""
    taken = {name for name, _ in network.named_modules()}
    candidates = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(1)))
    name = next(candidate for candidate in candidates if candidate not in taken)
    network.add_submodule(name, module.train(network.training))
    return name


def _is(network: fx.GraphModule, node: fx.Node, kinds: tuple[type[nn.Module], ...]) -> bool:
    return node.op == "call_module" and isinstance(network.get_submodule(node.target), kinds)


def _readers(network: fx.GraphModule, node: fx.Node) -> Iterator[str]:
    """Yield the names of the layers that read a node's value, directly or through pooling and the like."""
    for user in node.users:
        if _is(network, user, _LAYERS):
            yield user.target
        elif _is(network, user, _PASSING) or user.target in SUMS:
            yield from _readers(network, user)


def _reads_quantized(network: fx.GraphModule, node: fx.Node) -> bool:
    """Tell whether everything that a layer reads was quantized, directly or as averages and sums."""

    def quantized(source: fx.Node) -> bool:
        if _is(network, source, _PASSING) or source.target in SUMS:
            return all(quantized(operand) for operand in source.all_input_nodes)
        return _is(network, source, ACTIVATION_QUANTIZERS)

    return all(quantized(source) for source in node.all_input_nodes)
