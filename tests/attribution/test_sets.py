from saq_eval.attribution import METHODS, find_explainers, method_sets


def test_sets():
    labels = [explainer.label for explainer in find_explainers(["quick", "lrp", "occlusion:window=7", "occlusion"])]
    assert labels == ["saliency", "integrated_gradients", "lrp", "occlusion"]
    full = method_sets()["full"]
    assert set(method_sets()["quick"]) < set(method_sets()["standard"]) < set(full)
    assert set(METHODS) - set(full) == {"random", "edges"}
