"""Which maps are compared with which, in what parts, and how a similarity is registered."""

from dataclasses import replace

import numpy as np
import pytest

from saq_eval.metrics import METRICS, find_scorer, pairs
from saq_eval.metrics.pairs import register_similarity

NAMES = [name for name, metric in METRICS.items() if metric.category == "similarity"]


def score(spec, task):
    return find_scorer(spec).score(task)[0]


@pytest.fixture
def maps():
    return np.random.default_rng(0).standard_normal((8, 28, 28)).astype(np.float32)


@pytest.fixture
def registered(monkeypatch):
    """Register a similarity for one test."""
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))

    def register(function, **arguments):
        return register_similarity(function.__name__, reference="a test", range=(0.0, 1.0), **arguments)(function)

    return register


@pytest.mark.parametrize("name", NAMES)
def test_degenerate_maps_are_not_compared(name, maps, make_task):
    spoiled = maps.copy()
    spoiled[1], spoiled[4] = 0, np.inf
    scores = score(name, make_task(None, spoiled, baseline_maps=maps))
    assert np.isnan(scores).tolist() == [False, True, False, False, True, False, False, False]
    assert np.isnan(score(name, make_task(None, maps, baseline_maps=spoiled))).sum() == 2


@pytest.mark.parametrize("name", NAMES)
def test_chance_is_the_mean_over_four_other_images(name, maps, make_task):
    task = make_task(None, maps)
    by_hand = [score(name, make_task(None, maps, baseline_maps=np.roll(maps, -k, axis=0))) for k in (2, 3, 5, 6)]
    np.testing.assert_allclose(find_scorer(name).chance(task), np.mean(by_hand, axis=0), atol=1e-12)
    assert np.isnan(find_scorer(name).chance(make_task(None, maps[:1]))).all()
    two = find_scorer(name).chance(make_task(None, maps[:2]))
    np.testing.assert_allclose(two, score(name, make_task(None, maps[:2], baseline_maps=maps[1::-1])))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [13, 20, 23])
def test_parts_change_no_score(name, count, make_task, monkeypatch):
    ours, theirs = np.random.default_rng(0).standard_normal((2, count, 9, 7)).astype(np.float32)
    ours[3], theirs[5], theirs[6] = 0, np.nan, 1
    task, scorer = make_task(None, ours, baseline_maps=theirs), find_scorer(name)
    whole = scorer.score(task)[0], scorer.chance(task)
    assert np.isnan(whole[0]).sum() == 3 and np.isnan(whole[1]).sum() == 1
    monkeypatch.setattr(pairs, "_MOST_AT_ONCE", 4)
    monkeypatch.setattr(pairs, "_PIXELS_IN_CACHE", 130)
    again = replace(task)
    np.testing.assert_allclose((scorer.score(again)[0], scorer.chance(again)), whole, rtol=0, atol=1e-12)


def test_each_map_is_described_once_for_score_and_chance(maps, make_task, registered):
    described = []

    def describe(maps, *, factor):
        described.append(len(maps))
        return factor * maps.mean(axis=(1, 2))

    def brightness(a, b, *, factor: float = 1.0):
        """Whether both are as bright."""
        return 1 - np.abs(a - b)

    registered(brightness, describe=describe)
    scorer, task = find_scorer("brightness:factor=0.5"), make_task(None, maps, baseline_maps=maps[::-1])
    scores, chance = scorer.score(task)[0], scorer.chance(task)
    assert described == [8, 8]
    means = (np.abs(maps) / np.abs(maps).max(axis=(1, 2), keepdims=True)).mean(axis=(1, 2), dtype=np.float64) / 2
    np.testing.assert_allclose(scores, 1 - np.abs(means - means[::-1]), atol=1e-6)
    others = [np.abs(means - np.roll(means[::-1], -shift)) for shift in (2, 3, 5, 6)]
    np.testing.assert_allclose(chance, 1 - np.mean(others, axis=0), atol=1e-6)
    scorer.score(replace(task, maps=maps[::-1]))
    assert described == 4 * [8]


def test_of_many_maps_few_are_described_twice(make_task, registered, monkeypatch):
    monkeypatch.setattr(pairs, "_MOST_AT_ONCE", 20)
    described = []

    def describe(maps):
        described.append(len(maps))
        return maps

    def nothing(a, b):
        """Nothing."""
        return np.zeros(len(a))

    registered(nothing, describe=describe)
    maps = np.random.default_rng(0).random((103, 4, 4))
    find_scorer("nothing").chance(make_task(None, maps))
    assert 206 <= sum(described) < 1.3 * 206


def test_a_function_of_two_maps_is_a_similarity(maps, make_task, registered):
    def overlap(a, b, *, above: float = 0.5, maps="raw"):
        """The share of pixels in which both maps are above a value."""
        assert a.shape == b.shape == (28, 28)
        return float(((a > above) & (b > above)).mean())

    registered(overlap)
    scorer, others = find_scorer("overlap:above=0.25"), maps[::-1]
    task = make_task(None, maps, baseline_maps=others)
    np.testing.assert_allclose(scorer.score(task)[0], ((maps > 0.25) & (others > 0.25)).mean(axis=(1, 2)))
    expected = [((maps > 0.25) & (np.roll(others, -k, axis=0) > 0.25)).mean(axis=(1, 2)) for k in (2, 3, 5, 6)]
    np.testing.assert_allclose(scorer.chance(task), np.mean(expected, axis=0))
    assert scorer.settings((1, 28, 28)) == {"above": 0.25, "maps": "raw"}
