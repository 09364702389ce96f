"""ONNX files that are none, lie about themselves, or name other files."""

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.writing import noise, write
from tests.hostile.running import answered, refused
from tests.networks.onnx_graphs import graph, onnx

helper, FLOAT = onnx.helper, onnx.TensorProto.FLOAT
GOOD = graph().SerializeToString()


def explain(here: Path, content: bytes, source: str = "onnx:n.onnx") -> list:
    for place, name in enumerate("abcde"):
        write(here / "pets" / name / "0.png", noise(8, 8, seed=place))
    (here / "n.onnx").write_bytes(content)
    return ["explain", "--dataset", "folder:pets", "--index", "0", "--model", f"a={source}", "--methods", "occlusion"]


def changed(change) -> bytes:
    """Return the small network, changed in place by a function."""
    model = graph()
    change(model)
    return model.SerializeToString()


def outside(location: str, **entries) -> bytes:
    """Return the small network with weights that are said to be in another file."""

    def change(model):
        weights = model.graph.initializer[0]
        weights.ClearField("raw_data")
        weights.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": location, **entries}.items():
            weights.external_data.add(key=key, value=value)

    return changed(change)


def made(nodes, outputs=(("logits", ["n", 5]),), inputs=(("pixels", ["n", 3, 8, 8]),), weights=()) -> bytes:
    info = helper.make_tensor_value_info
    built = helper.make_graph(
        nodes, "g", [info(n, FLOAT, s) for n, s in inputs], [info(n, FLOAT, s) for n, s in outputs], list(weights)
    )
    return helper.make_model(built, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()


node = helper.make_node


def shape_of(*numbers):
    return onnx.numpy_helper.from_array(np.array(numbers, dtype=np.int64), "s")


def rank(*shape):
    return lambda model: model.graph.input[0].CopyFrom(helper.make_tensor_value_info("pixels", FLOAT, list(shape)))


def nan(model):
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.full((5, 3, 3, 3), np.nan, np.float32), "w"))


def deep(model):
    inner = helper.make_graph([node("Identity", ["x"], ["y"])], "inner", [], [])
    for depth in range(90):
        inner = helper.make_graph([node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)], f"g{depth}", [], [])
        if inner.ByteSize() > 5_000_000:
            break
    model.graph.node.extend(inner.node)


FILES = {
    "empty": b"",
    "zero bytes": bytes(100),
    "text": b"not ONNX",
    "a zip": b"PK\x03\x04" + bytes(100),
    **{f"the first {len(GOOD) * part // 8} bytes": GOOD[: len(GOOD) * part // 8] for part in (1, 3, 5, 7)},
    "another message": onnx.numpy_helper.from_array(np.ones(3)).SerializeToString(),
    "no graph": onnx.ModelProto(ir_version=9).SerializeToString(),
    "no nodes": changed(lambda model: model.graph.ClearField("node")),
    "no input": changed(lambda model: model.graph.ClearField("input")),
    "no output": changed(lambda model: model.graph.ClearField("output")),
    "no operators": changed(lambda model: model.ClearField("opset_import")),
    "operators of the future": changed(lambda model: setattr(model.opset_import[0], "version", 10**6)),
    "a format of the future": changed(lambda model: setattr(model, "ir_version", 10**6)),
    "an operator that nobody knows": changed(lambda model: setattr(model.graph.node[0], "op_type", "Harm")),
    "an operator of another domain": changed(lambda model: setattr(model.graph.node[0], "domain", "com.example")),
    "Python": changed(lambda model: setattr(model.graph.node[0], "op_type", "PyOp")),
    "a loop": changed(lambda model: model.graph.node[0].input.__setitem__(0, "logits")),
    "an input that nothing makes": changed(lambda model: model.graph.node[0].input.__setitem__(0, "nowhere")),
    "a name twice": changed(lambda model: model.graph.node.append(model.graph.node[0])),
    "rank 2": changed(rank("n", 192)),
    "rank 5": changed(rank("n", 1, 3, 8, 8)),
    "rank 0": changed(rank()),
    "two inputs": changed(lambda model: model.graph.input.add(name="more")),
    "two channels": changed(rank("n", 2, 8, 8)),
    "enormous pictures": changed(rank("n", 3, 2**40, 2**40)),
    "an enormous batch": changed(rank(2**40, 3, 8, 8)),
    "a large batch": changed(rank(2**22, 3, 8, 8)),
    "NaN": changed(nan),
    "a shape that is none": changed(lambda model: model.graph.initializer[0].dims.__setitem__(0, 2**60)),
    "a negative shape": changed(lambda model: model.graph.initializer[0].dims.__setitem__(0, -5)),
    "a type that is none": changed(lambda model: setattr(model.graph.initializer[0], "data_type", 99)),
    "too few weights": changed(lambda model: setattr(model.graph.initializer[0], "raw_data", b"1234")),
    "deep": changed(deep),
    "outside by dots": outside("../secret"),
    "outside by a path": outside("/etc/hostname"),
    "outside in zero bytes": outside("a\0b"),
    "outside nowhere": outside("nowhere"),
    "outside in nothing": outside(""),
    "outside in a folder": outside("pets"),
    "outside in a device": outside("../../../../../../../../../dev/zero"),
    "outside in itself": outside("n.onnx", offset="0", length="1"),
    "outside behind the end": outside("n.onnx", offset=str(2**62), length="540"),
    "outside before the start": outside("n.onnx", offset="-1", length="-1"),
    "outside at no number": outside("n.onnx", offset="x"),
    "outside at many digits": outside("n.onnx", offset="9" * 5_000),
    "outputs of rank 3": made([node("Flatten", ["pixels"], ["f"]), node("Unsqueeze", ["f", "s"], ["logits"])],
                              [("logits", ["n", 1, 5])], weights=[shape_of(0)]),
    "a batch of its own": made([node("ConstantOfShape", ["s"], ["logits"])], weights=[shape_of(7, 5)]),
    "an enormous constant": made([node("ConstantOfShape", ["s"], ["logits"])], weights=[shape_of(2**40, 5)]),
    "a constant of no row": made([node("ConstantOfShape", ["s"], ["logits"])], weights=[shape_of(0, 5)]),
    "noise": made([node("RandomNormal", [], ["logits"], shape=[2, 5])]),
    "another number of classes": made([node("Flatten", ["pixels"], ["logits"])], [("logits", ["n", "c"])]),
}  # fmt: skip


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_no_network_is_refused(here, what):
    (here.parent / "secret").write_bytes(bytes(540))
    sentence = refused(here, *explain(here, FILES[what]))
    assert "n.onnx" in sentence or "network 'a'" in sentence, sentence


def test_weights_behind_a_link_or_a_pipe_are_not_read(here):
    arguments = explain(here, outside("weights"))
    (here.parent / "secret").write_bytes(bytes(540))
    (here / "weights").symlink_to(here.parent / "secret")
    assert "n.onnx" in refused(here, *arguments)
    (here / "weights").unlink()
    os.mkfifo(here / "weights")
    assert "n.onnx" in refused(here, *arguments)
    (here / "weights").unlink()
    os.truncate(os.open(here / "weights", os.O_CREAT | os.O_WRONLY), 2**40)
    assert "n.onnx" in refused(here, *arguments)


def test_a_negative_size_is_a_free_one(here):
    assert answered(here, *explain(here, changed(rank("n", 3, -8, -8))), output="reports") == (0, "")


def test_what_stands_in_the_place_of_the_file(here):
    arguments = explain(here, b"")
    file = here / "n.onnx"
    for replace in (lambda: os.mkfifo(file), lambda: file.symlink_to("/dev/zero"), lambda: file.symlink_to("n.onnx")):
        file.unlink()
        replace()
        assert "n.onnx: the weights cannot be read" in refused(here, *arguments)
    file.unlink()
    file.mkdir()
    assert "n.onnx" in refused(here, *arguments)


@pytest.mark.parametrize("text", ["", "?", "?layout=", "?layout=chwn", "?output=nowhere", "?softmax=x", "?size=9" * 2])
def test_arguments_of_a_file_that_mean_nothing(here, text):
    refused(here, *explain(here, GOOD, f"onnx:n.onnx{text}") if text else explain(here, GOOD, "onnx:"))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(place=st.integers(0, len(GOOD)), junk=st.binary(min_size=1, max_size=6))
def test_spoilt_bytes_are_one_sentence(below, place, junk):
    here = Path(tempfile.mkdtemp(dir=below)) / "here"
    arguments = explain(here, GOOD[:place] + junk + GOOD[place + len(junk) :])
    arguments[arguments.index("--index") + 1] = "9"  # which is refused after the file has been opened
    refused(here, *arguments)
