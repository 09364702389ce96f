"""Networks at chance."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import saq_eval
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.networks.chance import warn_of_chance


@pytest.mark.parametrize(
    ("accuracies", "outputs", "named"),
    [
        ({"a": 0.9, "b": 0.12}, 10, ["b"]),
        ({"a": 0.9, "b": 0.16}, 10, []),  # above 1.5 times chance
        ({"a": 0.25, "b": 0.12}, 10, []),  # nothing is far above chance
        ({"a": 0.09}, 10, ["a"]),
        ({"a": 0.11}, 10, []),
        ({"a": 0.0, "b": 0.1}, 10, ["a", "b"]),
        ({"a": 0.95, "b": 0.34}, 3, ["b"]),  # three times chance would be 1
        ({"a": 0.6, "b": 0.34}, 3, []),
        ({"a": 0.0}, 2, []),
    ],
)
def test_who_is_named(accuracies, outputs, named):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        warn_of_chance(accuracies, 50, outputs)
        warn_of_chance(accuracies, 49, outputs)  # too few images to tell
    assert [str(each.message).partition(" ")[0] for each in said] == named
    assert all("(--classes names the outputs)" in str(each.message) for each in said)


def test_a_comparison_names_the_network_with_other_outputs():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 5
    pixels = rng.random((60, 1, 8, 8), dtype=np.float32) * 0.2
    pixels[np.arange(60), 0, labels] += 0.7
    right = nn.Sequential(nn.Flatten(), nn.Linear(64, 5, bias=False)).eval()
    with torch.no_grad():
        right[1].weight.copy_(torch.eye(5, 8).repeat_interleave(8, dim=1))
    turned = copy.deepcopy(right)
    with torch.no_grad():
        turned[1].weight.copy_(right[1].weight.roll(1, dims=0))
    quick = {"methods": ["saliency"], "metrics": ["SSIM"], "samples": 2, "progress": False, "baseline": "right"}
    with pytest.warns(
        SaqEvalWarning, match="turned is right for 0.0% of 60 images, and right for 100.0%; chance is 20.0%"
    ):
        result = saq_eval.compare((pixels, labels), models={"right": right, "turned": turned}, **quick)
    assert result.models["accuracy"].to_list() == [1.0, 0.0]
