"""Small networks in ONNX: a convolution, global average pooling, and logits of five classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

WEIGHTS = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)


def logits_of(images: torch.Tensor) -> torch.Tensor:
    """Return what the graphs compute, by torch: float32 (n, 3, h, w) -> (n, 5)."""
    return torch.nn.functional.conv2d(images, torch.from_numpy(WEIGHTS)).mean(dim=(2, 3)).detach()


def graph(shape=("n", 3, 8, 8), *, dtype="float", nhwc=False, dynamic=False, ends=(), outputs=("logits",)):
    """Return a model that reads "pixels" and returns "logits", after the operators `ends` if there are any."""
    node = onnx.helper.make_node
    nodes, current = [], "pixels"
    if dtype != "float":
        nodes.append(node("Cast", [current], ["cast"], to=onnx.TensorProto.FLOAT))
        current = "cast"
    if nhwc:
        nodes.append(node("Transpose", [current], ["turned"], perm=[0, 3, 1, 2]))
        current = "turned"
    if dynamic:
        nodes.append(node("DynamicQuantizeLinear", [current], ["codes", "scale", "zero"]))
        nodes.append(node("DequantizeLinear", ["codes", "scale", "zero"], ["quantized"]))
        current = "quantized"
    nodes.append(node("Conv", [current, "w"], ["maps"]))
    nodes.append(node("GlobalAveragePool", ["maps"], ["means"]))
    nodes.append(node("Flatten", ["means"], ["end0" if ends else "logits"]))
    for place, operator in enumerate(ends, start=1):
        nodes.append(node(operator, [f"end{place - 1}"], ["logits" if place == len(ends) else f"end{place}"]))
    if "other" in outputs:
        nodes.append(node("Identity", ["logits"], ["other"]))
    kinds = {"float": onnx.TensorProto.FLOAT, "uint8": onnx.TensorProto.UINT8, "int32": onnx.TensorProto.INT32}
    shapes = {"logits": ["n", 5], "other": ["n", 5], "maps": ["n", 5, "a", "b"]}
    info = onnx.helper.make_tensor_value_info
    built = onnx.helper.make_graph(
        nodes,
        "small",
        [info("pixels", kinds[dtype], list(shape))],
        [info(name, onnx.TensorProto.FLOAT, shapes[name]) for name in outputs],
        [onnx.numpy_helper.from_array(WEIGHTS, "w")],
    )
    return onnx.helper.make_model(built, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
