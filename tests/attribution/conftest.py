"""Networks of every kind of layer at several bit widths, and cheap parameters for costly methods."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saq_eval import freeze, quantize
from saq_eval.attribution import METHODS
from saq_eval.networks.architectures import ARCHITECTURES
from saq_eval.training.loop import start_clips_at_quantile
from tests.conftest import settle

SCHEMES = ("fp32", "w4a4", "w2a2")
CHEAP = {
    "integrated_gradients": "integrated_gradients:n_steps=8",
    "smoothgrad": "smoothgrad:n_samples=5",
    "vargrad": "vargrad:n_samples=5",
    "gradient_shap": "gradient_shap:n_samples=5",
    "deeplift_shap": "deeplift_shap:n_background=2",
    "feature_ablation": "feature_ablation:segments=12",
    "kernel_shap": "kernel_shap:n_samples=25,segments=6",
    "lime": "lime:n_samples=20,segments=6",
    "rise": "rise:n_masks=30",
    "occlusion": "occlusion:window=9,stride=9",
}


def cheap(name: str) -> str:
    """Return a method's text with parameters that make it quick."""
    return CHEAP.get(name, name)


class Varied(nn.Module):
    """What the shipped architectures do not have: functions, windows that overlap, ReLU6, a value read by two rectifiers, a linear bottleneck, adaptive pooling."""  # noqa: E501

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(6)
        self.clip = nn.ReLU6()
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, groups=2)
        self.left, self.right = nn.ReLU(inplace=False), nn.ReLU()
        self.conv3 = nn.Conv2d(6, 8, 3, padding=1)
        self.bottleneck = nn.Conv2d(8, 6, 1)
        self.conv4 = nn.Conv2d(6, 8, 3, padding=1)
        self.best = nn.AdaptiveMaxPool2d(3)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(72, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.clip(self.norm1(self.conv1(x))), 3, stride=2, padding=1)
        x = x + self.conv2(x)
        x = self.left(x) + self.right(x)
        x = F.avg_pool2d(F.relu(self.conv3(x)), 2)
        x = F.relu(self.conv4(self.bottleneck(x)))
        return self.fc(self.drop(torch.flatten(self.best(x), 1)))


def build(architecture: str, scheme: str, images: Tensor) -> nn.Module:
    """Return a frozen network with random weights, normalised activations and sensible clips."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if architecture == "varied":
            network = Varied()
        elif architecture == "resnet20":
            network = ARCHITECTURES["resnet20"](width=8)
        else:
            network = ARCHITECTURES["cnn"](channels=(8, 8, 12, 12, 16), hidden=24)
        network = quantize(settle(network, images), scheme)
    start_clips_at_quantile(network.eval(), images)
    return freeze(network)


@pytest.fixture(scope="session")
def built(digits):
    """Return the network of an architecture at a scheme, built once."""
    cache = {}

    def get(architecture, scheme):
        if (architecture, scheme) not in cache:
            cache[architecture, scheme] = build(architecture, scheme, digits.images[:64])
        return cache[architecture, scheme]

    return get


@pytest.fixture(params=[f"{a}-{s}" for a in ("cnn", "resnet20", "varied") for s in SCHEMES])
def network(request, built):
    """A network of each architecture at each bit width."""
    return built(*request.param.split("-"))


@pytest.fixture(params=SCHEMES)
def small(request, built):
    """The small cnn at each bit width."""
    return built("cnn", request.param)


@pytest.fixture
def precise(small):
    """The same in double precision, in which no rounding moves a value over a quantizer's edge."""
    return copy.deepcopy(small).double()


@pytest.fixture
def precise_batch(digits):
    return digits.images[:6].double(), digits.labels[:6]


@pytest.fixture
def batch(digits):
    return digits.images[:6], digits.labels[:6]


@pytest.fixture
def background(digits):
    return digits.images[100:103]


def pytest_generate_tests(metafunc):
    if "method" in metafunc.fixturenames:
        metafunc.parametrize(
            "method", [name for name in METHODS if METHODS[name].attribute.__module__.startswith("saq_eval.")]
        )
