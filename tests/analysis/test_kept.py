"""A comparison's tables are kept, and used again only for the same results."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from saq_eval.analysis import kept
from saq_eval.analysis.kept import tables_of
from saq_eval.analysis.schema import make_tables
from saq_eval.evaluation.store import make_store
from tests.analysis.made import results_of

NAMES = ["cnn-fp32", "cnn-fp32-ft", "cnn-w2a2", "cnn-fp32-s1"]


@pytest.fixture
def results(make_grid):
    return results_of(*make_grid(NAMES, lambda *_: 0.5, metrics=["PixelFlipping", "PointingGame", "SSIM"]))


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "store")


def test_kept_tables_are_those_that_were_made(results, store, monkeypatch):
    made, _ = tables_of(results, store)
    monkeypatch.setattr(kept, "make_tables", lambda results: pytest.fail("the tables were made again"))
    again, _ = tables_of(results, store)
    expected = make_tables(results)
    for name, table in expected.items():
        pd.testing.assert_frame_equal(made[name], table)
        pd.testing.assert_frame_equal(again[name], table, check_dtype=not table.empty)
        assert again[name].to_csv(float_format="%.7g") == table.to_csv(float_format="%.7g")


def _with_score(results):
    cell, scored = next(iter(results.grid.cells.items()))
    changed = scored.scores.copy()
    changed[0] += 1e-9
    cells = {**results.grid.cells, cell: replace(scored, scores=changed)}
    return replace(results, grid=replace(results.grid, cells=cells))


def _with_fact(results):
    name, network = next(iter(results.networks.items()))
    return replace(results, networks={**results.networks, name: replace(network, training="another")})


def _with_logits(results):
    name, logits = next(iter(results.grid.logits.items()))
    return replace(results, grid=replace(results.grid, logits={**results.grid.logits, name: logits + np.float32(1)}))


def _with_hole(results):
    cell, scored = next(iter(results.grid.cells.items()))
    cells = {**results.grid.cells, cell: replace(scored, hole="no gradient")}
    return replace(results, grid=replace(results.grid, cells=cells))


def test_the_order_in_which_cells_were_finished_does_not_matter(results, store):
    tables_of(results, store)
    grid = results.grid
    cells, explained = (dict(reversed(each.items())) for each in (grid.cells, grid.explained))
    tables_of(replace(results, grid=replace(grid, cells=cells, explained=explained)), store)
    assert len(list((store.folder / "tables").rglob("*.safetensors"))) == 1


@pytest.mark.parametrize(
    "change",
    [_with_score, _with_fact, _with_logits, _with_hole, lambda results: replace(results, margin=0.3)],
)
def test_other_results_have_tables_of_their_own(results, store, monkeypatch, change):
    monkeypatch.setattr(kept, "make_tables", lambda results: {"models": pd.DataFrame({"a": [1]})})
    for each in (results, change(results), results):
        tables_of(each, store)
    assert len(list((store.folder / "tables").rglob("*.safetensors"))) == 2


def test_tables_of_another_version_are_not_used(results, store, monkeypatch):
    monkeypatch.setattr(kept, "make_tables", lambda results: {"models": pd.DataFrame({"a": [1]})})
    tables_of(results, store)
    monkeypatch.setattr(kept, "checksum_of_packages", lambda *packages: "other")
    tables_of(results, store)
    assert len(list((store.folder / "tables").rglob("*.safetensors"))) == 2
