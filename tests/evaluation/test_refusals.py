"""What cannot be computed is found before anything is."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.evaluation.refusals import check_some_work, find_refusals
from tests.evaluation.made import FP32, SUBJECTS, W2A2, make_settings


class Rounds(nn.Module):
    def forward(self, logits):
        return logits.round(decimals=3)


@pytest.fixture
def settings(digits, tmp_path):
    return make_settings(digits, tmp_path, methods=("saliency", "occlusion"), metrics=("PointingGame", "MPRT"))


def test_methods_and_metrics_are_tried_on_each_network(networks, settings):
    function = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), Rounds()).requires_grad_(False)
    found = find_refusals(SUBJECTS, {**networks, W2A2.identity: function}, settings)
    assert found.methods == {(W2A2.identity, "saliency"): "no gradient reaches the image"}
    nothing = nn.Sequential(nn.Flatten(), nn.AvgPool1d(3, 78))
    found = find_refusals(SUBJECTS, {**networks, W2A2.identity: nothing}, settings)
    assert set(found.metrics) == {(W2A2.identity, "MPRT")} and not found.methods


def test_a_network_that_no_map_of_is_right_is_refused(networks, settings):
    mixing = nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10, track_running_stats=False))
    with pytest.raises(SaqEvalError, match="digits/w2a2: the network mixes the images of a batch"):
        find_refusals(SUBJECTS, {**networks, W2A2.identity: mixing}, settings)


def test_holes_are_warned_of_and_nothing_but_holes_is_refused(networks, settings):
    rounded = {identity: nn.Sequential(network, Rounds()) for identity, network in networks.items()}
    found = find_refusals(SUBJECTS, rounded, settings)
    with pytest.warns(match="saliency cannot explain fp32, tuned, w2a2, fp32-s1: no gradient reaches the image"):
        check_some_work(SUBJECTS, settings, found)
    alone = replace(settings, explainers=settings.explainers[:1])
    with pytest.raises(
        SaqEvalError, match="no method can explain any of the networks; for fp32, saliency: no gradient"
    ):
        check_some_work(SUBJECTS, alone, find_refusals(SUBJECTS, rounded, alone))
    assert FP32.identity in rounded and torch.is_grad_enabled()
