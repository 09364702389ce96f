import re

import pytest

from saq_eval.analysis.tables import TABLES
from saq_eval.attribution import METHODS
from saq_eval.data import DATASETS
from saq_eval.metrics import METRICS
from saq_eval.networks.architectures import ARCHITECTURES
from saq_eval.quantization import SCHEMES
from saq_eval.quantization.quantizers import QUANTIZERS
from tests.cli.process import saq_eval_here

REGISTRIES = {
    "datasets": DATASETS,
    "architectures": ARCHITECTURES,
    "schemes": SCHEMES,
    "quantizers": QUANTIZERS,
    "methods": METHODS,
    "metrics": METRICS,
    "tables": TABLES,
}


def test_methods_say_what_they_cost_and_need(tmp_path):
    lines = {line.split()[0]: line for line in saq_eval_here("methods", cwd=tmp_path).stdout.splitlines()}
    assert re.search(r"integrated_gradients +gradient +quick +signed +32 +no +gradients +n_steps=32,fill=black", lines["integrated_gradients"])  # fmt: skip  # noqa: E501
    assert re.search(
        r"deeplift_shap +rules +full +signed +20 +no +known layers, background images", lines["deeplift_shap"]
    )
    assert re.search(r"edges +control +always +absolute +0 +no +nothing", lines["edges"])
    assert "arXiv 1806.07421" in lines["rise"] and "logits only" in lines["rise"]


def test_passes_and_parameters_are_those_of_the_images_size(tmp_path):
    small, large = (saq_eval_here("methods", *given, cwd=tmp_path).stdout for given in ((), ("--size", "224")))
    assert "passes at 28x28" in small and re.search(r"occlusion .* 65 .*window=7,stride=3,fill=black", small)
    assert "passes at 224x224" in large and re.search(r"occlusion .* 65 .*window=56,stride=24,fill=black", large)
    metrics = saq_eval_here("metrics", "--size", "224", cwd=tmp_path).stdout
    assert "parameters at 224x224" in metrics and re.search(r"PixelFlipping .*features_in_step=3584", metrics)
    refused = saq_eval_here("metrics", "--size", "1", cwd=tmp_path)
    assert refused.returncode == 2 and "--size" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize("what", REGISTRIES)
def test_lists(what, tmp_path):
    registry = REGISTRIES[what]
    done = saq_eval_here(what, cwd=tmp_path)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()][-len(registry) :] == list(registry)
