import sys

import pytest
import torch

from saq_eval import SaqEvalError, freeze, quantize
from saq_eval.networks.architectures import find_architecture
from saq_eval.networks.libraries import imagenet_classes, library_builder
from saq_eval.quantization import load_scheme
from saq_eval.zoo.cards import ArchitectureCard
from saq_eval.zoo.loading import build_network


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("torchvision:shufflenet_v2_x0_5", {"num_classes": 4}),
        ("timm:resnet10t", {"num_classes": 4, "channels": [8, 8, 8, 16]}),
        ("timm:resnet10t.c3_in1k", {"num_classes": 4, "channels": [8, 8, 8, 16]}),
    ],
)
def test_a_library_architecture_on_a_card_is_built_without_trust(name, arguments):
    pytest.importorskip(name.partition(":")[0])
    network, again = (build_network(ArchitectureCard(name, arguments), seed=1) for _ in range(2))
    assert all(torch.equal(tensor, again.state_dict()[key]) for key, tensor in network.state_dict().items())
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 4)


def test_a_library_architecture_is_quantized_as_any_other():
    pytest.importorskip("timm")
    network = find_architecture("timm:resnet10t")(num_classes=4, channels=[8, 8, 8, 16])
    frozen = freeze(quantize(network, load_scheme("w4a4")).eval())
    assert frozen(torch.rand(2, 3, 32, 32)).shape == (2, 4)


def test_other_names_are_of_no_library():
    assert library_builder("my_pkg:make") is None


def test_inception_networks_are_built_for_what_evaluation_needs():
    network = find_architecture("torchvision:googlenet")(num_classes=3)
    assert network(torch.rand(2, 3, 64, 64)).shape == (
        2,
        3,
    )  # in train mode, with auxiliary outputs, it returns a tuple


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:resne18", "torchvision has no network 'resne18'; did you mean 'resnet18'"),
        ("torchvision:fcn_resnet50", "fcn_resnet50 is no full-precision network that classifies images"),
        ("torchvision:fasterrcnn_resnet50_fpn", "is no full-precision network that classifies images"),
        ("torchvision:quantized_resnet18", "is no full-precision network that classifies images"),
        ("timm:resne18", "timm has no network 'resne18'; did you mean 'resnet18'"),
        ("timm:resnet18.a9_in1k", "timm has no network 'resnet18.a9_in1k'; did you mean 'resnet18.a"),
        ("timm:hf-hub:somebody/something", "timm has no network 'hf-hub:somebody/something'"),
    ],
)
def test_what_is_no_network_is_named(name, message):
    pytest.importorskip(name.partition(":")[0])
    with pytest.raises(SaqEvalError, match=message):
        find_architecture(name)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("torchvision:alexnet", {"weights": "DEFAULT"}),
        ("torchvision:alexnet", {"pretrained": True}),
        ("timm:resnet18", {"pretrained": True}),
        ("timm:resnet18", {"checkpoint_path": "x.pt"}),
    ],
)
def test_a_card_cannot_download_or_open_another_file(name, arguments):
    pytest.importorskip(name.partition(":")[0])
    with pytest.raises(SaqEvalError, match=f"{next(iter(arguments))} is not for an architecture"):
        build_network(ArchitectureCard(name, arguments), seed=0)


def test_timm_is_asked_for_if_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SaqEvalError, match="a network of timm needs the package timm"):
        find_architecture("timm:resnet18")


def test_imagenet_has_a_thousand_classes():
    assert len(imagenet_classes()) == 1000 and imagenet_classes()[0] == "tench"
