"""Comparisons of networks from outside the zoo, from the networks to the report."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.utils.data import TensorDataset

import saq_eval
from saq_eval.core.errors import SaqEvalWarning
from tests.attribution import foreign

pytestmark = pytest.mark.filterwarnings("ignore")  # of the tools that quantize; ours are looked at where they matter

METHODS = ["saliency", "occlusion:window=6,stride=6", "lrp", "gradcam"]
METRICS = ["PixelFlipping", "SSIM"]
GREY = TensorDataset(foreign.IMAGES, foreign.LABELS)
COLOURED = TensorDataset(torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(5)), torch.arange(6) % 5)
NO_GRADIENT = "no gradient reaches the image"
NO_LAYER = "no convolution or rectifier with spatial extent"


def compare(models, images=GREY, **options):
    usual = {"methods": METHODS, "metrics": METRICS, "samples": 2, "progress": False}
    return saq_eval.compare(images, models=models, **({"baseline": "fp32"} | usual | options))


@dataclass(frozen=True)
class Kind:
    """A kind of network, and the start of the reason why methods cannot explain it, by method."""

    make: object
    holes: dict[str, str] = field(default_factory=dict)
    images: TensorDataset = GREY
    parameters: int | None = 10077


class Wrapped(nn.Module):
    """A network whose output is more than logits."""

    def __init__(self, wrap):
        super().__init__()
        self.network, self.wrap = foreign.trained(), wrap

    def forward(self, x):
        return self.wrap(self.network(x))


class Viewed(nn.Module):
    """A network that reads contiguous tensors only."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4 * 144, 5)

    def forward(self, x):
        return self.last(torch.relu(self.conv(x)).view(x.shape[0], -1))


def with_dropout():
    layers = foreign.trained()
    return nn.Sequential(*layers[:6], nn.Dropout(0.5), *layers[6:]).train()


def normed():
    network = foreign.trained()
    parametrizations.weight_norm(network[6])
    return network


def pruned():
    network = foreign.trained()
    prune.l1_unstructured(network[3], "weight", amount=0.3)
    return network


def function():
    network = foreign.trained()
    return lambda images: network(images)


QUANTIZED = {
    "torchao, weights": Kind(lambda: foreign.by_torchao("Int8WeightOnlyConfig")),
    "torchao, dynamic": Kind(
        lambda: foreign.by_torchao("Int8DynamicActivationInt8WeightConfig"),
        {"saliency": NO_GRADIENT, "lrp": NO_GRADIENT, "gradcam": "no gradient reaches the layer"},
    ),
    "torch, FX": Kind(
        foreign.by_fx,
        {"saliency": NO_GRADIENT, "lrp": "no rule for ConvReLU2d", "gradcam": NO_LAYER},
        parameters=None,
    ),
    "torchao, PT2E": Kind(foreign.by_pt2e, {"saliency": NO_GRADIENT, "lrp": "no rule for tensor", "gradcam": NO_LAYER}),
    "Brevitas": Kind(foreign.by_brevitas, {"lrp": "no rule for QuantConv2d"}, parameters=5847),
}
UNUSUAL = {
    "a function": Kind(function, {"lrp": "its layers are not known", "gradcam": NO_LAYER}, parameters=None),
    "training mode": Kind(with_dropout),
    "half precision": Kind(lambda: foreign.trained().half()),
    "a tuple": Kind(lambda: Wrapped(lambda logits: (logits, None))),
    "a dictionary": Kind(lambda: Wrapped(lambda logits: {"loss": None, "logits": logits})),
    "weight norm": Kind(normed, parameters=10077 + 32),
    "pruned": Kind(pruned),
    "a view": Kind(Viewed, parameters=40 + 2885),
    "ViT": Kind(foreign.vit, {"lrp": "no rule for LayerNorm"}, COLOURED, 7941),
    "ConvNeXt": Kind(foreign.convnext, {"lrp": "no rule for LayerNorm2d"}, COLOURED, 3733),
    "EfficientNet": Kind(foreign.efficientnet, {"lrp": "no rule for BatchNorm2d"}, COLOURED, 1279),
}


def state_of(module):
    """Return all that a comparison could change in a module."""
    tensors = {
        name: (type(t), getattr(t, "device", None), getattr(t, "dtype", None), getattr(t, "requires_grad", None))
        + ((t.stride(), t.detach().clone()) if type(t) in (torch.Tensor, nn.Parameter) and not t.is_quantized else ())
        for name, t in module.state_dict(keep_vars=True).items()
    }
    modes = {name: (each.training, type(each)) for name, each in module.named_modules()}
    hooks = {
        f"{name} {kind}": len(value)
        for name, each in module.named_modules()
        for kind, value in vars(each).items()
        if kind.endswith("_hooks") and value is not None
    }
    return tensors, modes, hooks


def assert_unchanged(module, before):
    tensors, modes, hooks = state_of(module)
    assert (modes, hooks) == before[1:] and tensors.keys() == before[0].keys()
    for name, (*facts, value) in tensors.items():
        *were, was = before[0][name]
        assert facts == were, name
        assert torch.equal(value, was) if isinstance(value, torch.Tensor) else value is was or value == was, name


def accuracy(network, images):
    """Return the accuracy of a network, computed without the suite."""
    pixels, labels = images.tensors
    if isinstance(network, nn.Module) and network.training and not isinstance(network, torch.fx.GraphModule):
        network.eval()
    with torch.no_grad():
        half = isinstance(network, nn.Module) and any(p.dtype == torch.half for p in network.parameters())
        out = network(pixels.half() if half else pixels)
    out = out["logits"] if isinstance(out, dict) else out[0] if isinstance(out, (tuple, list)) else out
    return float((torch.as_tensor(np.asarray(out)).argmax(dim=1) == labels).double().mean())


@pytest.mark.parametrize("name", [*QUANTIZED, *UNUSUAL])
def test_a_network_of_every_kind_is_compared_and_stays_as_it_is(name, tmp_path):
    kind = (QUANTIZED | UNUSUAL)[name]
    other = kind.make()
    baseline = foreign.trained() if kind.images is GREY else copy.deepcopy(other)
    given = {n: state_of(net) for n, net in (("fp32", baseline), ("int8", other)) if isinstance(net, nn.Module)}
    result = compare({"fp32": baseline, "int8": other}, kind.images, output=tmp_path / "out")
    for which, before in given.items():
        assert_unchanged({"fp32": baseline, "int8": other}[which], before)

    # Only what the network lacks is missing, and the report says so.
    holes = result.holes[(result.holes["model"] == "int8")]
    assert {(row.method, row.metric) for row in holes.itertuples()} == {
        (method, metric) for method in kind.holes for metric in METRICS
    }
    assert all(row.reason.startswith(kind.holes[row.method]) for row in holes.itertuples()), set(holes["reason"])
    everywhere = set(result.holes["model"]) - {"int8"}  # an architecture, not a tool, is what the method does not know
    assert not everywhere if kind.images is GREY else everywhere == {"fp32", "fp32 (random weights)"}
    scores = result.scores.set_index(["model", "method", "metric"])["score"]
    missing = result.holes.set_index(["model", "method", "metric"]).index
    assert scores[scores.index.isin(missing)].isna().all()
    # A map of zeros, as of a rectified class activation map, has no order of pixels to flip and no SSIM.
    table = result.summary[result.summary["degenerate"] == 0].set_index(["model", "method", "metric"])["n"]
    computed = table[~table.index.isin(missing)]
    assert (computed == 2).all() and {(m, v) for m, v, _ in computed.index} > {("int8", "random"), ("int8", METHODS[1])}
    # For each network: 4 methods × 2 metrics; for models, 2 controls × 1 metric.
    assert len(scores) == 2 * (2 * (4 * 2 + 2) + 4 * 2)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for method in kind.holes:
        assert f"int8 has no scores by {method}" in page or f", {method}" in page

    models = result.models.set_index("model")
    assert models["accuracy"].to_list() == pytest.approx(
        [accuracy(n, kind.images) for n in (baseline, other)], abs=1e-6
    )
    row = models.loc["int8"]
    assert [row[c] for c in ("scheme", "weight_bits", "activation_bits", "training", "first_last_bits")] == [""] * 5
    assert row[["seed", "size_kib", "file_kib", "compression_ratio", "bops"]].isna().all()
    assert row["parameters"] == kind.parameters or (np.isnan(row["parameters"]) and kind.parameters is None)
    assert np.isnan(row["surrogate_gap"]) == (kind.holes.get("saliency") == NO_GRADIENT)


def test_an_onnx_file_and_a_function_of_onnx_runtime_are_scored_alike(tmp_path):
    run = foreign.by_onnxruntime(tmp_path)
    models = {"fp32": foreign.trained(), "file": f"onnx:{tmp_path / 'integers.onnx'}", "function": run}
    # The scale of dynamic quantization depends on the batch, so the function gets one image at a time, as the file does.
    with pytest.warns(SaqEvalWarning, match="^function: images are read one at a time"):
        result = compare(models)
    assert [name for name, each in result.run["models"].items() if each["reads"]] == ["function"]
    table = result.summary[result.summary["method"] == METHODS[1]].set_index(["model", "metric"])["mean"]
    assert table["file"].to_dict() == table["function"].to_dict() and table["file"].notna().all()
    assert set(result.holes["model"]) == {"file", "function"}
    row = result.models.set_index("model").loc["file"]
    assert row["file_kib"] == pytest.approx((tmp_path / "integers.onnx").stat().st_size / 1024)


@pytest.mark.parametrize(
    "wrap",
    [lambda logits: logits, lambda logits: {"logits": logits, "x": 1}, lambda logits: (logits, None)],
    ids=["logits", "a mapping", "a tuple"],
)
def test_a_layer_in_front_hides_no_layer(wrap):
    """Neither a normalisation nor the one that makes grey images of colour images: methods with rules look through them."""
    network, methods = Wrapped(wrap).eval(), ["gradcam", "lrp", "deeplift"]
    plain = compare({"fp32": network}, methods=methods, metrics=["Sparseness"])
    same = compare({"fp32": network}, methods=methods, metrics=["Sparseness"], mean=[0.0], std=[0.999999])
    coloured = TensorDataset(foreign.IMAGES.repeat(1, 3, 1, 1), foreign.LABELS)
    grey = compare({"fp32": network}, coloured, methods=methods, metrics=["Sparseness"])
    for result in (plain, same, grey):
        assert result.holes.empty
    scores = [result.scores.set_index(["model", "method", "sample"])["score"] for result in (plain, same)]
    np.testing.assert_allclose(*scores, atol=1e-3)
