"""What a comparison of networks from outside the zoo refuses, cannot do, and keeps apart."""

import copy

import pytest
import torch
from torch import nn

import saq_eval
from saq_eval import SaqEvalError
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.networks.network import Network
from tests.attribution import foreign
from tests.test_own_networks import GREY, Wrapped, compare, function, normed

pytestmark = pytest.mark.filterwarnings("ignore")

OCCLUSION = "occlusion:window=6,stride=6"
QUICK = {"methods": ["saliency"], "metrics": ["SSIM"]}
LAST = 9  # an image that is not in the sample


def fails_on_one(images):
    if any(torch.equal(image, foreign.IMAGES[LAST]) for image in images.detach()):
        raise OSError("the disk is gone")
    return foreign.trained()(images)


def is_nan_on_one(images):
    logits = foreign.trained()(images)
    one = [torch.equal(image, foreign.IMAGES[LAST]) for image in images.detach()]
    return torch.where(torch.tensor(one)[:, None], torch.nan, logits)


def gradient_free(images):
    return foreign.trained()(images.detach()).detach()


@pytest.mark.parametrize(
    ("other", "options", "message"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(144, 6)), {}, "b has 6 outputs and its baseline fp32 5"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(144, 4)),
            {},
            "the network 'b' has 4 outputs and tensordataset 5 classes",
        ),
        (
            lambda images: foreign.trained()(images) * torch.nan,
            {},
            "the network 'b': the network's logits are not finite",
        ),
        (is_nan_on_one, {}, "the network 'b': the network's logits are not finite"),
        (fails_on_one, {}, "the network 'b': it fails on some of the images: OSError: the disk is gone"),
        (foreign.trained(), {"baseline": "fp23"}, "unknown network 'fp23'; did you mean 'fp32'"),
        (foreign.trained(), {"baseline": None}, "say which network 'fp32' is compared with"),
        (foreign.trained(), {"accuracy_on": 17}, "accuracy_on lies between 1 and 16"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(other, options, message):
    with pytest.raises(SaqEvalError, match=message) as error:
        compare({"fp32": foreign.trained(), "b": other}, **QUICK | options)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_a_name_is_no_sentence():
    with pytest.raises(SaqEvalError, match="a network's name has up to 100 letters.*not 'my int8'"):
        compare({"fp32": foreign.trained(), "my int8": foreign.trained()}, **QUICK)


def test_nothing_but_holes_is_refused():
    with pytest.raises(
        SaqEvalError, match="no method can explain any of the networks; .*: no gradient reaches the image"
    ):
        compare({"fp32": gradient_free}, **QUICK)


def test_a_hole_of_the_baseline_takes_the_similarity_of_the_others_with_it():
    with pytest.warns(SaqEvalWarning, match="saliency cannot explain fp32"):
        result = compare({"fp32": gradient_free, "b": foreign.trained()}, methods=["saliency", OCCLUSION])
    reasons = result.holes.set_index(["model", "method", "metric"])["reason"].to_dict()
    lacks = "no gradient reaches the image"
    assert reasons == {
        ("fp32", "saliency", "PixelFlipping"): lacks,
        ("fp32", "saliency", "SSIM"): lacks,
        ("b", "saliency", "SSIM"): f"fp32 has no maps to compare with: {lacks}",
    }
    # A function has no weights, so it has no control with random weights either.
    assert set(result.scores["model"]) == {"fp32", "b"}


def test_a_network_alone_is_its_own_baseline():
    result = compare({"fp32": foreign.trained()}, baseline=None, **QUICK)
    assert result.models["baseline"].to_list() == ["fp32"] and result.effects.empty


def test_equal_networks_are_equal_and_networks_with_equal_weights_are_not():
    net = foreign.trained()
    rounded = Wrapped(lambda logits: logits)
    other = copy.deepcopy(rounded)
    other.wrap = lambda logits: torch.round(logits)
    result = compare({"fp32": net, "same": net, "plain": rounded, "rounded": other}, methods=[OCCLUSION])
    kl = result.models.set_index("model")["kl"]
    assert kl["same"] == 0 == kl["plain"] < kl["rounded"]
    scores = result.scores.query(f"metric == 'SSIM' and method == '{OCCLUSION}'").groupby("model")["score"].mean()
    assert scores["same"] == pytest.approx(1) and scores["rounded"] < 1


def test_kept_maps_are_those_of_the_same_network(tmp_path):
    fp32, other = foreign.trained(), foreign.trained()
    counts = []
    for change in (0, 0, 0.01):
        with torch.no_grad():
            other[8].weight[0, 0] += change
        maps = compare({"fp32": fp32, "b": other}, **QUICK, output=tmp_path, save_maps=True).run["maps"]
        counts.append((maps["computed"], maps["read"]))
    every = sum(counts[0])
    # Edges are the same for both networks, and computed once.
    assert counts[0] == (every - 1, 1) and counts[1] == (0, every)
    # All is taken but the changed network's own maps, by the method and by random.
    assert counts[2] == (2, every - 2)


@pytest.mark.parametrize("target", ["predicted", "baseline"])
def test_the_explained_class_may_be_a_prediction(target):
    constant = nn.Sequential(foreign.trained(), nn.Linear(5, 5)).eval()
    with torch.no_grad():
        constant[1].bias[:] = torch.tensor([0, 0, 0, 1e4, 0])
    result = compare({"fp32": foreign.trained(), "b": constant}, target=target, **QUICK)
    rows = result.scores[result.scores["model"] == "b"]
    assert set(rows["prediction"]) == {3}
    chosen = set(zip(rows["sample"], rows["target"], strict=True))
    baselines = result.scores[result.scores["model"] == "fp32"]
    assert chosen == set(
        zip(baselines["sample"], baselines["prediction"] if target == "baseline" else [3] * 9, strict=False)
    )


def test_facts_that_are_given_stand_in_the_tables():
    q = Network(
        foreign.trained(), weight_bits=8, activation_bits="8/4", scheme="int8", seed=3, training="standard",
        ideal_bytes=2048, parent="fp32", further_trained=False,
    )  # fmt: skip
    row = compare({"fp32": foreign.trained(), "q": q}, baseline=None, **QUICK).models.set_index("model").loc["q"]
    assert list(row[["weight_bits", "activation_bits", "scheme", "seed", "training"]]) == [
        "8",
        "8/4",
        "int8",
        3,
        "standard",
    ]
    assert row["size_kib"] == 2 and row["compression_ratio"] == pytest.approx(4 * 10077 / 2048)
    assert row["baseline"] == "fp32"


def seeded(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = foreign._fit(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 5)))
    coarse = copy.deepcopy(network)
    with torch.no_grad():
        for weights in coarse.parameters():
            step = weights.abs().max() / 3
            weights.copy_((weights / step).round() * step)
    facts = {"seed": seed, "activation_bits": 32, "training": "standard"}
    return {
        f"fp32-{seed}": Network(network, weight_bits=32, scheme="fp32", kin="fp32", **facts),
        f"w3-{seed}": Network(
            coarse, weight_bits=3, scheme="w3", kin="w3", parent=f"fp32-{seed}", further_trained=False, **facts
        ),
    }


def test_three_networks_of_a_scheme_give_a_verdict_on_the_scheme():
    result = compare({**seeded(0), **seeded(1), **seeded(2)}, baseline=None, methods=["saliency"], samples=4)
    assert set(result.models["baseline"]) == {"fp32-0", "fp32-1", "fp32-2"}
    assert "scheme" in set(result.effects["scope"]), result.effects
    assert result.run["retrained"].keys() == {"fp32-0", "fp32-1", "fp32-2"}


def mean_colour(batch):
    """Mine: how far a pixel is from grey."""
    return (batch.images - 0.5).abs().mean(dim=1, keepdim=True)


def share_above_half(task):
    """Mine: the share of relevance above half of the greatest."""
    return (task.maps > task.maps.max(axis=(1, 2), keepdims=True) / 2).mean(axis=(1, 2))


def test_two_processes_compute_the_same(tmp_path):
    class Local(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = foreign.trained()

        def forward(self, x):
            return self.net(x)

    foreign.by_onnxruntime(tmp_path)
    models = {"fp32": foreign.trained(), "local": Local(), "onnx": f"onnx:{tmp_path / 'integers.onnx'}"}
    asked = {"methods": [mean_colour, "saliency"], "metrics": [share_above_half, "SSIM"]}
    one, two = (compare(models, **asked, workers=workers) for workers in (1, 2))
    assert two.run["workers"] == 2 and not one.holes.empty
    for name, table in one.tables.items():
        assert table.equals(two.tables[name]), name


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "shared"),
    [
        (normed, {"workers": 2}),
        (normed, {"executor": "dask", "scheduler": "tcp://127.0.0.1:1"}),  # nobody listens there, or needs to
        (lambda: torch.jit.script(foreign.trained()), {"workers": 2}),
        (foreign.by_brevitas, {"workers": 2}),
    ],
)
def test_a_network_that_cannot_be_sent_to_another_process_is_computed_in_one(make, shared):
    with pytest.warns(SaqEvalWarning, match="one process does all the work: b cannot be sent to another"):
        result = compare({"fp32": foreign.trained(), "b": make()}, **QUICK, **shared)
    assert result.run["workers"] == 1 and result.summary["mean"].notna().any()


def test_no_file_names_what_was_an_object(tmp_path):
    from saq_eval.evaluation.configuration import read_configuration

    result = compare({"fp32": foreign.trained(), "b": function()}, **QUICK, output=tmp_path)
    assert result.run["command"].startswith("saq_eval.compare(<TensorDataset>, models=['fp32=<Sequential>'")
    with pytest.raises(SaqEvalError, match=r"run.json: <TensorDataset> was given as an object in Python; no file"):
        read_configuration(tmp_path / "run.json")
    assert len(saq_eval.Comparison.read(tmp_path).models) == 2 and len(GREY) == 16
