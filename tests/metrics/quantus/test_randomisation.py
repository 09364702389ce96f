"""What randomisation asks of a method, and what it does to the network."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.metrics.quantus.conftest import COUNT, score


@pytest.mark.parametrize("name", ["MPRT", "RandomLogit"])
def test_random_methods_see_the_same_noise_again(name, noisy):
    np.testing.assert_allclose(score(name, noisy), 1)


def test_random_logit_explains_other_classes(task):
    asked = []

    def remember(network, images, targets, indices):
        asked.extend(targets)
        return task.explain(network, images, targets, indices)

    score("RandomLogit", dataclasses.replace(task, explain=remember))
    assert len(asked) == COUNT and (np.array(asked) != task.targets).all() and len(set(asked)) > 2


def test_randomisation_reaches_all_weights_and_spares_the_network(task):
    before = {name: tensor.detach().clone() for name, tensor in task.network.named_parameters()}
    last = {}

    def remember(network, images, targets, indices):
        last.update({name: tensor.detach().clone() for name, tensor in network.named_parameters()})
        return task.explain(network, images, targets, indices)

    for name in ("MPRT", "EfficientMPRT", "SmoothMPRT"):
        score(name, dataclasses.replace(task, explain=remember))
        changed = {key for key in before if not torch.equal(before[key], last[key])}
        assert changed == {key for key in before if "alpha" not in key}
        assert all(torch.equal(before[key], tensor) for key, tensor in task.network.named_parameters())
