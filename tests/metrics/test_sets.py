import pytest

from saq_eval import SaqEvalError
from saq_eval.metrics import METRICS, find_scorer, find_scorers, metric_sets


def test_sets():
    sets = metric_sets()
    assert set(sets["quick"]) < set(sets["standard"]) < set(sets["full"])
    assert {spec.partition(":")[0] for spec in sets["full"]} == set(METRICS)
    hiding = [name for name in METRICS if "fill" in find_scorer(name).parameters]
    assert {f"{name}:fill=blur" for name in hiding} < set(sets["full"]) and len(hiding) >= 9
    assert find_scorer("PixelFlipping:baseline=blur") == find_scorer("PixelFlipping:fill=blur")  # as it was once called
    labels = [scorer.label for scorer in find_scorers(["quick", "SSIM", "TopKIoU:k=0.1", "TopKIoU"])]
    assert labels == [*sets["quick"], "TopKIoU"]
    with pytest.raises(SaqEvalError, match="at least one metric is needed"):
        find_scorers([])


def test_what_hides_has_two_fills():
    sets = metric_sets()
    assert [*sets] == ["quick", "standard", "full"]
    hiding = {spec.partition(":")[0] for spec in sets["standard"]}
    hiding &= {name for name in METRICS if "fill" in find_scorer(name).parameters}
    assert hiding and all({name, f"{name}:fill=blur"} <= {*sets["standard"]} for name in hiding)
    for spec in (*sets["quick"], *sets["standard"]):
        if spec.partition(":")[0] in METRICS:
            assert find_scorer(spec).label == spec
