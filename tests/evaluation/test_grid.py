"""What was measured, read by network, method and metric."""

import pytest

from saq_eval.evaluation.cells import Cell
from tests.evaluation.made import AGAIN, OTHER, RETRAINED, SUBJECTS, UNTRAINED


def test_a_retrained_network_that_is_a_model_has_that_models_scores(done):
    assert Cell(AGAIN, "saliency", "PointingGame") not in done.cells
    assert done.scores(AGAIN, "saliency", "PointingGame") is done.scores(OTHER, "saliency", "PointingGame")
    assert done.scores(AGAIN, "saliency", "SSIM") is not done.scores(OTHER, "saliency", "SSIM")
    assert done.retrained_of("fp32") == [AGAIN, RETRAINED] and done.retrained_of("fp32-s1") == []
    assert done.control_of("fp32") == UNTRAINED
    with pytest.raises(KeyError):
        done.cell(RETRAINED, "random", "SSIM")


def test_cells_come_in_the_order_of_networks_methods_and_metrics(done):
    keys = [(cell.subject, cell.method, cell.metric) for cell, _ in done.in_order("model")]
    methods, metrics = ["saliency", "occlusion", "random", "edges"], ["PointingGame", "SSIM"]
    order = [(SUBJECTS.index(s), methods.index(method), metrics.index(metric)) for s, method, metric in keys]
    assert order == sorted(order) and len(order) == 4 * 6
    assert {cell.subject.role for cell, _ in done.in_order("control", "retrained")} == {"control", "retrained"}
