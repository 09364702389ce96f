import hashlib

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from saq_eval import SaqEvalError
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.data.geometry import Geometry
from saq_eval.networks.libraries import imagenet_classes
from saq_eval.networks.sources import open_source

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return models.squeezenet1_1(num_classes=3).eval()


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    save_file(small.state_dict(), folder / "s.safetensors")
    return folder


def test_the_outputs_follow_from_the_file_and_the_preparation_from_the_library(small, folder):
    opened = open_source(f"torchvision:squeezenet1_1@{folder}/s.safetensors")
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(opened.module(images), small(images))
    assert opened.architecture == "torchvision:squeezenet1_1" and not opened.module.training
    assert (opened.preprocessing.mean, opened.preprocessing.std) == IMAGENET
    assert opened.geometry == Geometry(256, 224, "bilinear") and opened.classes is None
    content = (folder / "s.safetensors").read_bytes()
    assert (opened.weights, opened.file_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    anew = opened.build()
    assert anew.classifier[1].weight.shape == (3, 512, 1, 1)
    assert not torch.equal(anew.classifier[1].weight, small.classifier[1].weight)


def test_the_text_goes_before_the_library(folder):
    opened = open_source(f"torchvision:squeezenet1_1?num_classes=3&mean=0.5&std=0.5&size=32@{folder}/s.safetensors")
    assert (opened.preprocessing.mean, opened.preprocessing.std) == ((0.5,), (0.5,))
    assert opened.geometry == Geometry(32)


def test_a_thousand_outputs_are_imagenets(tmp_path):
    torch.save(models.shufflenet_v2_x0_5().state_dict(), tmp_path / "s.pth")
    with pytest.warns(SaqEvalWarning, match="safetensors is the safer format"):
        opened = open_source(f"torchvision:shufflenet_v2_x0_5@{tmp_path}/s.pth")
    assert opened.classes == imagenet_classes()


def test_a_file_of_torchvision_is_known_by_its_hash():
    from saq_eval.networks.sources.torchvision import _release

    # torchvision publishes these weights as mobilenet_v2-b0353104.pth; the default is another release.
    assert _release("mobilenet_v2", "b0353104" + "0" * 56) == models.MobileNet_V2_Weights.IMAGENET1K_V1
    assert _release("mobilenet_v2", "0" * 64) == models.MobileNet_V2_Weights.IMAGENET1K_V2


def test_an_inception_network_is_asked_how_it_reads_pixels(tmp_path):
    network = models.googlenet(num_classes=2, aux_logits=True, init_weights=False, transform_input=True).eval()
    save_file(network.state_dict(), tmp_path / "g.safetensors")
    with pytest.raises(SaqEvalError, match=r"googlenet reads pixels in one of two ways.*\?transform_input=true"):
        open_source(f"torchvision:googlenet@{tmp_path}/g.safetensors")
    opened = open_source(f"torchvision:googlenet?transform_input=true@{tmp_path}/g.safetensors")
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(opened.module(images), network(images))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "squeezenet1_1",
            r"no file of weights is named, and nothing is downloaded; save them by safetensors.torch.save_file",
        ),
        ("squeezenet1_0@s.safetensors", "does not fit the architecture: .*features.0.weight of shape"),
        ("alexnet@s.safetensors", "does not fit the architecture: it lacks .* and .* more"),
        ("squeezenet1_1?num_classes=4@s.safetensors", r"classifier.1.weight of shape \(3, 512, 1, 1\), not \(4, "),
        ("squeezenet1_1?depth=4@s.safetensors", "cannot be built with the arguments {'depth': 4"),
        ("squeezenet1_1?weights=DEFAULT@s.safetensors", "weights is not for an architecture"),
        ("squeezenet1@s.safetensors", "torchvision has no network 'squeezenet1'; did you mean 'squeezenet1_"),
        ("deeplabv3_resnet50@s.safetensors", "no full-precision network that classifies images"),
        ("squeezenet1_1@.", "it is a folder, not a file"),
    ],
)
def test_what_does_not_fit_is_named(folder, monkeypatch, text, message):
    monkeypatch.chdir(folder)
    with pytest.raises(SaqEvalError, match=message):
        open_source(f"torchvision:{text}")
