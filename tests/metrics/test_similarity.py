import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from saq_eval.metrics import METRICS, is_degenerate
from saq_eval.metrics.similarity import normalise, spearman, top_k_iou

NAMES = ["SSIM", "Spearman", "TopKIoU"]


@pytest.fixture
def maps():
    return np.random.default_rng(0).standard_normal((8, 28, 28)).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_a_map_is_wholly_similar_to_itself(name, maps, make_task):
    np.testing.assert_allclose(METRICS[name].score(make_task(None, maps)), 1.0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [1e-6, 250.0, -1.0])
def test_scale_and_sign_do_not_count(name, factor, maps, make_task):
    other = np.random.default_rng(1).standard_normal(maps.shape).astype(np.float32)
    plain = METRICS[name].score(make_task(None, maps, baseline_maps=other))
    scaled = METRICS[name].score(make_task(None, maps * np.float32(factor), baseline_maps=other))
    np.testing.assert_allclose(scaled, plain, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_degenerate_maps_are_not_compared(name, maps, make_task):
    spoiled = maps.copy()
    spoiled[1], spoiled[4] = 0, np.inf
    scores = METRICS[name].score(make_task(None, spoiled, baseline_maps=maps))
    assert np.isnan(scores).tolist() == [False, True, False, False, True, False, False, False]
    assert np.isnan(METRICS[name].score(make_task(None, maps, baseline_maps=spoiled))).sum() == 2


@pytest.mark.parametrize("name", NAMES)
def test_chance_pairs_each_map_with_another_images(name, maps, make_task):
    task = make_task(None, maps)
    shifted = make_task(None, maps, baseline_maps=np.roll(maps, -4, axis=0))
    np.testing.assert_array_equal(METRICS[name].chance(task), METRICS[name].score(shifted))
    assert np.nanmean(METRICS[name].chance(task)) < 0.5
    assert np.isnan(METRICS[name].chance(make_task(None, maps[:1]))).all()


def test_ssim_is_the_papers_formula(make_task):
    """Wang et al. 2004, equation 13, with the Gaussian window of section III.C, averaged where the window fits."""
    a, b = np.random.default_rng(0).random((2, 28, 28))
    a[0, 0] = b[0, 0] = 1.0  # so that normalisation leaves them as they are
    c1, c2 = 0.01**2, 0.03**2

    def local(x):
        return gaussian_filter(x, 1.5, truncate=3.5)

    mean_a, mean_b = local(a), local(b)
    var_a, var_b = local(a * a) - mean_a**2, local(b * b) - mean_b**2
    covariance = local(a * b) - mean_a * mean_b
    index = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    index /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    (ours,) = METRICS["SSIM"].score(make_task(None, a[None], baseline_maps=b[None]))
    assert ours == pytest.approx(index[5:-5, 5:-5].mean(), abs=1e-10)


def test_spearman_with_ties():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (2, 28, 28)).astype(float)
    assert spearman(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic, abs=1e-12)


def test_top_tenth_intersection_over_union():
    a = np.arange(100, dtype=float).reshape(10, 10)
    b = np.roll(a.ravel(), 5).reshape(10, 10)  # its largest ten are 5 of a's and the first five
    assert top_k_iou(a, b, fraction=0.1) == pytest.approx(5 / 15)
    assert top_k_iou(a, a, fraction=0.1) == 1 and top_k_iou(a, -a, fraction=0.1) == 0


def test_normalise():
    maps = np.array([[[-4.0, 2.0]], [[0.0, 0.0]]])
    assert normalise(maps)[0].tolist() == [[1.0, 0.5]]
    assert np.isnan(normalise(maps)[1]).all()


def test_is_degenerate():
    maps = np.zeros((5, 4, 4), dtype=np.float32)
    maps[1] = 2.5
    maps[2, 0, 0] = 1
    maps[3], maps[3, 1, 1] = 1, np.nan
    maps[4], maps[4, 1, 1] = 1, -np.inf
    assert is_degenerate(maps).tolist() == [True, True, False, True, True]
