import functools

import cloudpickle
import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError, explain
from saq_eval.attribution import METHODS, find_explainers, method_sets
from saq_eval.core.errors import Unsupported

IMAGES, TARGETS = torch.rand(3, 1, 6, 6), torch.tensor([0, 1, 2])
NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(36, 3)).eval()


def _darkness(batch, *, power: float = 1.0):
    """How dark a pixel is."""
    return (1 - batch.images) ** power


def magnitude(batch):
    return torch.autograd.grad(batch.network(batch.images).sum(), batch.images)[0]


magnitude.family, magnitude.sign, magnitude.passes = "gradient", "absolute", 4


def test_sets():
    labels = [explainer.label for explainer in find_explainers(["quick", "lrp", "occlusion:fill=black", "occlusion"])]
    assert labels == ["saliency", "integrated_gradients", "lrp", "occlusion"]
    full = method_sets()["full"]
    assert set(method_sets()["quick"]) < set(method_sets()["standard"]) < set(full)
    assert set(METHODS) - set(full) == {"random", "edges"}


def test_functions_are_methods_without_registration():
    given = [_darkness, functools.partial(_darkness, power=2), "saliency", magnitude, _darkness]
    explainers = find_explainers(given)
    assert [explainer.label for explainer in explainers] == ["darkness", "darkness:power=2.0", "saliency", "magnitude"]
    first, _, _, last = (explainer.method for explainer in explainers)
    assert (first.family, first.sign, first.description) == ("perturbation", "signed", "How dark a pixel is.")
    assert (last.family, last.sign, explainers[3].passes((1, 28, 28))) == (
        "gradient",
        "absolute",
        4,
    ) and "darkness" not in METHODS
    again = cloudpickle.loads(cloudpickle.dumps(explainers))
    maps = explain(again[1], NETWORK, IMAGES, TARGETS)
    torch.testing.assert_close(maps, (1 - IMAGES[:, 0]) ** 2)
    torch.testing.assert_close(maps, explain(functools.partial(_darkness, power=2), NETWORK, IMAGES, TARGETS))
    assert (explain(magnitude, NETWORK, IMAGES, TARGETS) >= 0).all()


def _without_default(batch, *, power):
    return batch.images


def _named(name):
    def function(batch):
        return batch.images

    function.__name__ = name
    return function


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            [lambda batch: batch.images],
            "a method given as a function goes by its name, and <lambda> is none: write it with",
        ),
        ([_named("Saliency")], "the method 'Saliency' is registered already: give the function another name"),
        ([_darkness, _named("darkness")], "two functions are called 'darkness': give one of them another name"),
        ([_without_default], "without_default: every parameter has a default, but power has none"),
        ([functools.partial(_darkness, IMAGES)], "as a partial function sets keyword-only parameters"),
        ([functools.partial(_darkness, power="high")], "darkness: power=high: input should be a valid number"),
        ([3], "a method is asked for by its name, not by 3"),
    ],
)
def test_functions_that_are_no_methods(given, message):
    with pytest.raises(SaqEvalError, match=message):
        find_explainers(given)


def test_a_function_that_fails_without_a_gradient_is_refused_and_one_that_is_wrong_is_an_error():
    def by_gradient(batch):
        return torch.autograd.grad(batch.network(batch.images).sum(), batch.images)[0]

    cut = nn.Sequential(type("Cut", (nn.Module,), {"forward": lambda self, x: x.round()})(), NETWORK).eval()
    assert explain(by_gradient, NETWORK, IMAGES, TARGETS).any()
    with pytest.raises(Unsupported, match="by_gradient: it fails on this network: RuntimeError"):
        explain(by_gradient, nn.Sequential(type("Off", (nn.Module,), {"forward": lambda self, x: x.detach()})(), NETWORK), IMAGES, TARGETS)  # fmt: skip  # noqa: E501
    with pytest.raises(Unsupported, match="magnitude: no gradient reaches the image"):
        explain(magnitude, cut, IMAGES, TARGETS)

    def wrong(batch):
        return batch.pictures

    with pytest.raises(
        SaqEvalError, match="wrong: it fails on this network: AttributeError: .* no attribute 'pictures'"
    ) as e:
        explain(wrong, NETWORK, IMAGES, TARGETS)
    assert not isinstance(e.value, Unsupported)
