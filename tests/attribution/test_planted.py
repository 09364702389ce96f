"""Do the methods find evidence that was planted, in networks that have nothing else to go by?"""

import pytest
import torch

from saq_eval import explain, load_dataset, load_model

AREA = 64 / 784  # of the patch


@pytest.fixture(scope="module")
def planted():
    return load_dataset("planted")


@pytest.fixture(scope="module")
def mass_on_evidence(planted):
    """The mean share of a map's magnitude that lies on the patch, over the first 100 test images."""
    network = load_model("planted", "cnn-fp32").network
    images, labels, evidence = planted.images[:100], planted.labels[:100], planted.evidence[:100, 0]

    def mass(method):
        maps = explain(method, network, images, labels).abs().double()
        return float(((maps * evidence).sum(dim=(1, 2)) / maps.sum(dim=(1, 2))).mean())

    return mass


@pytest.mark.parametrize(
    "spec",
    [
        *("saliency", "input_x_gradient", "integrated_gradients:n_steps=16", "gradient_shap:n_samples=8"),
        *("guided_backprop", "deeplift", "lrp", "occlusion:window=3"),
    ],
)
def test_good_methods_put_four_fifths_of_their_mass_on_the_evidence(mass_on_evidence, spec):
    assert mass_on_evidence(spec) >= 0.8


def test_a_random_map_puts_the_patchs_share_of_the_area_there(mass_on_evidence):
    assert mass_on_evidence("random") == pytest.approx(AREA, abs=0.02)


def test_the_mass_follows_the_patch_and_not_the_digit(planted, mass_on_evidence):
    """Otsu's foreground, which stands in where evidence is not known, is mostly the digit."""
    foreground = load_dataset("digits").masks()[:100, 0] & ~planted.evidence[:100, 0]
    network = load_model("planted", "cnn-fp32").network
    maps = explain("input_x_gradient", network, planted.images[:100], planted.labels[:100]).abs()
    on_digit = (maps * foreground).sum(dim=(1, 2)) / maps.sum(dim=(1, 2))
    assert foreground.float().mean() > 0.2 and on_digit.mean() < 0.15


def test_the_prediction_follows_the_patch_wherever_it_is_put(planted):
    """Another image's patch, written over an image's own, changes the prediction to the other's label."""
    network = load_model("planted", "cnn-fp32").network
    other = torch.arange(len(planted)).roll(1)
    images = planted.images.clone()
    images[planted.evidence] = planted.images[other][planted.evidence[other]]
    with torch.no_grad():
        predicted = network(images).argmax(dim=1)
    assert (predicted == planted.labels[other]).float().mean() >= 0.99
