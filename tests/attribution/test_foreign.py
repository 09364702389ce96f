"""What all methods make of networks of other tools: each works, or is refused for a named reason."""

import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError, explain
from saq_eval.attribution import METHODS, find_explainer, refusal
from saq_eval.core.errors import Unsupported
from tests.attribution import foreign
from tests.attribution.conftest import cheap

OURS = [name for name, method in METHODS.items() if method.attribute.__module__.startswith("saq_eval.")]
LOGITS_ONLY = {name for name in OURS if METHODS[name].family in ("perturbation", "control")}
GRADIENT = {name for name in OURS if METHODS[name].family == "gradient"}

QUANTIZED = {
    "torchao, weights": (lambda: foreign.by_torchao("Int8WeightOnlyConfig"), set(OURS)),
    "torchao, dynamic": (lambda: foreign.by_torchao("Int8DynamicActivationInt8WeightConfig"), LOGITS_ONLY),
    "torch, FX": (foreign.by_fx, LOGITS_ONLY),
    "torchao, PT2E": (foreign.by_pt2e, LOGITS_ONLY),
    "torch, exported": (foreign.exported, LOGITS_ONLY | GRADIENT),
    "Brevitas": (foreign.by_brevitas, LOGITS_ONLY | GRADIENT | {"gradcam"}),
    "ONNX Runtime": (foreign.by_onnxruntime, LOGITS_ONLY),
}
ARCHITECTURES = {
    "vit": (foreign.vit, "no rule for LayerNorm (encoder.layers.encoder_layer_0.ln_1 and 4 more)"),
    "timm": (foreign.timm_vit, "no rule for LayerNorm (blocks.0.norm1 and 4 more)"),
    "swin": (foreign.swin, "no rule for LayerNorm (features.0.2 and "),
    "convnext": (foreign.convnext, "no rule for LayerNorm2d (features.0.1 and 2 more), LayerNorm ("),
    "efficientnet": (foreign.efficientnet, "no rule for "),
    "mobilenet": (foreign.mobilenet, "no rule for "),
    "densenet": (foreign.densenet, "no rule for "),
}


def spec_of(name):
    return "occlusion:window=6,stride=6" if name == "occlusion" else cheap(name)


def what_works(network, images, targets, asked=True):
    """Return the methods that explain a network, and the reasons of the others; if asked, `refusal` has to say the same."""
    works, reasons = set(), {}
    for name in OURS:
        given = network, images, targets
        try:
            assert explain(spec_of(name), *given, background=images).any()
        except Unsupported as error:
            reasons[name] = error.reason
            assert len(error.reason) < 200 and "\n" not in str(error) and str(error).startswith(f"{name}: ")
        else:
            works.add(name)
        if asked:
            assert refusal(find_explainer(spec_of(name)), *given, images) == reasons.get(name), name
    return works, reasons


@pytest.mark.filterwarnings("ignore")  # that torch.ao will move
@pytest.mark.parametrize("tool", QUANTIZED)
def test_networks_quantized_by_others(tool, tmp_path):
    quantize, expected = QUANTIZED[tool]
    network = quantize(tmp_path) if tool == "ONNX Runtime" else quantize()
    works, reasons = what_works(network, foreign.IMAGES[:2], foreign.LABELS[:2])
    assert works == expected
    if not expected & GRADIENT:
        assert {reasons[name] for name in GRADIENT} == {"no gradient reaches the image"}


def test_integer_weights_are_explained_as_the_floats_that_they_stand_for():
    integers, floats = foreign.by_torchao("Int8WeightOnlyConfig"), foreign.trained()
    for place in (6, 8):
        floats[place].weight = nn.Parameter(integers[place].weight.dequantize())
    for name in ("saliency", "integrated_gradients", "guided_backprop", "deeplift", "lrp", "lrp_epsilon", "gradcam"):
        maps = [explain(name, network, foreign.IMAGES[:3], foreign.LABELS[:3]) for network in (integers, floats)]
        torch.testing.assert_close(maps[0], maps[1], atol=1e-4 * maps[1].abs().max().item(), rtol=1e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("make", [foreign.by_fx, lambda: foreign.by_torchao("Int8WeightOnlyConfig"), foreign.by_pt2e])
def test_noise_is_the_same_each_time_and_another_for_another_network(make):
    images, labels = foreign.IMAGES[:1], foreign.LABELS[:1]
    first, again, other = (
        explain("random", network, images, labels) for network in (make(), make(), foreign.trained())
    )
    assert torch.equal(first, again) and not torch.allclose(first, other)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_of_others(name):
    make, reason = ARCHITECTURES[name]
    works, reasons = what_works(make(), foreign.PICTURES, torch.tensor([0, 4]), asked=False)
    assert works == LOGITS_ONLY | GRADIENT | {"gradcam"}
    assert all(theirs.startswith(reason) for theirs in reasons.values()), reasons


def test_a_mistake_in_a_network_is_no_lack_of_it():
    broken = nn.Sequential(nn.Flatten(), nn.Linear(100, 5)).eval()
    with pytest.raises(SaqEvalError, match="cannot read images") as error:
        refusal(find_explainer("saliency"), broken, foreign.IMAGES[:2], foreign.LABELS[:2])
    assert not isinstance(error.value, Unsupported)
