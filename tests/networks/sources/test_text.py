from pathlib import Path

import pytest
import yaml

from saq_eval import SaqEvalError
from saq_eval.data.geometry import Geometry
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.networks.sources.text import SourceText, parse_text, split_sources


def parse(text: str, takes_file: bool = True) -> SourceText:
    return parse_text(text, text.partition(":")[2], takes_file=takes_file)


def test_the_parts_of_a_text():
    source = parse("torchvision:resnet18?width=32&wide=true&channels=[8, 16]&mean=0.5,0.4,0.3&size=64@a/b@c?d.pt")
    assert (source.name, source.file) == ("resnet18", Path("a/b@c?d.pt"))
    assert source.arguments == {"width": 32, "wide": True, "channels": [8, 16]}
    assert (source.mean, source.std, source.size, source.crop) == ((0.5, 0.4, 0.3), None, 64, None)
    assert parse("torchvision:resnet18") == SourceText("torchvision:resnet18", "resnet18")


def test_a_path_may_hold_what_separates_elsewhere():
    assert parse("onnx:a@b/c?d.onnx", takes_file=False).name == "a@b/c?d.onnx"
    source = parse("onnx:a@b/c?d.onnx?layout=nhwc", takes_file=False)
    assert (source.name, source.arguments) == ("a@b/c?d.onnx", {"layout": "nhwc"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("t:", "a name is missing after t:"),
        ("t:@w.pt", "a name is missing after t:"),
        ("t:r@", "the file of weights is missing after '@'"),
        ("t:r?", "an argument is written name=value"),
        ("t:r?width@w", "an argument is written name=value, .* not 'width'"),
        ("t:r?width=@w", "an argument is written name=value"),
        ("t:r?a=1&a=2@w", "the argument 'a' is given twice"),
        ("t:r?a=[1@w", r"a=\[1 is no value that YAML can read"),
        ("t:r?mean=0.5,x@w", "mean is a number, or one for each channel"),
        ("t:r?std=nan@w", "std is a number"),
        ("t:r?size=0@w", "size is a number of pixels, such as 224, not '0'"),
        ("t:r?crop=-3@w", "crop is a number of pixels"),
        ("t:r?interpolation=lanczos@w", "unknown interpolation 'lanczos'.* valid: bilinear, bicubic"),
        ("t:r@w.safetensors?size=3", "arguments come before the file"),
    ],
)
def test_what_is_not_understood_is_named(text, message):
    with pytest.raises(SaqEvalError, match=message):
        parse(text)


def test_the_text_goes_before_the_networks_own_normalisation():
    own = Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert parse("t:r@w").preprocessing(own) == own
    assert parse("t:r?mean=0@w").preprocessing(own) == Preprocessing((0.0,) * 3, own.std)
    assert parse("t:r?mean=1,2,3@w").preprocessing(Preprocessing()) == Preprocessing((1.0, 2.0, 3.0), (1.0,) * 3)
    for wrong in ("mean=0,1", "std=0"):
        with pytest.raises(SaqEvalError, match="t:r.*: mean and std have one finite number per channel"):
            parse(f"t:r?{wrong}@w").preprocessing(own)


def test_the_text_goes_before_the_networks_own_geometry():
    own = Geometry(256, 224, "bicubic")
    assert parse("t:r@w").geometry(own) == own
    assert parse("t:r@w").geometry(None) is None
    assert parse("t:r?size=64@w").geometry(own) == Geometry(64, None, "bicubic")
    assert parse("t:r?crop=200@w").geometry(own) == Geometry(256, 200, "bicubic")
    assert parse("t:r?size=64&crop=56&interpolation=bilinear@w").geometry(None) == Geometry(64, 56)
    with pytest.raises(SaqEvalError, match="crop 300 does not fit into size 256"):
        parse("t:r?crop=300@w").geometry(own)


def test_texts_survive_lists():
    texts = [
        "cnn-fp32",
        "torchvision:r?mean=0.5,.5,5e-1&std=1,1,1@a.pt",
        "m:f?c=[8, x]@b",
        "4bit",
        "m:f?mean=0,1",
        "onnx:c",
    ]
    joined = ",".join(texts)
    assert [text.replace(" ", "") for text in split_sources(joined)] == [text.replace(" ", "") for text in texts]
    plain = [text for text in texts if "[" not in text]
    assert yaml.safe_load("\n".join(f"- {text}" for text in plain)) == plain
    assert split_sources(" a , ,b") == ["a", "b"]
