"""Predictions, and the classes that maps explain."""

import numpy as np

from saq_eval.evaluation.planning import Jobs
from saq_eval.evaluation.predicting import choose_targets
from tests.evaluation.made import FP32, RETRAINED, SUBJECTS, UNTRAINED, W2A2, make_settings, make_shared, run_jobs


def test_which_classes_maps_explain():
    labels, predictions = (
        np.array([1]),
        {"fp32": np.array([2]), "w2a2": np.array([3]), "fp32 (random weights)": np.array([4])},
    )

    def chosen(subject, policy):
        return choose_targets(subject, policy, labels, predictions).item()

    assert {chosen(s, "label") for s in SUBJECTS} == {1}
    assert [chosen(s, "predicted") for s in (FP32, W2A2, UNTRAINED, RETRAINED)] == [2, 3, 2, 2]
    assert [chosen(s, "baseline") for s in (FP32, W2A2, UNTRAINED, RETRAINED)] == [2, 2, 2, 2]


def test_accuracy_on_some_images_leaves_the_samples_predictions_as_they_are(done, networks, digits, tmp_path):
    settings = make_settings(digits, tmp_path)
    jobs = Jobs([], {})
    some = run_jobs(make_shared(digits, settings, networks), jobs, measured=range(10, 14))
    assert some.logits["fp32"].shape == (4, 10) and len(some.test_labels) == 4
    np.testing.assert_array_equal(some.test_labels, digits.labels[10:14])
    for name, predictions in done.predictions.items():
        np.testing.assert_array_equal(some.predictions[name], predictions)
        np.testing.assert_allclose(some.logits[name], done.logits[name][10:14], atol=1e-5)
