import numpy as np
import ot
import pytest
from scipy.ndimage import gaussian_filter
from scipy.optimize import linprog
from scipy.stats import pearsonr, spearmanr
from skimage.metrics import structural_similarity
from skimage.transform import resize_local_mean

from saq_eval import SaqEvalError
from saq_eval.metrics import METRICS, find_scorer

NAMES = [name for name, metric in METRICS.items() if metric.category == "similarity"]
BOTH = [name for name in NAMES if name != "EMD"]  # compare raw maps too


def score(spec, task):
    return find_scorer(spec).score(task)[0]


@pytest.fixture
def alike(make_task):
    """Score one pair of maps (h, w)."""

    def alike(spec, a, b):
        return score(spec, make_task(None, np.array(a)[None], baseline_maps=np.array(b)[None]))[0]

    return alike


@pytest.fixture
def maps():
    return np.random.default_rng(0).standard_normal((8, 28, 28)).astype(np.float32)


@pytest.fixture
def others():
    return np.random.default_rng(1).standard_normal((8, 28, 28)).astype(np.float32)


def test_names():
    assert NAMES == ["SSIM", "Spearman", "Pearson", "Cosine", "TopKIoU", "EMD"]
    assert [METRICS[name].best for name in NAMES] == [1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("spec", [*NAMES, *(f"{name}:maps=raw" for name in BOTH), "TopKIoU:k=0.05"])
def test_a_map_is_wholly_similar_to_itself_and_to_no_other(spec, maps, others, make_task):
    best = find_scorer(spec).metric.best
    np.testing.assert_allclose(score(spec, make_task(None, maps)), best, atol=1e-7)
    assert (np.abs(score(spec, make_task(None, maps, baseline_maps=others)) - best) > 0.005).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [1e-6, 250.0, -1.0])
def test_of_normalised_maps_scale_and_sign_do_not_count(name, factor, maps, others, make_task):
    plain = score(name, make_task(None, maps, baseline_maps=others))
    scaled = score(name, make_task(None, maps * np.float32(factor), baseline_maps=others))
    np.testing.assert_allclose(scaled, plain, atol=1e-5)


@pytest.mark.parametrize("name", BOTH)
def test_of_raw_maps_the_sign_counts_and_of_ssim_the_scale(name, maps, make_task):
    spec = f"{name}:maps=raw"
    opposite = score(spec, make_task(None, maps, baseline_maps=-maps))
    if name in ("Spearman", "Pearson", "Cosine"):
        np.testing.assert_allclose(opposite, -1, atol=1e-6)
    assert (opposite < (0.6 if name == "SSIM" else 0.01)).all()
    double = score(spec, make_task(None, maps, baseline_maps=2 * maps))
    if name == "SSIM":
        assert (double < 0.99).all()
    else:
        np.testing.assert_allclose(double, 1, atol=1e-6)


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
    (ours,) = score("SSIM", make_task(None, a[None], baseline_maps=b[None]))
    assert ours == pytest.approx(index[5:-5, 5:-5].mean(), abs=1e-10)


@pytest.mark.parametrize("size", [(28, 28), (8, 8), (3, 9), (36, 12), (70, 61)])
@pytest.mark.parametrize("form", ["normalised", "raw"])
def test_ssim_is_scikit_images(form, size, make_task):
    a, b = np.random.default_rng(0).standard_normal((2, 5, *size)).astype(np.float32)
    b[1] = a[1] + 0.1 * b[1]
    expected = []
    for pair in zip(a.astype(float), b.astype(float), strict=True):
        ours, theirs = pair if form == "raw" else (np.abs(m) / np.abs(m).max() for m in pair)
        extent = max(ours.max(), theirs.max()) - min(ours.min(), theirs.min()) if form == "raw" else 1.0
        sigma = find_scorer("SSIM").settings((1, *size))["sigma"]
        expected.append(
            structural_similarity(
                ours, theirs, data_range=extent, gaussian_weights=True, sigma=sigma, use_sample_covariance=False
            )
        )
    found = score(f"SSIM:maps={form}", make_task(None, a, baseline_maps=b))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("size, side", [((8, 8), 7), ((5, 7), 5), ((36, 12), 11), ((10, 40), 9), ((3, 3), 3)])
def test_ssim_of_small_maps_has_the_largest_window_that_fits(size, side, make_task):
    a, b = np.random.default_rng(0).random((2, *size))
    a[0, 0] = b[0, 0] = 1.0
    settings = find_scorer("SSIM").settings((1, *size))
    assert settings["window"] == f"Gaussian, {side}x{side}" and settings["sigma"] == pytest.approx(1.5 * side / 11)
    reach = np.arange(side) - side // 2
    kernel = np.exp(-(reach**2) / 2 / (1.5 * side / 11) ** 2)
    window = np.outer(kernel, kernel) / kernel.sum() ** 2
    patches = [np.lib.stride_tricks.sliding_window_view(m, (side, side)) for m in (a, b)]
    means = [(p * window).sum(axis=(2, 3)) for p in patches]
    variances = [(p * p * window).sum(axis=(2, 3)) - m**2 for p, m in zip(patches, means, strict=True)]
    covariance = (patches[0] * patches[1] * window).sum(axis=(2, 3)) - means[0] * means[1]
    index = (2 * means[0] * means[1] + 0.01**2) * (2 * covariance + 0.03**2)
    index /= (means[0] ** 2 + means[1] ** 2 + 0.01**2) * (variances[0] + variances[1] + 0.03**2)
    assert score("SSIM", make_task(None, a[None], baseline_maps=b[None])) == pytest.approx(index.mean(), abs=1e-10)


def test_ssim_refuses_what_has_no_window(make_task):
    with pytest.raises(SaqEvalError, match="SSIM needs maps of at least 3x3 pixels, not 2x9"):
        find_scorer("SSIM").settings((1, 2, 9))


def test_correlations_and_cosine(alike):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (2, 28, 28)).astype(float)  # with ties
    assert alike("Spearman:maps=raw", a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic, abs=1e-12)
    assert alike("Pearson:maps=raw", a, b) == pytest.approx(pearsonr(a.ravel(), b.ravel()).statistic, abs=1e-12)
    assert alike("Cosine", [[3.0, 4.0]], [[4.0, 3.0]]) == pytest.approx(24 / 25)


def test_top_intersection_over_union(alike):
    a = np.arange(100, dtype=float).reshape(10, 10)
    b = np.roll(a.ravel(), 5).reshape(10, 10)  # its largest ten are 5 of a's and the first five
    assert alike("TopKIoU", a, b) == pytest.approx(5 / 15)
    assert alike("TopKIoU", a, a) == 1 and alike("TopKIoU:maps=raw", a, -a) == 0
    assert alike("TopKIoU:k=0.2", a, b) == pytest.approx(15 / 25)


def test_of_a_top_tied_pixels_belong_by_equal_shares_and_those_without_relevance_not_at_all(alike):
    a, b = np.zeros((2, 28, 28))
    a[3:6, 3:6] = b[20:23, 20:23] = 1.0
    assert alike("TopKIoU", a, b) == 0 and alike("TopKIoU", a, a) == 1
    b[3:6, 3:6] = 0.5
    assert alike("TopKIoU", a, b) == pytest.approx(9 / 18)
    # One place for nine tied pixels of each, of which they share three.
    a, b = np.zeros((2, 10, 10))
    a.ravel()[:9] = b.ravel()[6:15] = 1.0
    assert alike("TopKIoU:k=0.01", a, b) == pytest.approx((3 / 9) / (15 / 9))
    assert alike("TopKIoU:k=0.01", a, a) == pytest.approx(1)
    assert np.isnan(alike("TopKIoU:maps=raw", -a, -b))


@pytest.mark.parametrize("spec", [*NAMES, *(f"{name}:maps=raw" for name in BOTH)])
def test_turning_both_maps_changes_no_score(spec, make_task):
    ours, theirs = np.random.default_rng(0).integers(-2, 3, (2, 6, 28, 28)).astype(np.float32)
    ours, theirs = (maps * (np.random.default_rng(1).random(maps.shape) < 0.2) for maps in (ours, theirs))
    turned = make_task(None, ours[:, ::-1, ::-1], baseline_maps=theirs[:, ::-1, ::-1])
    np.testing.assert_allclose(score(spec, turned), score(spec, make_task(None, ours, baseline_maps=theirs)), atol=1e-9)


def test_earth_movers_distance_of_known_masses(alike):
    corner, opposite, beside = np.zeros((3, 28, 28))
    corner[:4, :4] = opposite[-4:, -4:] = beside[:4, 4:8] = 1.0
    # Over a grid of 7x7 cells: centres a seventh of a side apart, in units of the diagonal, √2 sides.
    assert alike("EMD", corner, beside) == pytest.approx(1 / 7 / np.sqrt(2))
    assert alike("EMD", corner, opposite) == pytest.approx(6 / 7)
    assert alike("EMD", corner, 5 * corner) == pytest.approx(0, abs=1e-12)


def test_earth_movers_distance_is_in_diagonals_of_the_real_image(alike):
    corner, along, across = np.zeros((3, 12, 36))
    corner[:1, :5] = along[:1, -5:] = across[-1:, :5] = 1.0  # each within one of the 7x7 cells
    diagonal = np.hypot(12, 36)
    assert alike("EMD", corner, along) == pytest.approx(6 / 7 * 36 / diagonal)  # 0.81
    assert alike("EMD", corner, across) == pytest.approx(6 / 7 * 12 / diagonal)  # 0.27
    assert alike("EMD", corner.T, along.T) == pytest.approx(6 / 7 * 36 / diagonal)


def test_earth_movers_distance_is_the_transport_problems_optimum(alike):
    a, b = np.random.default_rng(0).random((2, 3, 3))
    places = np.array([(r + 0.5, c + 0.5) for r in range(3) for c in range(3)]) / 3 / np.sqrt(2)
    cost = np.linalg.norm(places[:, None] - places[None], axis=2)
    leaving, arriving = np.kron(np.eye(9), np.ones(9)), np.kron(np.ones(9), np.eye(9))
    masses = np.concatenate([a.ravel() / a.sum(), b.ravel() / b.sum()])
    optimum = linprog(cost.ravel(), A_eq=np.vstack([leaving, arriving]), b_eq=masses).fun
    assert alike("EMD:cells=3", a, b) == pytest.approx(optimum, abs=1e-9)


@pytest.mark.parametrize("size, shown", [((28, 28), 1.0), ((28, 28), 0.05), ((20, 33), 0.05), ((6, 50), 0.3)])
def test_earth_movers_distance_is_that_of_all_the_mass(size, shown, make_task):
    """Mass that stays where it is takes no part in what POT solves; with it, the optimum is the same."""
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((2, 6, *size)) * (rng.random((2, 6, *size)) < shown)
    theirs[1] = ours[1]
    theirs[2, : size[0] // 2] = ours[2, : size[0] // 2]
    grid = tuple(min(7, side) for side in size)
    rows, columns = ((np.arange(cells) + 0.5) / cells * side for cells, side in zip(grid, size, strict=True))
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2) / np.hypot(*size)
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    expected = []
    for pair in zip(ours, theirs, strict=True):
        a, b = (resize_local_mean(m, grid).ravel() for m in pair)
        expected.append(ot.emd2(a / a.sum(), b / b.sum(), distances))
    found = score("EMD", make_task(None, ours, baseline_maps=theirs))
    assert found[1] == 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_parameters_are_checked():
    assert find_scorer("TopKIoU:k=0.2").label == "TopKIoU:k=0.2" and find_scorer("TopKIoU:k=0.1").label == "TopKIoU"
    assert find_scorer("SSIM").settings((1, 28, 28))["sigma"] == 1.5
    for spec, message in (("TopKIoU:k=1.5", "less than 1"), ("SSIM:maps=both", "'normalised' or 'raw'"), ("EMD:k=1", "unknown parameter")):  # fmt: skip  # noqa: E501
        with pytest.raises(SaqEvalError, match=message):
            find_scorer(spec)
