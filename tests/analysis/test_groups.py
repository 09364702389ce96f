"""Which networks count as one but for the seed."""

from dataclasses import replace

from saq_eval.analysis.groups import group_over_seeds
from saq_eval.zoo import ArchitectureCard
from tests.analysis.made import described_networks


def test_networks_are_grouped_over_seeds(make_grid):
    names = ["cnn-fp32", "cnn-w2a2", "cnn-fp32-s1", "cnn-w2a2-s1", "cnn-fp32-sgt", "cnn-w2a2-sgt"]
    grid, cards = make_grid(names, lambda *_: 0.0)
    groups = group_over_seeds(grid, described_networks(cards))
    assert [(g.scheme, g.training, [s.name for s in g.members.values()]) for g in groups] == [
        ("fp32", "standard", ["cnn-fp32", "cnn-fp32-s1"]),
        ("w2a2", "standard", ["cnn-w2a2", "cnn-w2a2-s1"]),
        ("fp32", "saliency-guided", ["cnn-fp32-sgt"]),
        ("w2a2", "saliency-guided", ["cnn-w2a2-sgt"]),
    ]


def test_networks_that_are_no_twins_are_told_apart(make_grid):
    """One scheme and training, but a recipe, arguments or an architecture of its own: names are unique by training."""
    names = ["cnn-fp32", "cnn-w2a2", "cnn-fp32-s1", "cnn-w2a2-s1", "cnn-w4a4"]
    grid, cards = make_grid(names, lambda *_: 0.0)
    card = cards["cnn-w2a2-s1"]
    calibrated = replace(card, seed=0, recipe=replace(card.recipe, epochs=card.recipe.epochs + 1))
    cards["cnn-w2a2-s1"] = calibrated
    groups = group_over_seeds(grid, described_networks(cards))
    assert [(g.name, len(g.members)) for g in groups] == [
        ("fp32", 2), ("w2a2 (cnn-w2a2)", 1), ("w2a2 (cnn-w2a2-s1)", 1), ("w4a4", 1),
    ]  # fmt: skip
    cards["cnn-w4a4"] = replace(cards["cnn-w4a4"], architecture=ArchitectureCard("lenet"))
    assert [g.name for g in group_over_seeds(grid, described_networks(cards))][-1] == "lenet w4a4"


def test_the_precision_of_training_makes_no_other_twin(make_grid):
    names = ["cnn-fp32", "cnn-w2a2", "cnn-fp32-s1", "cnn-w2a2-s1"]
    grid, cards = make_grid(names, lambda *_: 0.0)
    card = cards["cnn-w2a2-s1"]
    other = {"bfloat16": "float32", "float32": "bfloat16"}[card.recipe.precision]
    cards["cnn-w2a2-s1"] = replace(card, recipe=replace(card.recipe, precision=other))
    assert [len(g.members) for g in group_over_seeds(grid, described_networks(cards))] == [2, 2]
