"""That a GPU gives what a processor gives. In double precision, in which no rounding moves a value over a quantizer's edge."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from saq_eval import Recipe, compare, explain, load_dataset
from saq_eval.attribution import METHODS
from saq_eval.metrics import METRICS, find_scorer
from saq_eval.networks.architectures import ARCHITECTURES
from saq_eval.networks.inference import accuracy
from saq_eval.training.loop import fit
from saq_eval.training.precision import step_seconds
from tests.attribution.conftest import SCHEMES, build, cheap

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")


class InDouble(nn.Module):
    """A network that computes in double precision between single-precision pixels and logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).double()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.double()).float()


@pytest.fixture(scope="module")
def networks(digits):
    return {scheme: build("cnn", scheme, digits.images[:64]) for scheme in SCHEMES}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("method", list(METHODS))
def test_a_method_gives_the_same_maps(method, scheme, networks, digits):
    images, targets, background = digits.images[:6].double(), digits.labels[:6], digits.images[100:103].double()

    def maps(device):
        network = copy.deepcopy(networks[scheme]).double().to(device)
        return explain(cheap(method), network, images.to(device), targets.to(device), background=background.to(device))

    cpu, cuda = maps("cpu"), maps("cuda")
    torch.testing.assert_close(cuda, cpu, atol=1e-5 * cpu.abs().max().item(), rtol=1e-5)


@pytest.mark.parametrize("metric", list(METRICS))
def test_a_metric_gives_the_same_scores(metric, networks, digits, make_task):
    network = InDouble(networks["w4a4"]).eval()
    maps = explain("saliency", network, digits.images[:4], digits.labels[:4]).numpy()
    others = explain("saliency", InDouble(networks["fp32"]).eval(), digits.images[:4], digits.labels[:4]).numpy()

    def scores(device):
        def again(network, images, targets, indices):
            tensors = (torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in (images, targets))
            return explain("saliency", network, *tensors, indices=indices).numpy()

        placed = copy.deepcopy(network).to(device)
        return find_scorer(metric).score(make_task(placed, maps, baseline_maps=others, device=device, explain=again))[0]

    np.testing.assert_allclose(scores("cuda"), scores("cpu"), atol=2e-4, rtol=2e-4)


@pytest.fixture(scope="module")
def comparisons():
    def run(device):
        return compare(
            "digits", models=["cnn-fp32", "cnn-w2a2"], methods=["quick"], metrics=["quick"], samples=16, device=device
        )

    return {name: run(name.split()[0]) for name in ("cpu", "cuda", "cuda again")}


def test_a_comparison_is_the_same_every_time(comparisons):
    for name, table in comparisons["cuda"].tables.items():
        pd.testing.assert_frame_equal(table, comparisons["cuda again"].tables[name])
    assert comparisons["cuda"].run["device"] == "cuda"


def test_a_comparison_says_what_it_says_on_a_processor(comparisons):
    cpu, cuda = comparisons["cpu"], comparisons["cuda"]
    # Single precision: where rounding moves a value over a quantizer's edge, an image's score changes; means hardly do.
    np.testing.assert_allclose(cuda.models["accuracy"], cpu.models["accuracy"], atol=2e-3)
    columns = ["model", "method", "metric"]
    both = cpu.summary.merge(cuda.summary, on=columns, suffixes=("", " on cuda"))
    assert len(both) == len(cpu.summary)
    np.testing.assert_allclose(both["mean on cuda"], both["mean"], atol=0.02)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_network_learns(precision, digits):
    torch.manual_seed(0)
    network = ARCHITECTURES["cnn"](channels=(8, 8), pool_after=(1, 2), hidden=16)
    train_set = load_dataset("digits", "train").sample(256, seed=0)
    recipe = Recipe(epochs=6, batch_size=32, learning_rate=0.1, weight_decay=1e-4, precision=precision)
    history = fit(network, train_set, recipe, seed=0, device=torch.device("cuda"))
    assert history[-1].loss < history[0].loss
    assert next(network.parameters()).is_cuda and accuracy(network, digits) > 0.85


def test_precisions_are_timed():
    assert all(0 < seconds < 1 for seconds in step_seconds("cuda").values())
