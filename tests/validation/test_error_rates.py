"""How often the statistics err, by simulation: the figures of docs/statistics.md.

`python -m tests.validation.test_error_rates` prints them. Differences of many null comparisons are drawn, and it is counted how
often they are called different; at the margin's edge, how often they are called negligible.
"""

import itertools

import numpy as np
import pytest

from saq_eval.analysis.statistics import MARGIN, compare_paired, estimate

RUNS = 3000
IMAGES = (30, 64, 128, 256)
SPREADS = {"none": 0.0, "small": 0.1, "dominant": 1.0}
pytestmark = pytest.mark.validation


def symmetric(rng, shape):
    return rng.standard_normal(shape)


def rounded(rng, shape):
    """Many ties, and one large value in twenty."""
    return np.round(rng.standard_normal(shape)) * np.where(rng.random(shape) < 0.05, 3, 1)


def exponential(rng, shape):
    return rng.exponential(size=shape) - 1


def log_normal(rng, shape):
    """A skewness of 6.2 and a kurtosis of 111: one image in a hundred weighs as much as the rest."""
    return (np.exp(rng.standard_normal(shape)) - np.exp(0.5)) / 2.16


SHAPES = {f.__name__: f for f in (symmetric, rounded, exponential, log_normal)}


def over_images(shape, images, runs=RUNS):
    return SHAPES[shape](np.random.default_rng(images), (runs, images))


def over_networks(shape, networks, images, between, runs=RUNS // 2):
    """What networks differ by, what images differ by for all of them, and what is left: (runs, networks, images)."""
    rng = np.random.default_rng([networks, images])
    common, rest = SHAPES[shape](rng, (runs, 1, images)), rng.standard_normal((runs, networks, images))
    return between * rng.standard_normal((runs, networks, 1)) + 0.5 * common + rest


def rates(values, at=0.0):
    """Return how often a mean of `at` is called different at .05 and .001, and how often the interval holds it."""
    found = estimate(values - at)
    p_values, (low, high) = found.different(), found.limits()
    return (p_values < 0.05).mean(), (p_values < 0.001).mean(), ((low <= 0) & (high >= 0)).mean()


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("shape", SHAPES)
def test_type_i_and_coverage_over_images(shape, images):
    at_5, at_01, coverage = rates(over_images(shape, images))
    # Of log-normal differences, 30 images show too little of the tail: the documented limit.
    assert at_5 <= (0.075 if shape == "log_normal" and images == 30 else 0.065)
    assert at_01 <= (0.007 if shape == "log_normal" and images < 128 else 0.003)
    assert 0.93 <= coverage <= 0.99


@pytest.mark.parametrize(
    ("networks", "images", "between"), list(itertools.product((3, 4, 5, 8), IMAGES, SPREADS.values()))
)
def test_type_i_and_coverage_over_networks(networks, images, between):
    for shape in ("symmetric", "log_normal"):
        at_5, at_01, coverage = rates(over_networks(shape, networks, images, between))
        assert at_5 <= 0.065 and at_01 <= 0.004 and 0.93 <= coverage <= 0.995, shape


def test_two_networks_are_fixed_so_they_give_no_verdict_on_a_scheme():
    assert set(estimate(over_networks("symmetric", 2, 30, 1.0, runs=10)).scope) == {"network"}


def wrongly_negligible(values, spread=1.0, reach=None):
    """Return how often differences whose true mean is the margin are called negligible."""
    count = len(values)
    reach = None if reach is None else np.full(count, reach)
    found = compare_paired(
        values, np.full(count, spread), np.ones(count, dtype=bool), family=np.full(count, -1), reach=reach
    )
    return np.char.find(found.verdict.astype(str), "within") >= 0, found.verdict == "negligible"


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("shape", SHAPES)
def test_wrong_equivalence_at_the_margins_edge(shape, images):
    for edge in (MARGIN, -MARGIN):
        within, negligible = wrongly_negligible(over_images(shape, images) + edge)
        assert (within | negligible).mean() <= 0.065 + 0.01 * (shape == "log_normal")


def binary_at_the_edge(images, margin, differ, runs=RUNS):
    """0/1 differences of a true mean of `margin`, of which a share of images differs at all."""
    up, down = (differ + margin) / 2, (differ - margin) / 2
    return np.random.default_rng(images).choice([1.0, -1.0, 0.0], p=[up, down, 1 - differ], size=(runs, images))


@pytest.mark.parametrize("images", (30, 64, 128))
@pytest.mark.parametrize(("margin", "differ"), [(0.06, 0.06), (0.08, 0.1), (0.1, 0.3)])
def test_wrong_equivalence_of_scores_of_0_and_1(images, margin, differ):
    values = binary_at_the_edge(images, margin, differ)
    within, negligible = wrongly_negligible(values, spread=margin / MARGIN, reach=1.0)
    assert (within | negligible).mean() <= 0.065


@pytest.mark.parametrize("images", (30, 64, 128))
def test_type_i_of_scores_of_0_and_1(images):
    for differ in (0.02, 0.1, 0.4):
        values = binary_at_the_edge(images, 0.0, differ, runs=1500)
        p_values = estimate(values, np.ones(len(values))).different()
        assert (p_values < 0.05).mean() <= 0.065 and (p_values < 0.001).mean() <= 0.003


@pytest.mark.parametrize("networks", (3, 5, 8))
def test_wrong_equivalence_over_networks(networks):
    for between in SPREADS.values():
        within, negligible = wrongly_negligible(over_networks("symmetric", networks, 128, between) + MARGIN)
        assert (within | negligible).mean() <= 0.065


def predictions(retrained, runs=4000):
    """One more twin beside twins: its difference to a baseline, and the retrained networks' differences to it."""
    rng = np.random.default_rng(retrained)
    twins = rng.standard_normal((runs, retrained + 2))
    baseline, network, others = twins[:, 0], twins[:, 1], twins[:, 2:]
    values = (network - baseline)[:, None] + 0.05 * rng.standard_normal((runs, 60))
    return compare_paired(
        values, np.ones(runs), np.ones(runs, dtype=bool), retrained=others - baseline[:, None]
    ).retraining


@pytest.mark.parametrize("retrained", (2, 3, 4, 8))
def test_a_twin_is_beyond_retraining_in_one_of_twenty_at_most(retrained):
    found = predictions(retrained)
    assert (found == "beyond").mean() <= (0.06 if retrained >= 3 else 0.0)


def decided(networks, effect, between, images=128, runs=400):
    """Return how often a drop by `effect` is found over networks that differ by `between`."""
    values = over_networks("symmetric", networks, images, between, runs) - effect
    found = compare_paired(values, np.ones(runs), np.ones(runs, dtype=bool), family=np.full(runs, -1))
    return (found.verdict == "worse").mean()


@pytest.mark.parametrize(("networks", "least"), [(3, 0.6), (5, 0.95), (8, 0.99)])
def test_an_effect_of_the_size_of_two_bits_is_found(networks, least):
    """A drop of 0.4 standard deviations, about what 2 bits cost, where networks differ by 0.1."""
    assert decided(networks, effect=0.4, between=0.1) >= least


def main() -> None:
    print("over images: at .05 / at .001 / coverage")
    for shape, images in itertools.product(SHAPES, (10, *IMAGES)):
        print(
            f"  {shape:11} n = {images:3}: " + " / ".join(f"{rate:.4f}" for rate in rates(over_images(shape, images)))
        )
    print("over networks")
    for shape, networks in itertools.product(("symmetric", "log_normal"), (3, 4, 5, 8)):
        worst = np.array(
            [
                rates(over_networks(shape, networks, images, between))
                for images, between in itertools.product(IMAGES, SPREADS.values())
            ]
        )
        low, high = worst[:, 2].min(), worst[:, 2].max()
        print(f"  {shape:11} {networks}: {worst[:, 0].max():.3f} / {worst[:, 1].max():.4f} / {low:.3f} to {high:.3f}")
    print("wrong equivalence at the margin's edge")
    for shape, images in itertools.product(SHAPES, (10, *IMAGES)):
        within, negligible = wrongly_negligible(over_images(shape, images) + MARGIN)
        print(f"  {shape:11} n = {images:3}: {(within | negligible).mean():.3f}")
    for images, (margin, differ) in itertools.product((30, 64, 128), [(0.06, 0.06), (0.08, 0.1), (0.1, 0.3)]):
        both = wrongly_negligible(binary_at_the_edge(images, margin, differ), margin / MARGIN, 1.0)
        print(f"  0/1 n = {images}, margin {margin}, {differ} differ: {(both[0] | both[1]).mean():.3f}")
    for networks in (3, 5, 8):
        both = [wrongly_negligible(over_networks("symmetric", networks, 128, b) + MARGIN) for b in SPREADS.values()]
        print(f"  {networks} networks: {max((a | b).mean() for a, b in both):.3f}")
    for retrained in (2, 3, 4, 8):
        print(f"a twin beyond {retrained} retrained networks: {(predictions(retrained) == 'beyond').mean():.3f}")
    for networks, between in itertools.product((3, 5, 8), (0.05, 0.1, 0.2)):
        print(f"power, {networks} networks that differ by {between}: {decided(networks, 0.4, between):.2f}")


if __name__ == "__main__":
    main()
