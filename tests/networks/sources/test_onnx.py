import hashlib
import warnings

import numpy as np
import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.data.geometry import Geometry
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.networks.sources import open_source
from tests.networks.onnx_graphs import graph, logits_of, onnx


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def images():
    return torch.rand(4, 3, 8, 8)


def opened(text="onnx:n.onnx", **changes):
    onnx.save(graph(**changes), "n.onnx")
    return open_source(text)


def test_a_file_is_opened(images, here):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = opened()
    assert torch.allclose(network.module(images), logits_of(images), atol=1e-5) and not network.module.training
    content = (here / "n.onnx").read_bytes()
    assert (network.weights, network.file_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (network.architecture, network.build, network.classes) == ("n.onnx", None, None)
    assert network.preprocessing == Preprocessing() and network.geometry is None and network.input_size == (8, 8)


def test_the_input_says_size_axes_and_type(images):
    assert opened(shape=["n", 3, "h", "w"]).input_size is None
    assert opened(shape=["n", 3, 8, 9]).input_size == (8, 9)
    turned = opened(shape=["n", 8, 8, 3], nhwc=True)
    assert torch.allclose(turned.module(images), logits_of(images), atol=1e-5) and turned.input_size == (8, 8)
    one = opened(shape=[1, 3, 8, 8])
    assert torch.allclose(one.module(images), logits_of(images), atol=1e-5)
    whole = opened(dtype="uint8")
    assert whole.preprocessing == Preprocessing(std=(1 / 255,))
    assert torch.allclose(whole.module(255 * images), logits_of((255 * images).round()), atol=1e-2)
    assert opened("onnx:n.onnx?layout=nchw&mean=0.5&size=16", shape=["n", "c", "h", "w"]).geometry == Geometry(16)
    assert opened("onnx:n.onnx?size=9&crop=8&resized=both").geometry == Geometry(9, 8, resized="both")
    assert opened("onnx:n.onnx?interpolation=bicubic").geometry == Geometry(8, 8, "bicubic")
    assert opened(dynamic=True).module.facts.one_by_one and not opened().module.facts.one_by_one


@pytest.mark.parametrize("ends", [["Softmax"], ["Identity", "Softmax", "Identity"]])
def test_a_softmax_at_the_end_is_removed_and_that_is_said(images, ends):
    with pytest.warns(SaqEvalWarning, match="ends with Softmax; its input, the logits, is used instead"):
        network = opened(ends=ends)
    assert torch.allclose(network.module(images), logits_of(images), atol=1e-5)
    with pytest.warns(SaqEvalWarning, match="ends with Softmax, so its outputs are probabilities"):
        network = opened("onnx:n.onnx?softmax=keep", ends=ends)
    assert torch.allclose(network.module(images), logits_of(images).softmax(dim=1), atol=1e-5)


def test_the_logarithm_of_probabilities_is_as_good_as_logits(images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = opened(ends=["LogSoftmax"])
    assert torch.allclose(network.module(images), logits_of(images).log_softmax(dim=1), atol=1e-5)


def test_one_of_several_outputs_is_chosen(images):
    network = opened(outputs=["maps", "logits"])  # only one has rank 2
    assert torch.allclose(network.module(images), logits_of(images), atol=1e-5)
    with pytest.raises(SaqEvalError, match=r"several outputs may be the logits; say \?output=NAME of logits .*, other"):
        opened(outputs=["logits", "other"])
    network = opened("onnx:n.onnx?output=other", outputs=["logits", "other"])
    assert torch.allclose(network.module(images), logits_of(images), atol=1e-5)


def test_weights_in_another_file_are_read_and_missed(images, here):
    onnx.save(graph(), "n.onnx", save_as_external_data=True, location="n.data", size_threshold=0)
    network = open_source("onnx:n.onnx")
    (here / "n.data").rename(here / "gone")
    assert torch.allclose(network.module(images), logits_of(images), atol=1e-5)
    assert network.file_bytes == sum((here / name).stat().st_size for name in ("n.onnx", "gone"))
    with pytest.raises(SaqEvalError, match="n.onnx: its weights are in other files, which cannot be read: .*n.data"):
        open_source("onnx:n.onnx")


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_a_network_quantized_to_eight_bits(images, form):
    quantization = pytest.importorskip("onnxruntime.quantization")

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.batches = iter([{"pixels": images.numpy()}])

        def get_next(self):
            return next(self.batches, None)

    onnx.save(graph(), "full.onnx")
    quantization.quantize_static("full.onnx", "n.onnx", Reader(), quant_format=quantization.QuantFormat[form])
    network = open_source("onnx:n.onnx")
    difference = (network.module(images) - logits_of(images)).abs().max()
    assert 0 < difference < 0.05 * logits_of(images).abs().max()
    assert network.build is None


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("onnx:none.onnx", {}, "none.onnx: the weights cannot be read: No such file"),
        ("onnx:.", {}, "it is a folder, not a file"),
        ("onnx:n.onnx", {"shape": ["n", "c", "h", "w"]}, r"does not tell where the channels are; say \?layout=nchw"),
        ("onnx:n.onnx", {"shape": ["n", 3, 8, 3]}, "does not tell where the channels are"),
        (
            "onnx:n.onnx",
            {"dtype": "int32"},
            r"of rank 4 and type float or uint8; its inputs are pixels .*tensor\(int32\)",
        ),
        ("onnx:n.onnx", {"outputs": ["maps"]}, r"no output of shape \(n, classes\); it has maps"),
        ("onnx:n.onnx?output=x", {}, r"output=x is no output \(n, classes\) of the network; it has logits"),
        ("onnx:n.onnx?layout=hwc", {}, "unknown layout 'hwc'"),
        ("onnx:n.onnx?softmax=maybe", {}, "unknown softmax 'maybe'.* valid: remove, keep"),
        ("onnx:n.onnx?layuot=nchw", {}, "unknown argument of an onnx: source 'layuot'; did you mean 'layout'"),
        ("onnx:n.onnx?mean=0.5", {"dtype": "uint8"}, "whole numbers from 0 to 255, so it takes no mean and std"),
    ],
)
def test_what_cannot_be_opened_is_named(text, changes, message):
    with pytest.raises(SaqEvalError, match=message):
        opened(text, **changes)


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, b"no network at all", np.arange(99).tobytes()])
def test_another_file_is_no_network(here, content):
    (here / "n.onnx").write_bytes(content)
    with pytest.raises(SaqEvalError, match="n.onnx: (no ONNX file|the weights cannot be read: the file is empty)"):
        open_source("onnx:n.onnx")


def test_a_truncated_file_is_named(here):
    onnx.save(graph(), "n.onnx")
    (here / "n.onnx").write_bytes((here / "n.onnx").read_bytes()[:-30])
    with pytest.raises(SaqEvalError, match="n.onnx: "):
        open_source("onnx:n.onnx")
