"""Shared fixtures: data, and small networks with batch norm statistics that are not trivial."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from saq_eval.attribution import explain
from saq_eval.data import Dataset, load_dataset
from saq_eval.metrics import Task
from saq_eval.networks.architectures import ARCHITECTURES


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Let each test draw the same weights and images in whatever order the tests run."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_dataset("digits", "test")


@pytest.fixture(scope="session")
def data_root() -> str:
    root = os.environ.get("SAQ_EVAL_DATA_ROOT")
    if not root:
        pytest.skip("SAQ_EVAL_DATA_ROOT is not set: no folder with MNIST and FashionMNIST")
    return root


@pytest.fixture(scope="session")
def small_cnn(digits: Dataset) -> nn.Module:
    """An untrained cnn whose batch norm layers have seen digits, in eval mode, for tests that do not change it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ARCHITECTURES["cnn"](channels=(8, 8, 12, 12, 16), hidden=24)
    return settle(network, digits.images[:128])


@pytest.fixture
def cnn(small_cnn: nn.Module) -> nn.Module:
    """The same, for this test alone."""
    return copy.deepcopy(small_cnn)


def settle(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Give batch norm layers running statistics and affine parameters as training would."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.uniform_(module.bias, -0.3, 0.3, generator=generator)
    network.train()
    with torch.no_grad():
        for _ in range(30):
            network(images)
    return network.eval()


def explain_again(network: nn.Module, images: np.ndarray, targets: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Explain as `Task.explain` does, by input × gradient."""
    tensors = (torch.from_numpy(array) for array in (images, targets))
    return explain("input_x_gradient", network, *tensors, indices=indices.tolist()).numpy()


@pytest.fixture
def make_task(digits: Dataset) -> Callable[..., Task]:
    """Build a metric's input for the first test digits, explained by input × gradient; keyword arguments replace fields."""

    def make(network: nn.Module, maps: np.ndarray, **fields) -> Task:
        count = len(maps)
        sample = digits.subset(np.arange(count))
        return Task(
            **{
                "network": network,
                "images": sample.images.numpy(),
                "labels": sample.labels.numpy(),
                "targets": sample.labels.numpy(),
                "masks": sample.masks().numpy(),
                "maps": maps,
                "baseline_maps": maps,
                "indices": sample.indices.numpy(),
                "seed": 0,
                "batch_size": 64,
                "device": "cpu",
                "explain": explain_again,
            }
            | fields
        )

    return make
