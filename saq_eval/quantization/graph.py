"""Networks as graphs of modules. Only this form can be converted."""

from __future__ import annotations

import copy
import itertools
import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from saq_eval.core.errors import SaqEvalError, first_line, shortened
from saq_eval.networks.modules import check_finite, hooked, make_permanent, private_copy
from saq_eval.quantization.layers import QuantConv2d, QuantLinear
from saq_eval.quantization.pact import PACTActivation, SignedPACT

LAYERS = (nn.Conv2d, nn.Linear, QuantConv2d, QuantLinear)
RECTIFIERS = (nn.ReLU, nn.ReLU6, PACTActivation)
# These are folded into the layer before them. Group norm is not: its statistics depend on its input.
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
ONLY_IN_TRAINING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity)
# Modules that may stand between a rectifier and the layer that reads it. Averages and sums of quantized activations may
# lie between two levels. The layer then reads more distinct values than its activation bits allow.
_POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
PASSING = (*_POOLS, nn.Flatten, *ONLY_IN_TRAINING)
SUMS = (operator.add, operator.iadd, torch.add)  # residual connections, as functions

# Functions and methods that become modules, with the names and defaults of the arguments that the module takes as well.
# The module does not need the other arguments (`training`, `inplace`). For "view" and "reshape" see `modular`.
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


def modular(model: nn.Module, leaves: tuple[type[nn.Module], ...] = ()) -> fx.GraphModule:
    """Copy a network into a graph, and replace functions that rectify, pool or flatten by modules.

    Args:
        model: is not changed.
        leaves: further classes of modules that are not traced into. Torch's and this package's layers never are.

    Raises:
        SaqEvalError: if the forward pass depends on the values or the shape of the input.
    """

    # `fx.symbolic_trace` is not used, because custom layers have to be leaves, like torch's own layers.
    class Tracer(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            kinds = (*LAYERS, *RECTIFIERS, SignedPACT, *leaves)
            return isinstance(module, kinds) or super().is_leaf_module(module, name)

    model = private_copy(model)
    make_permanent(model)
    try:
        network = fx.GraphModule(model, Tracer().trace(model))
    except Exception as error:  # the network's own code may raise anything on a symbolic input
        raise SaqEvalError(
            f"the network's forward pass depends on its input's values or shape and cannot be converted: {first_line(error)}"
        ) from error
    network.train(model.training)
    for node in list(network.graph.nodes):
        if node.target in ("view", "reshape") and _keeps_batch_only(node):
            _replace(network, node, nn.Flatten())
        elif node.op in ("call_function", "call_method") and node.target in _MODULE_FOR:
            kind, defaults = _MODULE_FOR[node.target]
            given = dict(zip(defaults, node.args[1:], strict=False)) | node.kwargs
            _replace(network, node, kind(**{name: given.get(name, value) for name, value in defaults.items()}))
    network.graph.eliminate_dead_code()  # such as the sizes that `view` was called with
    network.recompile()
    return network


def traced(model: nn.Module) -> fx.GraphModule:
    """Copy a network into a graph in which every rectifier, pooling and flatten is a separate module, used once.

    Raises:
        SaqEvalError: if parts are of an unsupported kind, layers share weights, modules have hooks, or tensors hold NaN
            or infinity. The message names them.
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
            if type(module) not in (*LAYERS, *RECTIFIERS, SignedPACT, *NORMS, nn.GroupNorm, *PASSING):
                unsupported.append(f"{node.target} ({type(module).__name__})")
            elif isinstance(module, NORMS) and module.running_mean is None:
                unsupported.append(f"{node.target} ({type(module).__name__} without running statistics)")
            elif node.target in used and isinstance(module, (*LAYERS, *NORMS, nn.GroupNorm)):
                unsupported.append(f"{node.target} (used more than once)")
            elif node.target in used:
                _replace(network, node, copy.deepcopy(module))
            used.add(node.target)
        elif node.op == "get_attr":
            unsupported.append(f"{node.target} (a tensor used outside a layer)")
    if unsupported:
        raise SaqEvalError(f"cannot convert these parts of the network: {shortened(unsupported)}")
    network.delete_all_unused_submodules()
    network.recompile()
    return network


def add_module(network: fx.GraphModule, name: str, module: nn.Module) -> str:
    """Add a module under a name, with a number appended if the name is taken; return the name used."""
    taken = {name for name, _ in network.named_modules()}
    candidates = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(1)))
    name = next(candidate for candidate in candidates if candidate not in taken)
    network.add_submodule(name, module.train(network.training))
    return name


def is_call(network: fx.GraphModule, node: fx.Node, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Tell whether a node calls a module of one of these classes."""
    return node.op == "call_module" and isinstance(network.get_submodule(node.target), kinds)


def layer_of(network: fx.GraphModule, node: fx.Node) -> nn.Conv2d | nn.Linear:
    """Return the layer with weights, one of `LAYERS`, that a node calls."""
    layer = network.get_submodule(node.target)
    assert isinstance(layer, LAYERS)
    return layer


def _keeps_batch_only(node: fx.Node) -> bool:
    """Tell whether a reshape keeps only the batch axis, as x.view(<batch size>, -1) does."""

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
    name = add_module(network, node.name, module)
    with network.graph.inserting_before(node):
        call = network.graph.call_module(name, (node.args[0],))
    node.replace_all_uses_with(call)
    network.graph.erase_node(node)
