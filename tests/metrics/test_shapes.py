"""Every metric on images that are not square, small, or odd: a score, or one sentence before anything is computed."""

import numpy as np
import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError, explain
from saq_eval.metrics import METRICS, find_scorer

QUICK = {
    **dict.fromkeys(("LocalLipschitzEstimate", "MaxSensitivity", "AvgSensitivity", "SmoothMPRT"), "nr_samples=2"),
    **dict.fromkeys((f"Relative{of}Stability" for of in ("Input", "Output", "Representation")), "nr_samples=2"),
    "FaithfulnessCorrelation": "nr_runs=10",
    "ROAD": "percentage_step=25",
}
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


@pytest.fixture(params=[(1, 12, 36), (1, 36, 12), (3, 8, 8), (1, 5, 7), (3, 7, 5), (1, 13, 11)], ids=str)
def task(request, make_task):
    channels, height, width = request.param
    network = nn.Sequential(
        nn.Conv2d(channels, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(3 * height * width, 3)
    )
    images = torch.rand(6, *request.param)
    maps = explain("input_x_gradient", network.eval(), images, LABELS).numpy()
    others = explain("saliency", network, images, LABELS).numpy()
    masks = np.zeros((6, 1, height, width), dtype=bool)
    masks[..., : height // 2, : width // 2] = True
    return make_task(
        network,
        maps,
        baseline_maps=others,
        images=images.numpy(),
        labels=LABELS.numpy(),
        targets=LABELS.numpy(),
        masks=masks,
    )


@pytest.mark.parametrize("name", METRICS)
def test_images_of_any_shape(name, task):
    scorer = find_scorer(f"{name}:{QUICK[name]}" if name in QUICK else name)
    settings = scorer.settings(task.images.shape[1:])  # what cannot be done with the shape is said here
    assert all(value is not None for value in settings.values())
    scores, _ = scorer.score(task)
    low, high = METRICS[name].range
    assert np.isfinite(scores).all() and (scores >= low - 1e-9).all() and (scores <= high + 1e-9).all()


@pytest.mark.parametrize("name", METRICS)
def test_images_of_a_few_pixels_get_scores_or_one_sentence(name, make_task):
    for shape in ((1, 1, 3), (1, 2, 2), (3, 2, 5), (1, 1, 1)):
        network = nn.Sequential(nn.Flatten(), nn.Linear(np.prod(shape), 3)).eval()
        images = torch.rand(6, *shape)
        maps = explain("input_x_gradient", network, images, LABELS).numpy()
        scorer = find_scorer(f"{name}:{QUICK[name]}" if name in QUICK else name)
        try:
            scorer.settings(shape)
        except SaqEvalError:
            continue
        fields = {"images": images.numpy(), "labels": LABELS.numpy(), "targets": LABELS.numpy()}
        masks = np.ones((6, 1, *shape[1:]), dtype=bool)
        masks[..., -1] = False
        assert scorer.score(make_task(network, maps, masks=masks, **fields))[0].shape == (6,)
