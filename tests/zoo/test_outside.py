"""A network outside the zoo that is named as if it were a model of it."""

import pytest

from saq_eval.zoo.outside import in_brackets, source_form, unknown_model


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("net.onnx", "onnx:net.onnx"),
        ("exports/Net.ONNX?layout=nhwc", "onnx:exports/Net.ONNX?layout=nhwc"),
        ("x.safetensors", "torchvision:ARCHITECTURE@x.safetensors or my_package.nets:function@x.safetensors"),
        ("runs/x.pt", "torchvision:ARCHITECTURE@runs/x.pt or my_package.nets:function@runs/x.pt"),
        ("resnet18", "torchvision:resnet18@FILE"),
        ("resnet18?size=32@w.pt", "torchvision:resnet18?size=32@w.pt"),
        ("my_pkg.nets:make", "my_pkg.nets:make"),
        ("my_pkg.nets.make?width=8@w.pt", "my_pkg.nets:make?width=8@w.pt"),
        ("torchvision:resnet18?size=32@w.pt", "torchvision:resnet18?size=32@w.pt"),
        ("cnn-fp32", ""),
        ("cnn-*", ""),
        ("digit/cnn-fp32", ""),
        ("", ""),
    ],
)
def test_the_text_that_was_meant(text, form):
    assert source_form(text) == form


def test_a_name_of_timm_is_known_where_it_is_installed():
    pytest.importorskip("timm")
    assert source_form("vit_tiny_patch16_224") == "timm:vit_tiny_patch16_224@FILE"


def test_the_error_says_both_what_was_meant_and_what_is_near():
    error = unknown_model("digits model", "net.onnx", ["cnn-fp32", "net"])
    assert str(error) == (
        "unknown digits model 'net.onnx' (a network outside the zoo is given as NAME=onnx:net.onnx); did you mean 'net'? "
        "valid: cnn-fp32, net"
    )
    assert str(unknown_model("model", "cnn-fp23", ["cnn-fp32"])).startswith(
        "unknown model 'cnn-fp23'; did you mean 'cnn-"
    )
    assert in_brackets("cnn-fp32", "a.onnx", "b.onnx").endswith("NAME=onnx:a.onnx)") and in_brackets("cnn-fp32") == ""
