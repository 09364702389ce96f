import dataclasses

import numpy as np

from saq_eval.metrics import find_scorer
from saq_eval.metrics.native import faithfulness


def passes(task, *specs):
    """Return the number of pictures that pass the network while a task is scored by metrics."""
    passed = []
    handle = task.network.register_forward_hook(lambda module, inputs, output: passed.append(len(output)))
    try:
        for spec in specs:
            find_scorer(spec).score(task)
    finally:
        handle.remove()
    return sum(passed)


def test_metrics_that_read_one_curve_share_it(task):
    alone = passes(dataclasses.replace(task), "SymmetricRelevanceGain")
    assert passes(dataclasses.replace(task), "PixelFlipping", "SymmetricRelevanceGain") == alone > 0
    assert passes(dataclasses.replace(task), "Selectivity") > 0
    assert passes(dataclasses.replace(task), "Selectivity", "RegionPerturbation") == passes(task, "Selectivity")


def test_what_does_not_depend_on_the_map_is_computed_once_for_all_methods(task, monkeypatch):
    kept, segmented = {}, []

    def shared(key, compute):
        if key not in kept:
            kept[key] = compute()
        return kept[key]

    segment = faithfulness.superpixels
    monkeypatch.setattr(
        faithfulness, "superpixels", lambda images, count: segmented.append(count) or segment(images, count)
    )
    of_each = [dataclasses.replace(task, maps=maps, shared=shared) for maps in (task.maps, -task.maps)]
    for spec in ("FaithfulnessCorrelation:nr_runs=5", "Infidelity", "NonSensitivity:patch_size=7"):
        assert passes(of_each[0], spec) > 0
        assert passes(of_each[1], spec) == 0
    for one in of_each:
        find_scorer("IROF:segments=9").score(one)
    assert segmented == [9, 9]  # the images, and the images turned


def test_an_image_of_one_segment_has_no_score(task, monkeypatch):
    monkeypatch.setattr(faithfulness, "superpixels", lambda images, count: (images[:, :1] > np.inf).long() * 0)
    assert np.isnan(find_scorer("IROF").score(task)[0]).all()
