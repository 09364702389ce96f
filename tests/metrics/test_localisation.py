"""Each score against the paper's definition and a direct Quantus call, and what becomes of ties, zeros and empty masks."""

import dataclasses
import warnings

import numpy as np
import pytest
import quantus
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.metrics import METRICS, find_scorer

NAMES = [name for name, metric in METRICS.items() if metric.declares.__module__ == "saq_eval.metrics.localisation"]
COUNT = 9


def score(name, task):
    return find_scorer(name).score(task)[0]


@pytest.fixture
def task(make_task):
    """Maps of both signs, with no ties that matter."""
    return make_task(nn.Identity(), np.random.default_rng(0).standard_normal((COUNT, 28, 28)).astype(np.float32))


def with_object(task, maps, mask):
    """Return the task with one map and one mask (h, w) for all its images."""
    count = len(task.maps)
    return dataclasses.replace(
        task,
        maps=np.repeat(maps[None].astype(np.float32), count, axis=0),
        masks=np.repeat(mask[None, None], count, axis=0),
    )


def test_names():
    assert sorted(NAMES) == [
        *("AUC", "AttributionLocalisation", "PointingGame", "RelevanceMassAccuracy", "RelevanceRankAccuracy"),
        "TopKIntersection",
    ]


def test_as_published(task):
    for position in range(COUNT):
        relevance, mask = np.abs(task.maps[position]).reshape(-1), task.masks[position].reshape(-1)
        ranks = np.argsort(-relevance)
        pairs = relevance[mask][:, None] - relevance[~mask][None]
        expected = {
            "RelevanceMassAccuracy": relevance[mask].sum() / relevance.sum(),
            "RelevanceRankAccuracy": mask[ranks[: mask.sum()]].mean(),
            "TopKIntersection": mask[ranks[:39]].mean(),
            "PointingGame": float(mask[relevance.argmax()]),
            "AUC": ((pairs > 0) + (pairs == 0) / 2).mean(),
        }
        positive = np.clip(task.maps[position], 0, None).reshape(-1)
        expected["AttributionLocalisation"] = positive[mask].sum() / positive.sum()
        for name, value in expected.items():
            assert score(name, task)[position] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_without_ties_scores_are_those_of_quantus(name, task):
    arguments = {"TopKIntersection": {"k": 39}, "AttributionLocalisation": {"positive_attributions": True}}.get(
        name, {}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = getattr(quantus, name)(
            abs=name != "AttributionLocalisation", normalise=False, return_aggregate=False, disable_warnings=True, **arguments
        )(
            model=nn.Identity(),
            x_batch=task.images,
            y_batch=task.targets,
            a_batch=task.maps[:, None].astype(float),
            s_batch=task.masks,
            channel_first=True,
        )  # fmt: skip
    np.testing.assert_allclose(score(name, task), expected, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("levels", [1, 2, 5])
def test_turning_map_and_mask_changes_no_score(name, levels, task):
    rng = np.random.default_rng(0)
    maps = rng.integers(0, levels + 1, (COUNT, 28, 28)) * (rng.random((COUNT, 28, 28)) < 0.3)
    tied = dataclasses.replace(task, maps=maps.astype(np.float32))
    turned = dataclasses.replace(tied, maps=tied.maps[:, ::-1, ::-1], masks=tied.masks[..., ::-1, ::-1])
    np.testing.assert_allclose(score(name, turned), score(name, tied), atol=1e-12)


def test_tied_pixels_share_the_places_that_are_left(task):
    mask = np.zeros((28, 28), dtype=bool)
    mask[0, :10] = True
    maps = np.zeros((28, 28))
    maps[0, :4] = 2.0  # 4 places for these, 6 for 24 tied pixels of which 6 are on the object
    maps[0, 4:28] = 1.0
    tied = with_object(task, maps, mask)
    np.testing.assert_allclose(score("RelevanceRankAccuracy", tied), (4 + 6 * 6 / 24) / 10)
    np.testing.assert_allclose(score("TopKIntersection:k=16", tied), (4 + 12 * 6 / 24) / 16)
    maps[0, :4] = 1.0
    np.testing.assert_allclose(score("PointingGame", with_object(task, maps, mask)), 10 / 28)


def test_pixels_without_relevance_never_enter_a_top(task):
    mask = np.zeros((28, 28), dtype=bool)
    mask[:14] = True
    maps = np.zeros((28, 28))
    maps[13, 13] = maps[14, 14] = maps[20, 20] = 1.0
    sparse = with_object(task, maps, mask)
    for name in ("RelevanceRankAccuracy", "TopKIntersection", "PointingGame"):
        np.testing.assert_allclose(score(name, sparse), 1 / 3)


def test_exact_maps_score_best(task):
    inside = task.masks[:, 0].astype(np.float32)
    for maps in (inside, -inside):
        for name in NAMES:
            if (maps > 0).any() or name != "AttributionLocalisation":
                np.testing.assert_allclose(score(name, dataclasses.replace(task, maps=maps)), 1.0, atol=1e-6)
    corner = np.ones_like(inside)
    corner[:, 0, 0] = 1.0001  # the brightest pixel is in the corner, off the object
    np.testing.assert_array_equal(score("PointingGame", dataclasses.replace(task, maps=corner)), 0)


def test_without_positive_relevance_there_is_nothing_to_localise(task):
    assert np.isnan(score("AttributionLocalisation", dataclasses.replace(task, maps=-np.abs(task.maps)))).all()


@pytest.mark.parametrize("name", NAMES)
def test_undefined_without_an_object(name, task):
    masks = task.masks.copy()
    masks[3] = False
    emptied = dataclasses.replace(task, masks=masks)
    np.testing.assert_array_equal(score(name, emptied), np.where(np.arange(COUNT) == 3, np.nan, score(name, task)))
    np.testing.assert_array_equal(np.isnan(find_scorer(name).chance(emptied)), np.arange(COUNT) == 3)
    maps = task.maps.copy()
    maps[2], maps[5], maps[7] = 0.0, 3.0, np.nan
    scores = score(name, dataclasses.replace(task, maps=maps))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(scores)), [2, 5, 7])


def test_an_object_that_fills_the_image_has_no_auc(task):
    full = dataclasses.replace(task, masks=np.ones_like(task.masks))
    assert np.isnan(score("AUC", full)).all() and np.isnan(find_scorer("AUC").chance(full)).all()


@pytest.mark.parametrize("name", NAMES)
def test_unrelated_maps_score_what_chance_says(name, make_task):
    for noise in (np.random.default_rng(0).random((60, 28, 28)), np.random.default_rng(0).random((60, 28, 28)) > 0.98):
        task = make_task(nn.Identity(), noise.astype(np.float32))
        difference = score(name, task) - find_scorer(name).chance(task)
        assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(60) + 1e-9


def test_parameters():
    assert find_scorer("TopKIntersection").settings((1, 28, 28)) == {"k": 39, "reads": "magnitudes"}
    assert find_scorer("PointingGame").settings((1, 28, 28)) == {"reads": "magnitudes"}
    assert find_scorer("AttributionLocalisation").settings((3, 8, 8)) == {"reads": "positive relevance"}
    with pytest.raises(SaqEvalError, match="k=1000 is not below the 784 pixels"):
        find_scorer("TopKIntersection:k=1000").settings((1, 28, 28))


@pytest.mark.parametrize("name", NAMES)
def test_declarations_are_whole(name):
    metric = METRICS[name]
    assert metric.description.endswith(".") and any(where in metric.reference for where in ("arXiv", "doi"))
    assert metric.needs == ("masks",) and metric.category == "localisation" and metric.higher_is_better
