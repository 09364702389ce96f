"""The networks that the zoo ships: complete, verified, small, and as accurate as they should be."""

import statistics
from dataclasses import replace

import pytest

from saq_eval import find_models, load_dataset
from saq_eval.studies.study import default_name, load_study
from saq_eval.zoo import find_model, verify_model
from tests import BUILTIN

DATASETS = ["digits", "mnist", "fashionmnist", "planted"]
STUDY = load_study("paper")
FEW = ("cnn-fp32", "cnn-w4a4", "cnn-w2a2")  # of each data set; that all others are verified as well is validation


def each(names):
    """Return parameters, one a name."""
    return [name if name in FEW else pytest.param(name, marks=pytest.mark.validation) for name in names]


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_zoo_holds_the_study(dataset):
    found = {card.name: card for card, _ in find_models(dataset)}
    planned = {model.name: model for model in STUDY.plan(dataset)}
    assert len(planned) == (42 if dataset in STUDY.dataset_seeds else 62)
    # There may be networks of more seeds, by the same recipes, for what retraining does to be known the better.
    more = {model.name: model for model in replace(STUDY, dataset_seeds={}).plan(dataset)}
    assert planned.keys() <= found.keys() <= more.keys()
    for name, card in found.items():
        assert more[name].differences(card) == []
        assert len(card.history) == card.recipe.epochs
        if card.parent:
            parent = found[card.parent]
            assert not parent.scheme.starts_from_parent and card.parent_sha256 == parent.training_form_sha256
            assert (parent.seed, parent.training) == (card.seed, card.training)
        assert (card.training_form_sha256 is None) == card.scheme.starts_from_parent
        assert card.scheme.ends.weight_bits == (32 if card.scheme.is_full_precision else 8)


def test_no_pickle_and_no_large_file():
    for file in BUILTIN.rglob("*.*"):
        assert file.suffix in (".yaml", ".safetensors", ".md") and file.stat().st_size < 5 * 2**20


def test_the_whole_zoo_is_small():
    assert sum(file.stat().st_size for file in BUILTIN.rglob("*")) < 80 * 2**20


@pytest.mark.parametrize("name", each(model.name for model in STUDY.plan("digits")))
def test_digits_networks_are_verified_and_reach_98_percent(name, digits):
    assert verify_model(*find_model("digits", name), digits) >= 0.98


@pytest.mark.parametrize("name", each(model.name for model in STUDY.plan("planted")))
def test_planted_networks_are_verified_and_find_the_patch(name):
    assert verify_model(*find_model("planted", name), load_dataset("planted")) >= 0.99


@pytest.fixture(scope="module", params=["mnist", "fashionmnist"])
def test_set(request, data_root):
    return load_dataset(request.param, "test", data_root)


@pytest.mark.parametrize("name", each(f"cnn-{scheme}" for scheme in STUDY.schemes))
def test_networks_of_each_scheme_are_verified(test_set, name):
    verify_model(*find_model(test_set.name, name), test_set)


def mean_accuracies(dataset, suffix=""):
    """Per cent, by scheme, over the seeds."""
    at = {card.name: 100 * card.test_accuracy for card, _ in find_models(dataset)}
    return {
        scheme: statistics.fmean(at[default_name("cnn", scheme, seed, bool(suffix))] for seed in (0, 1, 2))
        for scheme in STUDY.schemes
    }


def test_fashionmnist_accuracies():
    at = mean_accuracies("fashionmnist")
    assert at["fp32"] >= 93.0 and at["w2a2"] >= 91.8
    for scheme, most in (("w8a8", 0.2), ("w4a4", 0.4), ("mixed", 0.9)):
        assert at["fp32"] - at[scheme] <= most, scheme


def test_mnist_accuracies():
    at = mean_accuracies("mnist")
    assert at["fp32"] >= 99.3 and at["w4a4"] >= 99.2 and at["w2a2"] >= 98.9


@pytest.mark.parametrize("dataset", DATASETS)
def test_saliency_guided_networks_are_within_a_point_of_their_twins(dataset):
    standard, guided = mean_accuracies(dataset), mean_accuracies(dataset, "-sgt")
    assert all(standard[scheme] - guided[scheme] <= 1.0 for scheme in STUDY.schemes)
