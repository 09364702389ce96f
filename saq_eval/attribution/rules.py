"""Rules of attribution methods for the layers of quantized networks: one rule per kind of layer and method.

Captum and Zennit look layers up by type. For a layer of an unknown type they use the plain gradient, without
a warning. Guided backpropagation or DeepLIFT would then compute something else under the same name. So a
method with rules does not get the user's network, but the copy by `explainable`. In the copy, the method has
a rule for every layer; a network for which this is not possible is refused with the layers' names.

The rules, for a layer y = q(x) with relevance or multiplier m_y at its output:

- **Rectifier** (`nn.ReLU`, `PACTActivation`, `ClippedReLU`). Guided backpropagation passes the positive
  part of the gradient, m_x = max(0, y'(x) m_y); for a PACT activation, y' is the straight-through
  gradient. Deconvolution has m_x = max(0, m_y), independent of the activation. DeepLIFT's Rescale rule
  m_x = m_y Δy/Δx holds for any function of one variable, also for a step function. Where Δx = 0, Δy is
  0 too, and the straight-through gradient is used instead. LRP passes relevance on unchanged.
- **`SignedPACT`** is not a rectifier. Guided backpropagation and deconvolution use its straight-through
  gradient; DeepLIFT and LRP treat it like a rectifier.
- **Max pooling.** DeepLIFT: Δy = (max(y, y⁰) − y⁰) + (y − max(y, y⁰)). The first part is assigned to the
  pixel where x has its maximum, the second to the pixel where the reference x⁰ has its maximum (Captum's
  rule, after that of DeepLIFT's authors). Parts from overlapping windows are added. LRP: all relevance
  goes to the maximum.
- **Sum** of a residual connection. DeepLIFT: linear. LRP: LRP-0, which divides relevance in proportion to
  the summands.
- **Normalize** in front of a network. It is linear; LRP passes relevance from the normalised pixel to the
  pixel.
- **Channels** in front of a network. It is linear, and its gradient passes relevance on without loss.

Captum sets its hooks on tensors. If two layers with a rule follow each other directly, they share a tensor.
The first layer's hook then reads the gradient before the second layer's rule has replaced it. So for a max
pooling after a rectifier, DeepLIFT's completeness fails by several per cent. In the copy, each layer with a
rule reads a separate tensor (`Apart`), which removes this error.
"""

from __future__ import annotations

import copy
import functools
import itertools
import operator

import torch
from captum.attr._core import deep_lift
from torch import Tensor, fx, nn
from torch.nn import functional as F
from zennit.composites import LayerMapComposite
from zennit.layer import Sum as SumOfStack
from zennit.rules import Epsilon, Gamma, Norm, Pass, ZPlus

from saq_eval.core.errors import SaqEvalError, Unsupported, first_line, shortened
from saq_eval.networks.batches import NO_LAYERS, OneByOne
from saq_eval.networks.channels import Channels
from saq_eval.networks.modules import CallableNetwork, symbol_of_logits
from saq_eval.networks.preprocessing import Normalize
from saq_eval.networks.private import guarded, without_in_place
from saq_eval.quantization.graph import SUMS, modular
from saq_eval.quantization.pact import PACTActivation, SignedPACT


class ClippedReLU(nn.ReLU):
    """min(max(x, 0), clip): `nn.ReLU6` as a subclass of `nn.ReLU`, or a PACT activation without rounding."""

    def __init__(self, clip: float) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, x: Tensor) -> Tensor:
        return F.hardtanh(x, 0.0, self.clip)


_SAME = 1e-3  # logits of a network and of its graph may differ by this share of the largest

# Layers are looked up by their exact type, because a subclass may compute something else.
RECTIFIERS = (nn.ReLU, nn.ReLU6, ClippedReLU, PACTActivation)
_WEIGHTED = (nn.Conv2d, nn.Linear)
_AVERAGES = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_MAXIMA = (nn.MaxPool2d, nn.AdaptiveMaxPool2d)
_PASSING = (nn.Flatten, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, Normalize, Channels)
_COMMON = (*RECTIFIERS, *_WEIGHTED, *_AVERAGES, *_MAXIMA, *_PASSING, SignedPACT)

GUIDED_LAYERS = (*_COMMON, nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)
DEEPLIFT_LAYERS = (*_COMMON, nn.BatchNorm1d, nn.BatchNorm2d)
LRP_LAYERS = _COMMON


class MaxPool2d(nn.MaxPool2d):
    """`nn.MaxPool2d` as a separate type, for which DeepLIFT uses this module's rule."""


class AdaptiveMaxPool2d(nn.AdaptiveMaxPool2d):
    """`nn.AdaptiveMaxPool2d` as a separate type, for which DeepLIFT uses this module's rule."""


class Apart(nn.Module):
    """The identity, but with a new tensor as output."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view_as(x)


class Sum(nn.Module):
    """The sum of two tensors as a layer, so that LRP can have a rule for it."""

    def __init__(self) -> None:
        super().__init__()
        self.total = SumOfStack()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.total(torch.stack(torch.broadcast_tensors(a, b), dim=-1))


class LayerGraph(fx.GraphModule):
    """A network as a graph in which each call of a layer is a separate module, used once.

    Modules keep their names in the user's network. A second use of a module, and a module that replaces a function, is
    named after its node, such as `relu_1`, as in the frozen form.
    """

    def behind(self, node: fx.Node) -> nn.Module:
        """Put a module that does nothing behind a node, in place, and return it."""
        name = _add(self, f"{node.name}_output", Apart())
        with self.graph.inserting_after(node):
            apart = self.graph.call_module(name, (node,))
        node.replace_all_uses_with(apart, delete_user_cb=lambda user: user is not apart)
        self.recompile()
        return self.get_submodule(name)


def layer_graph(network: nn.Module) -> LayerGraph:
    """Return a private copy of a network as a `LayerGraph` without in-place operations.

    Raises:
        SaqEvalError: if the network is a function, or its forward pass depends on the values or the shape of its input.
    """
    if any(isinstance(module, CallableNetwork) for module in network.modules()):
        raise SaqEvalError("the network is a function, not a torch.nn.Module")
    if any(isinstance(module, OneByOne) for module in network.modules()):
        raise SaqEvalError(NO_LAYERS)
    graph = modular(network, leaves=(Normalize, Channels, ClippedReLU, nn.LayerNorm)).eval()
    used = set()
    for node in graph.graph.nodes:
        if node.op == "output":
            node.args = (symbol_of_logits(node.args[0]),)
        if node.op == "call_module":
            if node.target in used:
                node.target = _add(graph, node.name, copy.deepcopy(graph.get_submodule(node.target)))
            used.add(node.target)
        elif node.target is operator.iadd:
            node.target = operator.add
    graph.graph.eliminate_dead_code()  # such as auxiliary outputs
    graph.delete_all_unused_submodules()
    graph.recompile()
    return without_in_place(LayerGraph(graph, graph.graph)).requires_grad_(False).eval()


def by_layers(network: nn.Module, image: Tensor) -> nn.Module:
    """Return a network's `layer_graph`, or the network itself if it cannot be converted to a graph.

    Args:
        network: a private network.
        image: (1, c, h, w), for `check_the_same`.
    """
    try:
        graph = guarded(layer_graph(network))
        check_the_same(graph, network, image)
    except SaqEvalError:
        return network
    return graph


def check_the_same(graph: nn.Module, network: nn.Module, image: Tensor) -> None:
    """Raise `Unsupported` unless a graph of a private network returns the network's logits for an image (1, c, h, w).

    It does not if the network has hooks that change its output, or its forward pass depends on what a graph does not show.
    """
    try:
        with torch.no_grad():
            ours, theirs = graph(image), network(image)
    except Exception as error:  # the graph's code comes from the user's
        raise Unsupported("no graph of its layers can be computed", first_line(error)) from error
    if (ours - theirs).abs().max() > _SAME * theirs.abs().max():
        advice = "look for hooks, or for a forward pass that depends on the image"
        raise Unsupported("the graph of its layers computes something else", advice)


HELPERS = (Apart, SumOfStack)  # modules of a copy that do not correspond to a layer of the network


def explainable(network: nn.Module, layers: tuple[type[nn.Module], ...], method: str) -> LayerGraph:
    """Return a private copy of a network in which a method finds a rule for every layer.

    Args:
        network: a network in frozen form, or any network of modules and functions that `saq_eval.freeze` accepts.
        layers: the classes of layers that the method has a rule for.
        method: the method's name, for messages.

    Raises:
        Unsupported: if there is no rule for some layers; the reason names the first few layers and classes.
    """
    try:
        copied = layer_graph(network)
    except SaqEvalError as error:
        raise Unsupported("its layers are not known", str(error), method) from error
    unknown: dict[str, list[str]] = {}
    functions: dict[str, list[str]] = {}
    for node in list(copied.graph.nodes):
        if node.op == "call_module":
            module = copied.get_submodule(node.target)
            kind = type(module).__name__
            if type(module) not in layers:
                unknown.setdefault(kind, []).append(node.target)
                continue
            module = _twin(module)
            copied.set_submodule(node.target, module)
            if isinstance(module, _WITH_RULE):
                with copied.graph.inserting_before(node):
                    apart = _add(copied, f"{node.name}_apart", Apart())
                    node.update_arg(0, copied.graph.call_module(apart, (node.args[0],)))
        elif node.target in SUMS and not node.kwargs and all(isinstance(operand, fx.Node) for operand in node.args):
            node.op, node.target = "call_module", _add(copied, node.name, Sum())
        elif node.op in ("call_function", "call_method", "get_attr"):
            kind = "tensor" if node.op == "get_attr" else getattr(node.target, "__name__", node.target)
            functions.setdefault(kind, []).append(node.name)
    for kind, names in functions.items():  # after the layers, which say more
        unknown.setdefault(kind, []).extend(names)
    if unknown:
        each = 3 if len(unknown) == 1 else 1
        listed = [f"{kind} ({shortened(names, each)})" for kind, names in unknown.items()]
        raise Unsupported(f"no rule for {shortened(listed, 2)}", who=method)
    copied.recompile()
    return copied.requires_grad_(False).eval()


def _add(network: fx.GraphModule, name: str, module: nn.Module) -> str:
    """Add a module under a name, with a number appended if the name is taken; return the name used."""
    taken = {name for name, _ in network.named_modules()}
    candidates = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(1)))
    name = next(candidate for candidate in candidates if candidate not in taken)
    network.add_submodule(name, module)
    return name


def _twin(layer: nn.Module) -> nn.Module:
    """Return what takes a layer's place in the copy, mostly the layer itself."""
    if type(layer) is nn.ReLU:
        return nn.ReLU()  # never in place
    if type(layer) is nn.ReLU6:
        return ClippedReLU(6.0)
    if type(layer) is nn.MaxPool2d:
        return MaxPool2d(layer.kernel_size, layer.stride, layer.padding, layer.dilation, ceil_mode=layer.ceil_mode)
    if type(layer) is nn.AdaptiveMaxPool2d:
        return AdaptiveMaxPool2d(layer.output_size)
    return layer


_WITH_RULE = (nn.ReLU, SignedPACT, MaxPool2d, AdaptiveMaxPool2d)


def _deeplift_maximum(
    module: nn.Module, inputs: Tensor, outputs: Tensor, grad_input: Tensor, grad_output: Tensor, eps: float
) -> Tensor:
    """Return the multipliers by DeepLIFT's rule for max pooling.

    Captum calls it with images in the first half of the batch and references in the second half.
    """
    if isinstance(module, MaxPool2d):
        pool = functools.partial(
            F.max_pool2d,
            kernel_size=module.kernel_size,
            stride=module.stride,
            padding=module.padding,
            dilation=module.dilation,
            ceil_mode=module.ceil_mode,
        )
    else:
        pool = functools.partial(F.adaptive_max_pool2d, output_size=module.output_size)
    places = pool(inputs, return_indices=True)[1].flatten(2)
    output, reference = outputs.chunk(2)
    largest = torch.maximum(output, reference)
    # Both halves of a batch have the same multiplier. The sum of the two parts is Δy.
    parts = torch.cat([largest - reference, output - largest]) * grad_output
    spread = torch.zeros_like(inputs).flatten(2).scatter_add_(2, places, parts.flatten(2)).reshape(inputs.shape)
    contribution = sum(spread.chunk(2))
    image, image_reference = inputs.chunk(2)
    difference = image - image_reference
    safe = torch.where(difference.abs() < eps, torch.ones_like(difference), difference)
    multiplier = torch.where(difference.abs() < eps, grad_input.chunk(2)[0], contribution / safe)
    return torch.cat([multiplier, multiplier])


deep_lift.SUPPORTED_NON_LINEAR.update(
    {
        PACTActivation: deep_lift.nonlinear,
        SignedPACT: deep_lift.nonlinear,
        ClippedReLU: deep_lift.nonlinear,
        MaxPool2d: _deeplift_maximum,
        AdaptiveMaxPool2d: _deeplift_maximum,
    }
)


def lrp_composite(convolution: str, gamma: float, epsilon: float) -> LayerMapComposite:
    """Return Zennit's rules for the layers of an `explainable` copy.

    Args:
        convolution: "zplus", "gamma" or "epsilon", the rule for convolutions; linear layers use LRP-ε.
        gamma: the parameter of the γ rule.
        epsilon: the parameter of LRP-ε, and the term that keeps the other rules from dividing by zero.
    """
    conv = {
        "zplus": lambda: ZPlus(stabilizer=epsilon),
        "gamma": lambda: Gamma(gamma=gamma, stabilizer=epsilon),
        "epsilon": lambda: Epsilon(epsilon=epsilon),
    }[convolution]
    return LayerMapComposite(
        [
            ((nn.ReLU, SignedPACT, Normalize), Pass()),
            ((nn.Conv2d,), conv()),
            ((nn.Linear,), Epsilon(epsilon=epsilon)),
            ((SumOfStack, *_AVERAGES), Norm(stabilizer=epsilon)),
        ]
    )
