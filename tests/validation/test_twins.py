"""Whole networks put on the sides of a comparison: twins that differ in the seed alone, so that nothing is to be found.

Where sides are swapped image by image, just what sets two networks apart is averaged away. Here a side is a network.
"""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import saq_eval
from saq_eval import comparison
from saq_eval.analysis.interpretability import Composite
from saq_eval.analysis.kept import tables_of
from saq_eval.analysis.results import Results
from saq_eval.analysis.tables import TABLES
from saq_eval.evaluation.cells import Cell
from saq_eval.evaluation.settings import Subject
from saq_eval.metrics import find_scorer
from saq_eval.studies.driver import train_model
from saq_eval.training.recipes import default_recipe

TWINS = 8
METHODS = ["saliency", "lrp"]
METRICS = ["FaithfulnessCorrelation", "PixelFlipping", "RelevanceRankAccuracy", "PointingGame", "SSIM", "TopKIoU"]
FOUND = ("worse", "better", "worse, but within the margin", "better, but within the margin")
pytestmark = pytest.mark.validation


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Train the twins, and the first one in either precision."""
    zoo = tmp_path_factory.mktemp("zoo")
    recipe = replace(default_recipe("digits", quantized=False), epochs=6)
    for seed in range(TWINS):
        train_model("digits", "fp32", seed=seed, name=f"twin-{seed}", recipe=recipe, zoo=zoo, progress=False)
    for precision in ("float32", "bfloat16"):
        named = replace(recipe, precision=precision)
        train_model("digits", "fp32", seed=0, name=precision, recipe=named, zoo=zoo, progress=False)
    return zoo


@pytest.fixture(scope="module")
def twins(zoo):
    """Explain the same images by each twin, and return the filled grid and the networks."""
    kept = {}

    def keep(results, store):
        kept.update(grid=results.grid, networks=results.models)
        return tables_of(results, store)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(comparison, "tables_of", keep)
        saq_eval.compare(
            "digits",
            models=["twin-*"],
            methods=METHODS,
            metrics=METRICS,
            samples=64,
            workers=2,
            zoo=zoo,
            progress=False,
        )
    assert all(len(kept["grid"].retrained_of(f"twin-{seed}")) == TWINS - 1 for seed in range(TWINS))
    return kept["grid"], kept["networks"]


class Sides:
    """The tables of a comparison of some twins, called quantized, with others, called their baselines."""

    def __init__(self, twins, pairs, retrained=()):
        grid, networks = twins
        self.networks, self.cells = {}, {}
        for seed, (network, baseline) in enumerate(pairs):
            ours, theirs = f"network-{seed}", f"baseline-{seed}"
            for name, source in ((theirs, baseline), (ours, network)):
                twin = networks[f"twin-{source}"]
                scheme = "fp32" if name == theirs else "other"
                self.networks[name] = replace(twin, name=name, seed=seed, scheme=scheme, kin=scheme)
                self._add(Subject(name, f"twin-{source}", theirs), grid, source, baseline)
        for seed, (_, baseline) in enumerate(pairs):
            for other in [b for _, b in pairs if b != baseline] + list(retrained):
                again = Subject(f"again-{other}", f"twin-{other}", f"baseline-{seed}", "retrained")
                self._add(again, grid, other, baseline)
        self.grid = replace(grid, subjects=list(dict.fromkeys(cell.subject for cell in self.cells)), cells=self.cells)

    def _add(self, subject, grid, source, baseline):
        """Take a twin's own scores, and of similarities those to the twin that is its baseline here."""
        twin = grid.by_name[f"twin-{source}"]
        again = next((s for s in grid.retrained_of(f"twin-{baseline}") if s.name == f"twin-{source}"), None)
        for method, metric in itertools.product(METHODS, METRICS):
            own = grid.cell(twin, method, metric)
            if again is not None and Cell(again, method, metric) in grid.cells:
                own = replace(own, scores=grid.scores(again, method, metric))
            self.cells[Cell(subject, method, metric)] = own

    def effects(self) -> pd.DataFrame:
        return TABLES["effects"].make(Results(self.grid, self.networks, Composite({}, {}, 0.0), margin=0.2))


def assignments(networks, count, seed=0):
    """Return ways to draw so many different twins, in order."""
    every = list(itertools.permutations(range(TWINS), networks)) if networks <= 4 else None
    rng = np.random.default_rng(seed)
    if every is not None and len(every) <= count:
        return every
    return [tuple(map(int, rng.permutation(TWINS)[:networks])) for _ in range(count)]


@pytest.mark.parametrize("pairs", [3, 4])
def test_twins_of_a_scheme_are_seldom_told_apart(twins, pairs):
    """In how many comparisons is anything found, of all rows after correction? Nominally in one of twenty."""
    found = 0
    drawn = assignments(2 * pairs, 60)
    for order in drawn:
        effects = Sides(twins, list(zip(order[:pairs], order[pairs:], strict=True))).effects()
        assert set(effects["scope"]) == {"scheme"} and len(effects) == len(METHODS) * len(METRICS)
        found += bool(effects["verdict"].isin(FOUND).any())
    print(f"{pairs} pairs: {found} of {len(drawn)}")
    assert found / len(drawn) <= 0.08


@pytest.mark.parametrize("retrained", [1, 2, 3, 4])
def test_a_twin_is_seldom_beyond_retraining(twins, retrained):
    """Of one twin beside another, and of so many retrained ones, rows beyond what retraining does: one in twenty."""
    rows = []
    for network, baseline, *others in assignments(retrained + 2, 80):
        effects = Sides(twins, [(network, baseline)], others).effects()
        assert set(effects["scope"]) == {"network"}
        rows.append(effects)
    table = pd.concat(rows)
    beyond = (table["retraining"] == "beyond").mean()
    similar = table[table["category"] == "similarity"]
    called = similar["verdict"].isin(FOUND).mean()
    print(f"{retrained} retrained: beyond {beyond:.3f} of {len(table)} rows, similarities called {called:.3f}")
    if retrained < 3:
        assert set(table["retraining"]) == {""} and called == 0
    else:
        assert set(table["retraining"]) == {"beyond", "within"} and beyond <= 0.08 and called <= 0.08


def test_precision_moves_a_network_no_further_than_its_seed_does(zoo, digits, make_task):
    """Twins trained in float32 and in bfloat16 may stand side by side: their maps are as alike as two seeds' are."""
    images, labels = digits.images[:64], digits.labels[:64]
    names = ["float32", "bfloat16", *(f"twin-{seed}" for seed in range(TWINS))]
    networks = {name: saq_eval.load_model("digits", name, zoo=zoo).network for name in names}
    same = [torch.equal(networks["twin-0"](images), networks[name](images)) for name in ("float32", "bfloat16")]
    assert sum(same) == 1  # the twins were trained in the faster one of the two
    for method in METHODS:
        maps = {name: saq_eval.explain(method, network, images, labels).numpy() for name, network in networks.items()}
        pairs = [("float32", "bfloat16"), *itertools.combinations(names[2:], 2)]
        tasks = [make_task(None, maps[a], baseline_maps=maps[b]) for a, b in pairs]
        by_precision, *by_seed = (np.nanmean(find_scorer("SSIM").score(task)[0]) for task in tasks)
        print(f"{method}: SSIM {by_precision:.3f} by precision, {min(by_seed):.3f} to {max(by_seed):.3f} by seed")
        assert by_precision >= min(by_seed)


def test_two_twins_do_differ(twins):
    """One network against another: they differ, image by image, and the verdict speaks of these two alone."""
    tables = [Sides(twins, [pair]).effects() for pair in assignments(2, 12)]
    rows = pd.concat(tables).query("category != 'similarity'")
    share = rows["verdict"].isin(FOUND).mean()
    print(f"one network: {share:.2f} of rows")
    assert set(rows["scope"]) == {"network"} and share > 0.15
