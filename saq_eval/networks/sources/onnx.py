"""Networks in ONNX, of any precision: `onnx:network.onnx`. Needs the extra "onnx".

Arguments: `layout` (nchw, nhwc), where the input's shape does not tell; `output`, the name of the logits, where there are
several outputs of rank 2; `softmax` (remove, keep). A graph is not turned into a torch network: that would be another
network than the one that the runtime computes, and its integer kernels have no gradient.
"""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, cast

from saq_eval.core.errors import SaqEvalError, SaqEvalWarning, check_choice, unknown_name
from saq_eval.core.extras import import_extra
from saq_eval.core.paths import user_path
from saq_eval.data.geometry import Geometry
from saq_eval.networks.onnx_module import Layout, OnnxFacts, OnnxModule, open_session
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.networks.sources.base import Opened, register_source
from saq_eval.networks.sources.text import SourceText
from saq_eval.networks.weights import read_bytes

Softmax = Literal["remove", "keep"]

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
}
_MOST_NODES = 50_000  # large networks have a few thousand
_MOST_IN_A_BATCH = 1024
_LOGITS = tuple(name for name in _DTYPES if "float" in name or "double" in name)
_CHANNELS = (1, 3)
_PASSED = ("Identity", "QuantizeLinear", "DequantizeLinear", "Cast")  # between a Softmax and the output
_BATCH_WIDE = ("DynamicQuantizeLinear", "DynamicQuantizeMatMul")  # their scale is that of all images together


@register_source("onnx", takes_file=False)
def open_onnx(source: SourceText, *, trust_code: bool) -> Opened:
    """Open a network in ONNX.

    The Softmax at the end of a graph is removed, and a warning says so: metrics are about logits, which are its input.
    Pixels are not normalised unless the text says mean and std; an input of type uint8 gets 255 times the pixels.
    """
    path = user_path(source.name)
    unknown = [name for name in source.arguments if name not in ("layout", "output", "softmax")]
    if unknown:
        valid = ("layout", "output", "softmax", "mean", "std", "size", "crop", "interpolation", "resized")
        raise unknown_name("argument of an onnx: source", unknown[0], valid)
    model, sha256, size = _read(path)
    session = open_session(model.SerializeToString(), path.name)
    output = _output(path, session.get_outputs(), source.arguments.get("output"))
    if _without_softmax(path, model.graph, output, source.arguments.get("softmax", "remove")):
        output = model.graph.output[0].name
    facts = _facts(path, session.get_inputs(), model.graph, output, source.arguments.get("layout"))
    if facts.dtype == "uint8" and (source.mean or source.std):
        raise SaqEvalError(f"{source.text}: the network reads whole numbers from 0 to 255, so it takes no mean and std")
    size_read = _input_size(session.get_inputs()[0].shape, facts.layout)
    pixels = Preprocessing(std=(1 / 255,)) if facts.dtype == "uint8" else Preprocessing()
    return Opened(
        OnnxModule(model.SerializeToString(), facts, path.name).eval(),
        path.name,
        source.preprocessing(pixels),
        # A fixed input says what fits, not how pictures were brought to it in training.
        _stated(source, size_read),
        None,
        sha256,
        size,
        None,
        input_size=size_read,
    )


def _read(path: Path) -> tuple[Any, str, int]:
    """Return the model with all weights in it, the SHA-256 of its file, or files, and their size in bytes."""
    onnx = import_extra("onnx", "onnx", "a network in ONNX")
    files = [read_bytes(path)]
    try:
        model = onnx.load_model_from_string(files[0])
    except Exception as error:  # of protobuf
        raise SaqEvalError(f"{path}: no ONNX file: {' '.join(str(error).split())}") from error
    if not model.graph.node:
        raise SaqEvalError(f"{path}: no ONNX file: it holds no graph")
    if sum(1 for _ in itertools.islice(_nodes(model.graph), _MOST_NODES + 1)) > _MOST_NODES:
        raise SaqEvalError(f"{path}: the network has more than {_MOST_NODES:,} operators")
    places = {
        entry.value for tensor in _tensors(model.graph) for entry in tensor.external_data if entry.key == "location"
    }
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # a missing file, or one outside of the folder
        reason = " ".join(str(error).split())
        raise SaqEvalError(f"{path}: its weights are in other files, which cannot be read: {reason}") from error
    files += [read_bytes(path.parent / place) for place in sorted(places)]
    if model.ByteSize() >= 2**31:
        raise SaqEvalError(f"{path}: the network has {model.ByteSize() / 2**30:.1f} GiB, less than 2 may be")
    digest = hashlib.sha256()
    for content in files:
        digest.update(content)
    return model, digest.hexdigest(), sum(map(len, files))


def _output(path: Path, outputs: Iterable[Any], wanted: object) -> str:
    """Return the name of the output with the logits: the only one of rank 2, or the one that was asked for."""
    outputs = list(outputs)
    listed = ", ".join(f"{each.name} {each.shape}" for each in outputs)
    logits = [each for each in outputs if each.type in _LOGITS and len(each.shape) == 2]
    if wanted is not None:
        if wanted not in [each.name for each in logits]:
            raise SaqEvalError(f"{path}: output={wanted} is no output (n, classes) of the network; it has {listed}")
        return str(wanted)
    if not logits:
        raise SaqEvalError(f"{path}: the network has no output of shape (n, classes); it has {listed}")
    if len(logits) > 1:
        raise SaqEvalError(f"{path}: several outputs may be the logits; say ?output=NAME of {listed}")
    return logits[0].name


def _without_softmax(path: Path, graph: Any, output: str, wanted: object) -> bool:
    """Make the input of the Softmax at the end of a graph its only output, in place; tell whether that was done."""
    check_choice("softmax", wanted, Softmax)
    by_output = {name: node for node in graph.node for name in node.output}
    node = by_output.get(output)
    while node is not None and node.op_type in _PASSED:
        node = by_output.get(node.input[0])
    if node is None or "softmax" not in node.op_type.lower() or node.op_type == "LogSoftmax":
        return False
    if wanted == "keep" or node.op_type != "Softmax":
        warnings.warn(
            f"{path}: the network ends with {node.op_type}, so its outputs are probabilities, while metrics are about "
            "logits; export it without its last layer"
            + (", or leave ?softmax=keep out" if node.op_type == "Softmax" else ""),
            SaqEvalWarning,
            stacklevel=3,
        )
        return False
    warnings.warn(
        f"{path}: the network ends with Softmax; its input, the logits, is used instead, since metrics are about logits "
        "(?softmax=keep uses the probabilities)",
        SaqEvalWarning,
        stacklevel=3,
    )
    del graph.output[:]
    graph.output.add().name = node.input[0]  # the runtime finds its type and shape
    return True


def _facts(path: Path, inputs: Iterable[Any], graph: Any, output: str, layout: object) -> OnnxFacts:
    """Check a network's input and return how the network is called."""
    inputs = list(inputs)
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in _DTYPES:
        listed = ", ".join(f"{each.name} {each.shape} of {each.type}" for each in inputs) or "none"
        raise SaqEvalError(
            f"{path}: the network has to read one batch of images, of rank 4 and type float or uint8; its inputs are {listed}"
        )
    (images,) = inputs
    batch = images.shape[0] if isinstance(images.shape[0], int) else None
    if batch is not None and batch > _MOST_IN_A_BATCH:
        raise SaqEvalError(f"{path}: the network reads {batch:,} images at once, at most {_MOST_IN_A_BATCH:,} may be")
    return OnnxFacts(
        images.name,
        output,
        _DTYPES[images.type],
        _layout(path, images.shape, layout),
        batch,
        any(node.op_type in _BATCH_WIDE for node in _nodes(graph)),
    )


def _nodes(graph: Any) -> Iterable[Any]:
    """Yield a graph's nodes, and those of the graphs inside them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _tensors(graph: Any) -> Iterable[Any]:
    """Yield the constants of a graph, also those in the attributes of nodes."""
    yield from graph.initializer
    for node in _nodes(graph):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors, *attribute.g.initializer)


def _layout(path: Path, shape: list[Any], wanted: object) -> Layout:
    """Return the order of an input's axes: what was asked for, or what its numbers of channels tell."""
    if wanted is not None:
        check_choice("layout", wanted, Layout)
        return cast(Layout, wanted)
    first, last = shape[1] in _CHANNELS, shape[3] in _CHANNELS
    if first == last:
        raise SaqEvalError(
            f"{path}: the shape of the input, {shape}, does not tell where the channels are; say ?layout=nchw"
        )
    return "nchw" if first else "nhwc"


def _stated(source: SourceText, size: tuple[int, int] | None) -> Geometry | None:
    """Return what the text says about the size of pictures; `interpolation` alone is about the size of the input."""
    fixed = Geometry(*size) if size is not None and size[0] == size[1] else None
    geometry = source.geometry(fixed)
    return None if geometry is fixed else geometry


def _input_size(shape: list[Any], layout: Layout) -> tuple[int, int] | None:
    """Return height and width of the images that an input reads, if they are fixed."""
    height, width = shape[2:] if layout == "nchw" else shape[1:3]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
