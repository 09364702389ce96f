"""From a full-precision network to a quantized one without training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

import torch
from torch import Tensor, fx, nn

from saq_eval.core.errors import SaqEvalError, check_choice, in_short
from saq_eval.networks.preprocessing import Normalize, Preprocessing
from saq_eval.quantization.calibration.clips import ClipRule, find_clip
from saq_eval.quantization.calibration.rounding import covariances, least_squares_codes
from saq_eval.quantization.calibration.values import Kept, Store, chunks_of
from saq_eval.quantization.convert import FrozenLayer, freeze, quantize, restore_weight
from saq_eval.quantization.graph import LAYERS, is_call, layer_of
from saq_eval.quantization.layers import QuantConv2d, QuantLinear
from saq_eval.quantization.pact import ACTIVATION_QUANTIZERS, PACTActivation, SignedPACT
from saq_eval.quantization.schemes import Scheme, load_scheme

Rounding = Literal["least-squares", "nearest"]
POST_TRAINING = "-ptq"


def post_training(scheme: str | Scheme) -> Scheme:
    """Return a scheme's variant for quantization after training: the same bits, and weights that suit it.

    Each output channel's weights get the scale of least squared error (the quantizer "mse"). The variant is called
    `<name>-ptq`.
    """
    scheme = load_scheme(scheme)
    name = scheme.name if scheme.name.endswith(POST_TRAINING) else scheme.name + POST_TRAINING
    return replace(scheme, name=name, weights="mse", two_bit_weights="mse", granularity="channel")


@torch.no_grad()
def calibrate(
    network: nn.Module,
    scheme: str | Scheme,
    images: Tensor,
    *,
    clip: str = "mse",
    rounding: Rounding = "least-squares",
    correct_biases: bool = True,
    preprocessing: Preprocessing | None = None,
) -> fx.GraphModule:
    """Quantize a full-precision network without training, and return its frozen form (see `freeze`).

    Batch norm is folded first. Then the layers and activations are quantized in their order of execution, so that each
    reads what the quantized layers before it give:

    - An activation gets its clip α from the values that it reads: the clip of least squared error, or a quantile. It is at
      most 6 for ReLU6, and 1 where no value is above 0.
    - The scheme's quantizer scales a layer's weights. They are rounded to the nearest level, or such that the layer's
      outputs have a small squared error (GPTQ, Frantar et al. 2022, arXiv 2210.17323).
    - A layer's bias is changed so that the mean of each output channel is that of the full-precision network (Nagel et al.
      2019, arXiv 1906.04721, section 4.2). A layer that has neither bias nor batch norm is left without.

    Equal arguments give equal networks. All images pass each layer in chunks, and what does not fit into half a gigabyte is
    kept in temporary files.

    Args:
        network: a full-precision network as for `quantize`, with its batch norm or frozen; it is not changed.
        scheme: a scheme, the name of a registered one, or a `.yaml` file. For `post_training(scheme)` the weights have a
            smaller error.
        images: float32 (n, c, h, w), the calibration images, as the network reads them, or in [0, 1] if
            `preprocessing` is given. Some hundreds are enough.
        clip: "mse", or "quantile:q" with q above 0 and at most 1, such as "quantile:0.9999".
        rounding: "least-squares" or "nearest".
        correct_biases: whether biases are changed.
        preprocessing: the normalisation that the network expects; the returned network expects it too.

    Raises:
        SaqEvalError: a scheme of full precision, a network that is quantized already or cannot be quantized, images that
            are not finite or that the network does not read.
    """
    scheme, rule = load_scheme(scheme), ClipRule.parse(clip)
    check_choice("rounding", rounding, Rounding)
    if scheme.is_full_precision:
        raise SaqEvalError(f"the scheme {scheme.name!r} is of full precision, so there is nothing to calibrate")
    check_not_quantized(network)
    _check_images(images)
    reference = freeze(network)
    device = next(tensor.device for tensor in reference.state_dict().values())
    if preprocessing is not None:
        normalize = Normalize(preprocessing)
        images = torch.cat([normalize(chunk) for chunk in chunks_of(images)])
    _check_reads(reference, images[:1].to(device))
    quantized = freeze(quantize(reference, scheme))
    with Store() as store:
        walk = _Walk(quantized, reference, store, rule, rounding, correct_biases)
        _run(walk, [chunk.to(device) for chunk in chunks_of(images)])
    return quantized


def check_not_quantized(network: nn.Module) -> None:
    """Raise `SaqEvalError` if a network has quantized layers or activations; the message names some."""
    kinds = (QuantConv2d, QuantLinear, *ACTIVATION_QUANTIZERS)
    found = [n for n, module in network.named_modules() if isinstance(module, kinds) or hasattr(module, "weight_code")]
    if found:
        raise SaqEvalError(
            f"the network is quantized already, in {', '.join(found[:5])}; quantize its full-precision parent"
        )


def _check_images(images: Tensor) -> None:
    if not isinstance(images, Tensor) or images.dtype != torch.float32 or images.dim() != 4 or not images.numel():
        what = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else in_short(images)
        raise SaqEvalError(f"calibration images are a float32 tensor (n, channels, height, width), n > 0, not {what}")
    wrong = [place for place, image in enumerate(images) if not image.isfinite().all()]
    if wrong:
        raise SaqEvalError(
            f"{len(wrong)} of {len(images)} calibration images hold NaN or infinity, the first is {wrong[0]}"
        )


def _check_reads(network: nn.Module, image: Tensor) -> None:
    """Raise `SaqEvalError` unless a network reads an image."""
    try:
        network(image)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise SaqEvalError(f"the network cannot read images of shape {tuple(image.shape[1:])}: {reason}") from error


@dataclass(frozen=True)
class _Walk:
    """The two networks and the values of their nodes, by node of the quantized one's graph.

    Attributes:
        values: the quantized network's values, in chunks of images.
        references: the full-precision network's values, in the same chunks.
    """

    quantized: fx.GraphModule
    reference: fx.GraphModule
    store: Store
    rule: ClipRule
    rounding: Rounding
    correct_biases: bool
    values: dict[fx.Node, list[Kept]] = field(default_factory=dict)
    references: dict[fx.Node, list[Kept]] = field(default_factory=dict)

    def apply(self, function: Callable[..., Tensor], node: fx.Node, sources: dict[fx.Node, list[Kept]]) -> list[Kept]:
        """Return a function of a node's operands, chunk by chunk."""
        count = len(sources[node.all_input_nodes[0]])
        results = []
        for place in range(count):
            arguments = fx.node.map_arg(node.args, lambda operand, place=place: sources[operand][place].get())
            results.append(self.store.keep(function(*arguments, **node.kwargs)))
        return results


def _run(walk: _Walk, images: Sequence[Tensor]) -> None:
    """Go through the graph once, and quantize each part where it is met."""
    graph = walk.quantized.graph
    last = {operand: node for node in graph.nodes for operand in node.all_input_nodes}
    for node in graph.nodes:
        if node.op == "output":
            return
        if node.op == "placeholder":
            walk.values[node] = [Kept(0, chunk) for chunk in images]
            walk.references[node] = walk.values[node]
        elif is_call(walk.quantized, node, ACTIVATION_QUANTIZERS):
            _quantize_activation(walk, node)
        elif is_call(walk.quantized, node, LAYERS):
            _quantize_layer(walk, node)
        else:
            function = walk.quantized.get_submodule(node.target) if node.op == "call_module" else node.target
            walk.values[node] = walk.apply(function, node, walk.values)
            walk.references[node] = walk.apply(function, node, walk.references)
        for operand in node.all_input_nodes:
            if last[operand] is node:
                walk.store.release(walk.values.pop(operand))
                walk.store.release(walk.references.pop(operand))


def _quantize_activation(walk: _Walk, node: fx.Node) -> None:
    """Set an activation's clip, and compute its values."""
    activation = cast(PACTActivation | SignedPACT, walk.quantized.get_submodule(node.target))
    source = node.all_input_nodes[0]
    signed = isinstance(activation, SignedPACT)
    levels = 2 ** (activation.bits - 1) - 1 if signed else 2**activation.bits - 1
    exact = nn.Identity() if signed else walk.reference.get_submodule(node.target)
    size = torch.abs if signed else exact
    alpha = find_clip(lambda: (size(kept.get()) for kept in walk.values[source]), walk.rule, levels, str(node.target))
    activation.alpha.fill_(alpha)
    walk.values[node] = walk.apply(activation, node, walk.values)
    walk.references[node] = walk.apply(exact, node, walk.references)


def _quantize_layer(walk: _Walk, node: fx.Node) -> None:
    """Round a layer's weights, correct its bias, and compute its values."""
    layer, exact = layer_of(walk.quantized, node), layer_of(walk.reference, node)
    source = node.all_input_nodes[0]
    bias = layer.bias if walk.correct_biases else None
    if hasattr(layer, "weight_code") and walk.rounding == "least-squares":
        frozen = cast(FrozenLayer, layer)
        inputs = (kept.get() for kept in walk.values[source])
        parts = covariances(layer, inputs, centred=bias is not None)
        frozen.weight_code.copy_(least_squares_codes(exact.weight, frozen.weight_scale, int(frozen.weight_bits), parts))
        restore_weight(frozen)
    walk.references[node] = walk.apply(exact, node, walk.references)
    if bias is not None:
        pairs = zip(walk.values[source], walk.references[node], strict=True)
        bias += _mean_shift(layer, ((value.get(), reference.get()) for value, reference in pairs))
    walk.values[node] = walk.apply(layer, node, walk.values)


def _mean_shift(layer: nn.Conv2d | nn.Linear, chunks: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return by how much the mean of each output channel lies below the mean that it should have: (out,).

    Args:
        chunks: the layer's inputs, and the outputs that it should have.
    """
    total = torch.zeros(len(layer.weight), dtype=torch.float64, device=layer.weight.device)
    count = 0
    for inputs, wanted in chunks:
        channel = -1 if isinstance(layer, nn.Linear) else 1
        difference = (wanted - layer(inputs)).movedim(channel, 0).flatten(1)
        total += difference.double().sum(dim=1)
        count += difference.shape[1]
    return (total / count).to(layer.weight.dtype)
