from dataclasses import fields

import pytest

from saq_eval.evaluation.settings import Subject
from tests.evaluation.made import SUBJECTS, make_settings


def test_a_subject_is_plain_data():
    assert all(type(getattr(subject, each.name)) is str for subject in SUBJECTS for each in fields(Subject))
    assert len(set(SUBJECTS)) == len(SUBJECTS)


def test_what_others_are_compared_with_are_models():
    assert [s.name for s in SUBJECTS if s.is_baseline] == ["fp32", "fp32-s1"]
    assert [s.name for s in SUBJECTS if s.is_fine_tuned] == ["tuned"]


@pytest.mark.parametrize(("role", "controls"), [("model", ["random", "edges"]), ("control", []), ("retrained", [])])
def test_models_alone_are_explained_by_controls(role, controls, digits, tmp_path):
    settings = make_settings(digits, tmp_path)
    assert [e.label for e in settings.methods_of(role)] == ["saliency", "occlusion", *controls]


def test_methods_and_metrics_are_found_by_label(digits, tmp_path):
    settings = make_settings(digits, tmp_path, methods=["occlusion:window=9,stride=9"], metrics=["TopKIoU:k=0.2"])
    assert list(settings.explainer) == ["occlusion:window=9,stride=9", "random", "edges"]
    assert settings.explainer["occlusion:window=9,stride=9"].parameters["window"] == 9
    assert settings.scorer["TopKIoU:k=0.2"].parameters["k"] == 0.2
