"""Which images and maps a report shows."""

import numpy as np
import pytest

from saq_eval.analysis.selection import PER_GROUP, choose_images, gallery_of
from saq_eval.evaluation.grid import Grid
from tests.analysis.made import N, results_of

NAMES = ["cnn-fp32", "cnn-w2a2", "cnn-fp32-s1", "cnn-w2a2-s1"]


@pytest.fixture
def make_results(make_grid):
    def make(names=NAMES, metrics=("PixelFlipping", "SSIM"), wrong=None):
        return results_of(*make_grid(list(names), lambda *_: 0.5, wrong, metrics=list(metrics)))

    return make


def test_images_are_chosen_by_how_alike_quantized_networks_maps_are(make_results):
    results = make_results()
    for place, name in enumerate(("cnn-w2a2", "cnn-w2a2-s1")):
        results.grid.scores(results.grid.by_name[name], "saliency", "SSIM")[:] = np.arange(N) - place
    groups = choose_images(results.grid)
    assert groups["worst changed"] == list(range(PER_GROUP))
    assert groups["best kept"] == list(range(N - 1, N - 1 - PER_GROUP, -1))


def test_images_without_a_similarity_are_neither_worst_nor_best(make_results):
    results = make_results(["cnn-fp32", "cnn-w2a2"])
    scores = results.grid.scores(results.grid.by_name["cnn-w2a2"], "saliency", "SSIM")
    scores[:] = np.arange(N)
    scores[0] = np.nan
    assert choose_images(results.grid)["worst changed"][0] == 1


def test_images_that_quantization_gets_wrong_are_a_group(make_results):
    lost = "misclassified only when quantized"
    assert choose_images(make_results(wrong={"cnn-w2a2-s1": 3}).grid)[lost] == [0, 1, 2]
    both = make_results(wrong={"cnn-w2a2": 3, "cnn-fp32": 2})  # the baseline gets two of them wrong, too
    assert choose_images(both.grid)[lost] == [2]
    assert lost not in choose_images(make_results().grid)


def test_each_class_shows_its_first_image(make_results):
    results = make_results(["cnn-fp32"], metrics=["PixelFlipping"])
    groups = choose_images(results.grid)
    sample = results.grid.settings.sample
    assert list(groups) == list(sample.class_names)
    for name, (place,) in groups.items():
        label = sample.class_names.index(name)
        assert sample.labels[place] == label and label not in sample.labels[:place]


def test_a_gallery_shows_the_first_seeds_networks_over_the_chosen_images(make_results, monkeypatch):
    maps = np.random.default_rng(0).random((N, 28, 28), dtype=np.float32)
    monkeypatch.setattr(Grid, "maps", lambda self, name, method: maps)
    results = make_results(wrong={"cnn-w2a2": 3})
    shown = gallery_of(results, {"a": [7, 2], "b": [2, 30]})
    assert shown["indices"].tolist() == [2, 7, 30] and shown["groups"] == {"a": [1, 0], "b": [0, 2]}
    assert set(shown["predictions"]) == {"cnn-fp32", "cnn-w2a2", "cnn-fp32 (random weights)"}
    assert shown["predictions"]["cnn-w2a2"][0] != shown["labels"][0]
    np.testing.assert_array_equal(shown["maps"]["cnn-w2a2", "saliency"], maps[[2, 7, 30]])
    similar = results.grid.scores(results.grid.by_name["cnn-w2a2"], "saliency", "SSIM")
    np.testing.assert_array_equal(shown["ssim"]["cnn-w2a2", "saliency"], similar[[2, 7, 30]])
