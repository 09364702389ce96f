import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from saq_eval import SaqEvalError
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.data.geometry import Geometry
from saq_eval.networks.libraries import imagenet_classes
from saq_eval.networks.sources import open_source
from saq_eval.networks.sources.timm import _geometry
from tests.data.writing import noise

timm = pytest.importorskip("timm")

SMALL = "timm:test_resnet.r160_in1k"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for classes in (3, 1000):
        network = timm.create_model("test_resnet", num_classes=classes)
        save_file(network.state_dict(), folder / f"{classes}.safetensors")
    return folder


def test_the_outputs_follow_from_the_file_and_the_preparation_from_the_name(folder):
    opened = open_source(f"{SMALL}@{folder}/3.safetensors")
    network = timm.create_model("test_resnet", num_classes=3).eval()
    network.load_state_dict(opened.module.state_dict())
    images = torch.rand(2, 3, 160, 160)
    with torch.no_grad():
        assert torch.equal(opened.module(images), network(images)) and opened.module(images).shape == (2, 3)
    prepared = timm.data.resolve_model_data_config(network)
    assert opened.preprocessing.mean == tuple(prepared["mean"]) and opened.preprocessing.std == tuple(prepared["std"])
    # The transform that timm itself would apply.
    resize, crop = timm.data.create_transform(**prepared, is_training=False).transforms[:2]
    assert opened.geometry == Geometry(resize.size, crop.size[0], resize.interpolation.value)
    assert opened.classes is None and opened.build()(images).shape == (2, 3)


def test_classes_are_named_if_the_weights_are_said_to_be_of_imagenet(folder):
    assert open_source(f"{SMALL}@{folder}/1000.safetensors").classes == imagenet_classes()


def test_a_preparation_that_is_not_available_is_said():
    prepared = {"input_size": (3, 64, 64), "crop_mode": "center", "interpolation": "bicubic", "crop_pct": 0.9}
    assert _geometry("x", prepared) == Geometry(71, 64, "bicubic")
    squeezed = _geometry("x", prepared | {"crop_mode": "squash"})
    assert squeezed == Geometry(71, 64, "bicubic", "both")
    for crop_pct in (1.0, 0.9):
        ours = _geometry("x", prepared | {"crop_mode": "squash", "crop_pct": crop_pct})
        theirs = timm.data.create_transform(
            **prepared | {"crop_mode": "squash", "crop_pct": crop_pct}, mean=(0,) * 3, std=(1,) * 3, is_training=False
        )
        picture = Image.fromarray(noise(50, 37))
        expected = (theirs(picture) * 255).round().byte().permute(1, 2, 0)
        assert np.array_equal(np.asarray(ours.of_picture(picture)), expected.numpy())
    for other in ({"input_size": (3, 64, 32)}, {"crop_mode": "border"}, {"interpolation": "lanczos"}):
        with pytest.warns(SaqEvalWarning, match=r"is not available; say the size with \?size="):
            assert _geometry("x", prepared | other) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL, r"nothing is downloaded; save them by .*timm.create_model\('test_resnet.r160_in1k', pretrained=True\)"),
        (
            "timm:test_resnet.none@3.safetensors",
            "timm has no network 'test_resnet.none'; did you mean 'test_resnet.r160",
        ),
        ("timm:test_resnet2@3.safetensors", "timm has no network 'test_resnet2'; did you mean 'test_resnet'"),
        ("timm:test_resnet?num_classes=4@3.safetensors", "does not fit the architecture: it holds fc.weight"),
        ("timm:test_vit@3.safetensors", "does not fit the architecture: it lacks"),
        ("timm:test_resnet?pretrained=true@3.safetensors", "pretrained is not for an architecture"),
    ],
)
def test_what_does_not_fit_is_named(folder, monkeypatch, text, message):
    monkeypatch.chdir(folder)
    with pytest.raises(SaqEvalError, match=message):
        open_source(text)
