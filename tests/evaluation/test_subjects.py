"""Networks outside the zoo, and the images that suit them."""

import numpy as np
import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError, load_model
from saq_eval.data import Geometry
from saq_eval.evaluation.plan import Plan
from saq_eval.evaluation.subjects import check_network, expectations, open_images_for, outside_networks, typical_images
from saq_eval.networks.network import Network


def plan(dataset="digits", **given):
    return Plan(dataset, **given)


def test_networks_are_given_as_objects_sources_or_zoo_models():
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    given = {"mine": net, "zoo": "cnn-w2a2", "other": "planted/cnn-fp32", "cnn-fp32": "cnn-fp32"}
    networks = outside_networks(plan(models=given, mean=[0.5], std=[0.25]))
    assert list(networks) == ["mine", "zoo", "other"]  # the last is a zoo model under its own name
    assert (networks["zoo"].scheme, networks["zoo"].parent, networks["zoo"].name) == ("w2a2", "cnn-fp32", "zoo")
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.allclose(networks["mine"].module(images), net((images - 0.5) / 0.25), atol=1e-5)
        zoo = load_model("digits", "cnn-w2a2").network  # which brings its own normalisation
        assert torch.allclose(networks["zoo"].module(images), zoo(images), atol=1e-5)
    with pytest.raises(SaqEvalError, match="'cnn-w2a2': write a zoo model as DATASET/NAME"):
        outside_networks(plan((np.zeros((2, 28, 28)), [0, 1]), models={"zoo": "cnn-w2a2"}))
    for text, form in (
        ("net.onnx", "onnx:net.onnx"),
        ("runs/x.pt", "torchvision:ARCHITECTURE@runs/x.pt or my_package"),
    ):
        with pytest.raises(SaqEvalError, match=f"{text}'.* .a network outside the zoo is given as NAME={form}"):
            outside_networks(plan(models={"mine": text}))


def test_images_are_opened_as_the_networks_expect_them():
    entries = {
        "a": Network(nn.Identity(), classes=tuple("9876543210"), geometry=Geometry(14)),
        "b": Network(nn.Identity()),
    }
    images = open_images_for(plan(), expectations(entries))
    plain = open_images_for(plan(), expectations({}))
    assert images.image_shape == (1, 14, 14) and plain.image_shape == (1, 28, 28)
    assert torch.equal(images.labels, 9 - plain.labels) and images.class_names == tuple("9876543210")
    assert open_images_for(plan(size=16), expectations(entries)).image_shape == (1, 16, 16)


def test_networks_that_expect_different_images_are_refused():
    entries = {name: Network(nn.Identity(), geometry=Geometry(size)) for name, size in (("a", 14), ("b", 16))}
    with pytest.raises(
        SaqEvalError, match="b and a expect different sizes of pictures; say which hold for all .--size, --crop."
    ):
        open_images_for(plan(), expectations(entries))


def test_a_network_of_one_size_takes_the_size_that_others_state():
    stated, fixed = Network(nn.Identity(), geometry=Geometry(20, 14)), Network(nn.Identity(), input_size=(14, 14))
    images = open_images_for(plan(), expectations({"a": stated, "b": fixed}))
    assert torch.equal(images.read([0]), open_images_for(plan(), expectations({"a": stated})).read([0]))
    assert open_images_for(plan(), expectations({"b": fixed})).image_shape == (1, 14, 14)
    other = Network(nn.Identity(), input_size=(12, 16))
    for entries, asked in (({"a": stated, "b": other}, {}), ({"b": other}, {"size": 14}), ({"b": other}, {"crop": 14})):
        with pytest.raises(SaqEvalError, match="'b' reads images of 16x12 pixels only, and those of digits have 14x14"):
            open_images_for(plan(**asked), expectations(entries))
    with pytest.raises(SaqEvalError, match="'a' reads images of 14x14 pixels only, and those of digits have 28x28"):
        open_images_for(plan(), expectations({"a": fixed, "b": other}))


def test_typical_images_are_of_training_or_else_none_that_is_explained():
    arrays = (np.random.default_rng(0).random((12, 8, 8), dtype=np.float32), np.arange(12) % 2)
    asked = plan(arrays)
    test_set = open_images_for(asked, expectations({}))
    sample = test_set.sample(8, 0)
    others = typical_images(asked, expectations({}), test_set, sample)
    assert len(others) == 4 and not set(others.indices.tolist()) & set(sample.indices.tolist())
    with pytest.raises(SaqEvalError, match="all images are explained: take fewer samples"):
        typical_images(asked, expectations({}), test_set, test_set.sample(12, 0))
    digits = open_images_for(plan(), expectations({}))
    assert typical_images(plan(), expectations({}), digits, digits.sample(8, 0)).split == "train"


@pytest.mark.parametrize("outputs", [3, 12])
def test_an_output_is_a_class_by_name_or_the_networks_are_refused(digits, outputs):
    network = Network(nn.Sequential(nn.Flatten(), nn.Linear(784, outputs)).eval(), name="mine")
    with pytest.raises(SaqEvalError, match=f"'mine' has {outputs} outputs and named 10 classes: name its outputs"):
        check_network(network, named(digits, [f"class {label}" for label in range(10)]))
    if outputs == 12:  # labels that have no names are places of outputs
        check_network(network, named(digits, list(map(str, range(10)))))


def named(digits, names):
    from dataclasses import replace

    return replace(digits.subset(range(4)), name="named", class_names=tuple(names))
