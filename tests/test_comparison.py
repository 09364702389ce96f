import copy
import json
import re
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

import saq_eval
from saq_eval import SaqEvalError
from saq_eval.analysis.tables import TABLES, checked
from saq_eval.attribution import find_explainers
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.data import DATASETS, Dataset
from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.executors import Here
from saq_eval.evaluation.how import How
from saq_eval.evaluation.planning import plan_jobs
from saq_eval.evaluation.running import Work, run
from saq_eval.evaluation.scoring import _Scoring
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.evaluation.shared import Shared
from saq_eval.evaluation.store import make_store
from saq_eval.metrics import find_scorer, find_scorers, metric_sets
from saq_eval.zoo import random_weights

MODEL = ["dataset", "model", "scheme", "weight_bits", "activation_bits", "training", "seed", "role"]
SCORES = [*MODEL, "method", "metric", "category", "sample", "label", "prediction", "target", "score"]
EFFECT = ["delta", "delta_ci_low", "delta_ci_high", "p_value", "p_adjusted", "effect_size", "margin", "p_equivalence", "verdict", "retrained", "retraining_low", "retraining_high", "retraining", "networks_needed", "images_needed"]  # fmt: skip  # noqa: E501
SUMMARY = [*MODEL, "method", "metric", "category", "scope", "mask", "higher_is_better", "degenerate", "n", "mean", "ci_low", "ci_high", "baseline", *EFFECT, "chance", "corrected", "floor", "noise"]  # fmt: skip  # noqa: E501
CONTROLS = [*MODEL, "method", "metric", "category", "scope", "higher_is_better", "control", "n", "mean", "control_mean", "difference", "ci_low", "ci_high", "p_value", "p_adjusted", "verdict"]  # fmt: skip  # noqa: E501
FILES = {*(f"{name}.csv" for name in TABLES), "report.html", "run.json", "gallery.npz"}
# By default the metric draws a hundred times and the method 25 times, and the network's passes for them take most of the
# time. Of noise the metric tells maps by 30 draws; where values do not matter, a few do.
FAITHFULNESS, SMOOTHGRAD = "FaithfulnessCorrelation:nr_runs=30", "smoothgrad:n_samples=8"
QUICK = {"methods": ["saliency", SMOOTHGRAD], "metrics": [FAITHFULNESS, "PointingGame", "SSIM"]}
QUICKER = {
    "methods": ["saliency", "smoothgrad:n_samples=2"],
    "metrics": ["FaithfulnessCorrelation:nr_runs=5", "PointingGame", "SSIM"],
}


def score_ssim(task):
    return find_scorer("SSIM").score(task)[0]


@pytest.fixture(scope="module")
def result():
    return saq_eval.compare("digits", models=["cnn-w2a2", "cnn-mixed-sgt"], samples=20, progress=False, **QUICK)


def test_frames(result):
    # Each one's baseline takes part, and that baseline trained on in full precision.
    models = ["cnn-fp32", "cnn-fp32-ft", "cnn-w2a2", "cnn-fp32-sgt", "cnn-fp32-ft-sgt", "cnn-mixed-sgt"]
    untrained = ["cnn-fp32 (random weights)", "cnn-fp32-sgt (random weights)"]  # and its architecture, untrained
    # Models: 2 methods x 3 metrics, 2 controls x 2 metrics; random weights: 2 methods x 3 metrics.
    assert list(result.scores.columns) == SCORES and len(result.scores) == (6 * (2 * 3 + 2 * 2) + 2 * 2 * 3) * 20
    assert list(result.summary.columns) == SUMMARY and len(result.summary) == 6 * (2 * 3 + 2 * 2) + 2 * 2 * 3
    assert list(result.models["model"]) == models
    assert list(dict.fromkeys(result.scores["model"])) == models + untrained
    assert list(result.models["baseline"]) == ["cnn-fp32"] * 3 + ["cnn-fp32-sgt"] * 3
    assert list(result.models["fine_tuned"]) == [
        "",
        "cnn-fp32-ft",
        "cnn-fp32-ft",
        "",
        "cnn-fp32-ft-sgt",
        "cnn-fp32-ft-sgt",
    ]
    assert result.summary["mean"].notna().all()
    assert list(result.models["weight_bits"]) == ["32", "32", "2", "32", "32", "4/2"]
    for table in (result.summary, result.effects):  # which mask localisation was scored by
        assert set(table["mask"][table["category"] == "localisation"]) == {"Otsu"}
        assert set(table["mask"][table["category"] != "localisation"]) == {""}
    assert re.fullmatch(r"Gallery\(\d+ images, \d+ networks, \d+ maps\)", repr(result.gallery))
    assert result.run["masks"] == {"kind": "Otsu", "images": 20, "without": 0, "reason": ""}
    for table in (result.scores, result.summary):
        real = ~table["model"].isin(untrained) & ~table["method"].isin(["random", "edges"])
        assert (table["role"] == np.where(real, "model", "control")).all()


def test_controls(result):
    table = result.controls
    assert list(table.columns) == CONTROLS
    # Noise and edges: 6 models x 2 methods x 2 metrics, and SSIM for the 4 models that are no baselines; random weights:
    # 2 baselines x 2 methods x 2 metrics, and SSIM as above.
    assert table["control"].value_counts().to_dict() == {"random": 32, "edges": 32, "random weights": 8 + 8}
    scores = result.scores.set_index(["model", "method", "metric", "sample"])["score"]
    for row in table[table["metric"] != "SSIM"].itertuples():
        if row.control == "random weights":
            control = scores[f"{row.model} (random weights)", row.method, row.metric]
        else:
            control = scores[row.model, row.control, row.metric]
        difference = scores[row.model, row.method, row.metric] - control
        assert row.difference == pytest.approx(difference.mean(), abs=1e-12) and row.n == 20
        assert row.control_mean == pytest.approx(control.mean()) and row.ci_low <= row.difference <= row.ci_high
        assert (row.ci_low > 0 or row.ci_high < 0) == (row.p_value < 0.05) and row.p_value <= row.p_adjusted
        better = (row.difference > 0) == row.higher_is_better
        assert row.verdict == (("better" if better else "worse") if row.p_adjusted < 0.05 else "unclear")
    noise = table[(table["control"] == "random") & (table["metric"] == FAITHFULNESS)]
    assert (noise["verdict"] == "better").sum() >= 8 and not (noise["verdict"] == "worse").any()
    assert (table[(table["metric"] == "SSIM") & (table["control"] == "random")]["verdict"] == "better").all()


def test_a_similarity_controls_map_is_compared_with_the_baselines(result, make_task):
    test_set = saq_eval.load_dataset("digits")
    cell = result.scores.query("model == 'cnn-w2a2' and method == 'saliency' and metric == 'SSIM'")
    chosen = test_set.subset(cell["sample"].to_numpy().copy())
    network = saq_eval.load_model("digits", "cnn-fp32").network
    edges, maps = (saq_eval.explain(m, network, chosen.images, chosen.labels).numpy() for m in ("edges", "saliency"))
    expected = score_ssim(make_task(None, edges, baseline_maps=maps)).mean()
    row = result.controls.query(
        "model == 'cnn-w2a2' and method == 'saliency' and metric == 'SSIM' and control == 'edges'"
    )
    assert row["control_mean"].item() == pytest.approx(expected, abs=1e-4)


def test_the_surrogate_gap_grows_as_bits_go(result):
    gaps = result.models.set_index("model")["surrogate_gap"]
    assert 0 <= gaps["cnn-fp32"] < 0.02 < 0.1 < gaps["cnn-mixed-sgt"] < gaps["cnn-w2a2"] < 1
    model = saq_eval.load_model("digits", "cnn-w2a2")
    chosen = saq_eval.load_dataset("digits").subset(result.scores["sample"].iloc[:20].to_numpy().copy())
    maps = saq_eval.explain("integrated_gradients", model.network, chosen.images, chosen.labels)
    with torch.no_grad():
        change = model.network(chosen.images) - model.network(torch.zeros_like(chosen.images))
    rise = change.gather(1, chosen.labels[:, None])[:, 0]
    expected = (maps.sum(dim=(1, 2)) - rise).abs().sum() / rise.abs().sum()
    assert gaps["cnn-w2a2"] == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize("target", ["label", "predicted", "baseline"])
def test_target_policies(target, tmp_path):
    """Two networks that differ in an output's bias predict different classes, and have the same gradients."""
    model = saq_eval.load_model("digits", "cnn-fp32")
    biased = copy.deepcopy(model.network)
    with torch.no_grad():
        biased.fc2.bias += 12 * torch.nn.functional.one_hot(torch.tensor(3), 10)
    sample = saq_eval.load_dataset("digits").sample(16, 0)
    # The sample takes the place of the test set, where its images have other positions.
    shown = replace(sample, indices=torch.arange(16), positions=torch.arange(16))
    settings = Settings(
        shown,
        find_explainers(["saliency"]),
        find_scorers(["PointingGame", "SSIM"]),
        0,
        8,
        "cpu",
        None,
        make_store(tmp_path).folder,
    )
    names = ("cnn-fp32", "biased", "untrained")
    networks = (model.network, biased, random_weights(model, 7))
    subjects = [
        Subject(name, name, "cnn-fp32", role) for name, role in zip(names, ("model", "model", "control"), strict=True)
    ]
    shared = Shared(settings, dict(zip(names, networks, strict=True)), sample)
    jobs = plan_jobs(subjects, settings, target)
    work = Work(subjects, shared, jobs, np.arange(len(sample)), target)
    grid = run(work, How(Here()), Clock(), lambda description, passes: None)
    with torch.no_grad():
        predicted = {
            name: network(sample.images).argmax(1).numpy() for name, network in zip(names, networks, strict=True)
        }
    labels = sample.labels.numpy()
    assert (predicted["biased"] != predicted["cnn-fp32"]).sum() >= 2
    expected = {
        "label": dict.fromkeys(names, labels),
        "predicted": {**predicted, "untrained": predicted["cnn-fp32"]},
        "baseline": dict.fromkeys(names, predicted["cnn-fp32"]),
    }[target]
    for subject in subjects:
        np.testing.assert_array_equal(grid.targets[subject], expected[subject.name])
    # Similarity compares maps of one class, whatever the two networks predict; with another class it would not be 1.
    np.testing.assert_allclose(grid.scores(subjects[1], "saliency", "SSIM"), 1.0, atol=1e-4)
    maps = grid.maps("biased", "saliency")
    expected_maps = saq_eval.explain("saliency", biased, sample.images, torch.from_numpy(expected["biased"].copy()))
    np.testing.assert_allclose(maps, expected_maps, atol=1e-5)


def test_every_model_sees_the_same_images_and_classes(result):
    per_cell = result.scores.groupby(["model", "method", "metric"])
    assert (result.scores["target"] == result.scores["label"]).all()
    columns = [tuple(group["sample"]) + tuple(group["label"]) for _, group in per_cell]
    assert len(set(columns)) == 1
    test_set = saq_eval.load_dataset("digits")
    first = result.scores.head(20)
    assert test_set.labels[first["sample"].tolist()].tolist() == first["label"].tolist()
    network = saq_eval.load_model("digits", "cnn-fp32").network
    predicted = network(test_set.images[first["sample"].tolist()]).argmax(1)
    assert predicted.tolist() == first["prediction"].tolist()


def test_summary_agrees_with_scores(result):
    assert (result.summary["degenerate"] == 0).all()
    wide = result.scores.pivot_table(index=["model", "method", "metric"], columns="sample", values="score")
    for row in result.summary.itertuples():
        ours, baseline = (wide.loc[(name, row.method, row.metric)] for name in (row.model, row.baseline))
        assert row.mean == pytest.approx(ours.mean()) and row.n == 20
        similar = row.metric == "SSIM"
        reference = row.floor if similar and row.model != row.baseline else baseline.mean()
        assert row.delta == pytest.approx(ours.mean() - reference, abs=1e-12)
        assert row.ci_low <= row.mean <= row.ci_high and row.delta_ci_low <= row.delta <= row.delta_ci_high
        assert (row.scope, row.verdict) == ("network", "too few images")  # 20, where it takes 30
        assert np.isnan([row.corrected, row.floor]).all() == (not similar)
        assert np.isnan(row.noise) == (not similar or row.role == "control")
        if similar:
            assert row.corrected == pytest.approx((row.mean - row.chance) / (1 - row.chance))
            assert row.chance < row.floor < 1
        if row.model == row.baseline:
            assert row.delta == row.delta_ci_low == row.delta_ci_high == 0 and row.retraining == ""
            assert not similar or row.mean == 1
        elif row.effect_size:
            spread = row.delta / row.effect_size
            assert similar or spread == pytest.approx(baseline.std(), rel=1e-6)


def test_similarity_is_to_the_baselines_map_of_the_same_image(result, make_task):
    test_set = saq_eval.load_dataset("digits")
    cell = result.scores.query("model == 'cnn-w2a2' and method == 'saliency' and metric == 'SSIM'")
    chosen = test_set.subset(cell["sample"].to_numpy().copy())
    maps = [
        saq_eval.explain("saliency", saq_eval.load_model("digits", name).network, chosen.images, chosen.labels).numpy()
        for name in ("cnn-w2a2", "cnn-fp32")
    ]
    expected = score_ssim(make_task(None, maps[0], baseline_maps=maps[1]))
    np.testing.assert_allclose(cell["score"], expected, atol=1e-4)


def test_models_frame(result):
    frame = result.models.set_index("model")
    full, small = frame.loc["cnn-fp32"], frame.loc["cnn-w2a2"]
    assert full["parameters"] == 147_002 and full["size_kib"] == pytest.approx(147_002 * 4 / 1024)
    assert full["compression_ratio"] == 1 and full["accuracy_delta"] == 0
    # Codes: hidden layers at 2 bits, first and last at 8; besides scales (one per channel), biases, clips.
    hidden, ends, channels = 24 * 32 * 9 + 32 * 32 * 9 + 32 * 64 * 9 + 64 * 64 * 9 + 576 * 128, 216 + 1280, 354
    size = hidden / 4 + ends + 4 * (2 * channels + 6)
    assert small["size_kib"] == pytest.approx(size / 1024)
    assert small["accuracy_delta"] == pytest.approx(small["accuracy"] - full["accuracy"])


def test_the_same_command_writes_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        saq_eval.compare("digits", models=["cnn-w4a4"], samples=5, output=tmp_path / folder, progress=False, **QUICKER)
    assert {file.name for file in (tmp_path / "a").iterdir()} == FILES | {"store"}
    for name in (f"{table}.csv" for table in TABLES):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    few = {"methods": ["saliency"], "metrics": ["PointingGame"]}
    other = saq_eval.compare("digits", models=["cnn-fp32"], samples=5, seed=1, progress=False, **few)
    samples = pd.read_csv(tmp_path / "a" / "scores.csv")["sample"]
    assert set(other.scores["sample"]) != set(samples)


def test_scores_depend_neither_on_batch_size_nor_on_workers_nor_on_the_order_of_models_and_methods():
    short = {"FaithfulnessCorrelation": ":nr_runs=10", "PixelFlipping": ":features_in_step=112"}
    metrics = [name + short.get(name, "") for name in metric_sets()["quick"]]

    def scores(**arguments):
        arguments = {"methods": ["saliency", "smoothgrad:n_samples=2"], "metrics": metrics} | arguments
        frame = saq_eval.compare("digits", samples=3, progress=False, **arguments).scores
        return frame.set_index(["model", "method", "metric", "sample"])["score"].sort_index()

    reference = scores(models=["cnn-w2a2", "cnn-w4a4"])
    assert reference.index.get_level_values("metric").nunique() == len(metrics)
    shared = scores(models=["cnn-w4a4", "cnn-w2a2"], methods=["smoothgrad:n_samples=2", "saliency"], workers=2)
    pd.testing.assert_series_equal(shared, reference, check_exact=True)
    for batch_size in (1, 2):  # sums in floating point depend on the batch
        fewer = scores(models=["cnn-w2a2"], batch_size=batch_size)
        pd.testing.assert_series_equal(fewer, reference.loc[fewer.index], atol=2e-3)


def test_what_is_computed_is_kept_and_another_metric_is_computed_alone(tmp_path, monkeypatch):
    arguments = {"models": ["cnn-w4a4"], "methods": ["saliency", "smoothgrad"], "samples": 4, "progress": False}
    first = saq_eval.compare("digits", metrics=["SSIM", "PointingGame"], output=tmp_path, save_maps=True, **arguments)
    # Three networks by two methods, random weights and four retrained networks too; random of three, and edges once.
    computed, edges = 3 * 2 + 2 + 4 * 2 + 3 + 1, 2
    assert first.run["maps"] == {"kept": True, "computed": computed, "read": edges}
    assert first.run["cells"]["stored"] == 0
    files = {str(path.relative_to(tmp_path / "maps")) for path in (tmp_path / "maps").rglob("*.safetensors")}
    assert "cnn-w4a4/smoothgrad.safetensors" in files and "cnn-fp32 (random weights)/saliency.safetensors" in files
    assert load_file(tmp_path / "maps" / "cnn-w4a4" / "saliency.safetensors")["maps"].shape == (4, 28, 28)

    def refuse(*args, **kwargs):
        raise AssertionError("a map was computed")

    monkeypatch.setattr("saq_eval.evaluation.maps.explain", refuse)
    again = saq_eval.compare("digits", metrics=["Spearman", "SSIM"], output=tmp_path, save_maps=True, **arguments)
    assert again.run["maps"] == {"kept": True, "computed": 0, "read": computed + edges}
    similar = 3 * 2 + 2 + 4 * 2
    assert again.run["cells"] == {"computed": similar, "stored": similar}  # by Spearman, and by SSIM
    # All but what is adjusted to the whole table, which is another.
    adjusted = ["p_adjusted", "p_equivalence", "verdict"]
    tables = [
        result.summary.query("metric == 'SSIM'").drop(columns=adjusted).reset_index(drop=True)
        for result in (first, again)
    ]
    pd.testing.assert_frame_equal(*tables)
    with pytest.raises(SaqEvalError, match="every cell has failed, such as .*a map was computed"):  # other images
        saq_eval.compare("digits", metrics=["SSIM"], output=tmp_path, save_maps=True, seed=1, **arguments)


def test_maps_for_the_surrogate_gap_are_computed_once():
    run = saq_eval.compare(
        "digits", models=["cnn-fp32"], methods=["integrated_gradients"], metrics=["SSIM"], samples=3, progress=False
    ).run
    # The model's and its controls', those by random weights and by four retrained networks.
    assert run["maps"] == {"kept": False, "computed": 3 + 1 + 4, "read": 0}


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    arguments = {"models": ["cnn-w4a4"], "methods": ["saliency", "lrp"], "metrics": ["SSIM"], "samples": 4}
    arguments |= {"output": tmp_path, "progress": False}
    calls = []

    def counted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return saq_eval.explain(*args, **kwargs)

    monkeypatch.setattr("saq_eval.evaluation.maps.explain", counted)
    with pytest.raises(KeyboardInterrupt):
        saq_eval.compare("digits", **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    interrupted = {path: path.stat() for path in (tmp_path / "store").rglob("*.safetensors")}
    assert len([path for path in interrupted if "/maps/" in str(path)]) == 5
    run = saq_eval.compare("digits", **arguments).run
    assert run["cells"]["stored"] > 0 and run["maps"]["read"] >= 2
    assert all(path.stat().st_ino == about.st_ino for path, about in interrupted.items())


def test_a_report_is_made_of_what_has_not_failed(tmp_path, monkeypatch):
    """Half of the cells and a tenth of the maps fail, in no order."""
    compute, own_maps = _Scoring._compute, _Scoring._own_maps

    def fails(scoring, part, share):
        what = f"{scoring.job.subject.name} {scoring.job.subject.role} {scoring.job.method} {part}"
        if zlib.crc32(what.encode()) % 100 < share:
            raise ValueError("no luck")

    def sometimes(self, label, maps):
        fails(self, label, 50)
        return compute(self, label, maps)

    def seldom(self):
        fails(self, "maps", 10)
        return own_maps(self)

    monkeypatch.setattr(_Scoring, "_compute", sometimes)
    monkeypatch.setattr(_Scoring, "_own_maps", seldom)
    arguments = {"models": ["cnn-w2a2", "cnn-w4a4"], "methods": ["saliency", "input_x_gradient"], "progress": False}
    arguments |= {"metrics": ["SSIM", "PointingGame", "PixelFlipping"], "samples": 6, "output": tmp_path}
    with pytest.warns(
        SaqEvalWarning, match=r"\d+ of \d+ cells have failed and are holes, such as .*no luck; the same command"
    ):
        result = saq_eval.compare("digits", **arguments)
    failed = result.run["failed"]
    assert result.run["cells"]["computed"] > 20 and len(failed) > 20
    assert {cell["reason"] for cell in failed} == {"failed: ValueError: no luck"}
    assert "no luck" in (tmp_path / "report.html").read_text()
    holes = result.holes[["model", "method", "metric"]].itertuples(index=False)
    assert {(h.model, h.method, h.metric) for h in holes} <= {(c["model"], c["method"], c["metric"]) for c in failed}
    monkeypatch.undo()
    again = saq_eval.compare("digits", **arguments)
    assert again.run["failed"] == [] and again.run["cells"]["computed"] == len(failed)
    whole = saq_eval.compare("digits", **{**arguments, "output": None})
    for name, table in whole.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_dtype=not table.empty)


def test_methods_with_parameters_are_columns_of_their_own():
    result = saq_eval.compare(
        "digits",
        models=["cnn-w2a2"],
        methods=["occlusion:window=9,stride=9", "occlusion:stride=9,window=9", "occlusion:window=14,stride=7"],
        metrics=["PointingGame"],
        samples=3,
        progress=False,
    )
    labels = ["occlusion:window=9,stride=9", "occlusion:window=14,stride=7", "random", "edges"]
    assert list(dict.fromkeys(result.summary["method"])) == labels == list(result.run["methods"])
    assert result.run["methods"][labels[0]]["parameters"] == {"window": 9, "stride": 9, "fill": "black"}
    assert labels[0] in result.run["command"]


def test_typical_images_come_from_the_training_set():
    arguments = {"models": ["cnn-fp32"], "methods": ["deeplift_shap:n_background=4"], "samples": 3, "progress": False}
    result = saq_eval.compare("digits", metrics=["PointingGame"], **arguments)
    assert result.summary["mean"].notna().all()
    assert result.controls["control"].unique().tolist() == ["random", "edges", "random weights"]


def test_a_model_with_a_layer_without_a_rule_leaves_a_hole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "group_nets.py").write_text(
        "from torch import nn\n"
        "def net(): return nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(), nn.Linear(2704, 10))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from group_nets import net
    from safetensors.torch import save_file

    save_file(net().state_dict(), tmp_path / "weights.safetensors")
    saq_eval.add_model("digits", "grouped", tmp_path / "weights.safetensors", "group_nets:net", zoo=tmp_path / "zoo")
    arguments = {"models": ["grouped"], "zoo": tmp_path / "zoo", "trust_code": True, "samples": 2, "progress": False}
    with pytest.raises(SaqEvalError, match=r"no method can explain any of the networks; for grouped, lrp: no rule for"):
        saq_eval.compare("digits", methods=["lrp"], output=tmp_path / "report", **arguments)
    assert not (tmp_path / "report").exists()
    with pytest.warns(SaqEvalWarning, match=r"lrp cannot explain grouped: no rule for GroupNorm"):
        result = saq_eval.compare("digits", methods=["saliency", "lrp"], metrics=["PointingGame"], **arguments)
    assert (
        set(result.holes["method"]) == {"lrp"} and result.holes["reason"].str.startswith("no rule for GroupNorm").all()
    )
    assert set(result.summary["model"]) == {"grouped", "grouped (random weights)"}
    assert result.run["command"].endswith("--trust-code")  # without it the command would be refused


def test_degenerate_maps_are_counted_and_not_scored(monkeypatch):
    def sometimes_constant(explainer, network, images, targets, **kwargs):
        maps = saq_eval.explain(explainer, network, images, targets, **kwargs)
        if explainer.label == "saliency":
            maps[1:3] = 0
        return maps

    monkeypatch.setattr("saq_eval.evaluation.maps.explain", sometimes_constant)
    result = saq_eval.compare("digits", models=["cnn-w2a2"], samples=6, progress=False, **QUICKER)
    rows = result.summary[result.summary["method"] == "saliency"]
    assert (rows["degenerate"] == 2).all() and (rows["n"] == 4).all()
    assert (result.summary[result.summary["method"] == QUICKER["methods"][1]]["degenerate"] == 0).all()
    assert "constant" in result_html(result)


def test_one_baseline_for_all():
    result = saq_eval.compare(
        "digits",
        models=["cnn-w2a2"],
        baseline="cnn-w4a4",
        samples=4,
        methods=["saliency"],
        metrics=["SSIM"],
        progress=False,
    )
    assert list(result.models["model"]) == ["cnn-w4a4", "cnn-w2a2"]
    assert result.run["models"]["cnn-w4a4 (random weights)"]["role"] == "control"
    assert set(result.summary["baseline"]) == {"cnn-w4a4"}


def test_another_full_precision_model_does_not_become_the_baseline(tmp_path):
    builtin = Path(saq_eval.__file__).parent.parent / "model_zoo" / "digits" / "cnn-fp32"
    shutil.copytree(builtin, tmp_path / "digits" / "my-fp32")
    card = tmp_path / "digits" / "my-fp32" / "card.yaml"
    card.write_text(card.read_text().replace("name: cnn-fp32", "name: my-fp32"))
    arguments = {"samples": 2, "methods": ["saliency"], "metrics": ["SSIM"], "zoo": tmp_path, "progress": False}
    models = saq_eval.compare("digits", models=["cnn-w2a2", "my-fp32"], **arguments).models.set_index("model")
    assert models["baseline"].to_dict() == {
        name: name if name == "my-fp32" else "cnn-fp32" for name in ("cnn-fp32", "cnn-fp32-ft", "cnn-w2a2", "my-fp32")
    }


def test_one_sample_has_no_interval_but_a_mean():
    result = saq_eval.compare(
        "digits", models=["cnn-w2a2"], samples=1, methods=["saliency"], metrics=["SSIM"], progress=False
    )
    assert result.summary["mean"].notna().all() and result.summary["ci_low"].isna().all()
    assert "<html" in result_html(result)


def result_html(result):
    from saq_eval.reporting.page.render import render

    return render([(result.tables, result.run, result.gallery)])


def test_run_json_is_the_whole_record(result, tmp_path):
    result.write(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["seed"] == 0 and run["samples"] == 20 and len(run["image_indices"]) == 20
    assert set(run["methods"]) == {*QUICK["methods"], "random", "edges"} and set(run["metrics"]) == set(
        QUICK["metrics"]
    )
    assert run["metrics"][FAITHFULNESS]["settings"]["subset_size"] == 56
    assert run["metrics"]["SSIM"]["settings"]["sigma"] == 1.5
    smoothgrad = run["methods"][SMOOTHGRAD]
    assert smoothgrad["parameters"] == {"n_samples": 8, "stdev": 0.15} and smoothgrad["sign"] == "absolute"
    assert run["target"] == "label" and run["maps"]["computed"] == 6 * 2 + 6 + 1 + 2 * 2 + 2 * 4 * 2
    card = saq_eval.load_model("digits", "cnn-w2a2").card
    assert run["models"]["cnn-w2a2"] == {
        **{"role": "model", "weights_sha256": card.weights_sha256},
        **{"baseline": "cnn-fp32", "fine_tuned": "cnn-fp32-ft", "reads": []},
    }
    assert {"torch", "captum", "quantus", "python", "saq_eval"} <= run["versions"].keys()
    stages = {
        "loading",
        "prediction",
        "attribution",
        "faithfulness",
        "localisation",
        "similarity",
        "statistics",
        "reporting",
        "elapsed",
    }
    assert run["wall_seconds"].keys() == stages and all(seconds >= 0 for seconds in run["wall_seconds"].values())
    assert run["command"].startswith("saq-eval compare --dataset digits --models cnn-w2a2,cnn-mixed-sgt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "digit"}, "unknown dataset 'digit'; did you mean 'digits'"),
        ({"models": ["cnn-w8"]}, "unknown digits model 'cnn-w8'"),
        ({"baseline": "cnn-fp16"}, "unknown digits model 'cnn-fp16'; did you mean 'cnn-fp32'"),
        ({"methods": ["grad_cam"]}, "unknown method 'grad_cam'; did you mean 'gradcam'"),
        ({"methods": ["occlusion:window=40"]}, "occlusion: window=40 does not fit into an image of 28x28"),
        ({"methods": ["edges", "random"]}, "random and edges are part of every comparison: name a method"),
        ({"target": "prediction"}, "unknown target 'prediction'; did you mean 'predicted'"),
        ({"save_maps": True, "output": None}, "maps are kept in the output folder: name one"),
        ({"methods": []}, "at least one method is needed"),
        ({"metrics": ["sim"]}, "unknown metric 'sim'; did you mean 'SSIM'"),
        ({"samples": 0}, "samples must lie between 1 and 360"),
        ({"samples": 361}, "samples must lie between 1 and 360"),
        ({"batch_size": 0}, "batch_size lies between 1 and 100000, not 0"),
        ({"workers": 100_000}, r"workers lies between 1 and \d+, not 100000"),
        ({"workers": 1.5}, "workers is a whole number, not 1.5"),
        ({"methods": [result_html]}, "digits/cnn-fp32: result_html: it fails on this network: AttributeError"),
        ({"methods": [3]}, "a method is asked for by its name, not by 3"),
        ({"metrics": [torch.nn.Identity()]}, "a metric given as a function goes by its name, and a Identity is none"),
        ({"models": torch.nn.Identity()}, "a model is asked for by its name, not by a Identity"),
        ({"baseline": torch.nn.Identity()}, "a digits model is asked for by its name, not by a Identity; valid: cnn"),
        ({"dataset": torch.nn.Identity()}, "images are given as a dataset's name, .* not as a Identity"),
        ({"target": torch.zeros(2)}, "a target is asked for by its name, not by a Tensor"),
        ({"seed": torch.nn.Identity()}, "a seed is a whole number from 0 to 4294967295, not a Identity"),
        ({"margin": torch.nn.Identity()}, "margin is above 0, in standard deviations, not a Identity"),
        ({"zoo": torch.nn.Identity()}, "a path is a text, not a Identity"),
        ({"models": ["cnn-fp32"], "formats": ["docx"]}, "unknown format 'docx'"),
        ({"seed": -1}, "a seed is a whole number from 0"),
        ({"models": []}, "at least one model is needed"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(arguments, message, tmp_path):
    output = tmp_path / "report"
    with pytest.raises(SaqEvalError, match=message):
        saq_eval.compare(**{"dataset": "digits", "output": output, "progress": False} | arguments)
    assert not output.exists()


def test_names_in_any_case_and_one_name_for_a_list():
    arguments = {"models": "cnn-w2a2", "methods": "Saliency", "metrics": "ssim", "samples": 3, "progress": False}
    run = saq_eval.compare("digits", **arguments).run
    assert next(iter(run["methods"])) == "saliency" and list(run["metrics"]) == ["SSIM"]
    assert "--models cnn-w2a2 --methods saliency --metrics SSIM" in run["command"]


def test_every_row_of_every_table_has_a_key(result):
    assert list(TABLES) == list(result.tables)
    for name, table in result.tables.items():
        assert not table.duplicated(list(TABLES[name].key)).any(), name
    twice = pd.concat([result.models, result.models.head(1)])
    with pytest.raises(RuntimeError, match=r"the table models has two rows for \('cnn-fp32',\)"):
        checked(TABLES["models"], twice)
    with pytest.raises(RuntimeError, match="the table models has the columns"):
        checked(TABLES["models"], result.models.drop(columns="kl"))


def test_networks_of_one_scheme_that_are_no_twins_keep_their_rows(tmp_path):
    """A copy that was trained by another recipe, as a calibrated network beside a trained one."""
    builtin = Path(saq_eval.__file__).parent.parent / "model_zoo" / "digits" / "cnn-w2a2"
    shutil.copytree(builtin, tmp_path / "zoo" / "digits" / "p-w2a2")
    card = tmp_path / "zoo" / "digits" / "p-w2a2" / "card.yaml"
    text = card.read_text().replace("name: cnn-w2a2\n", "name: p-w2a2\n", 1)
    card.write_text(text.replace("epochs: 20", "epochs: 21"))
    result = saq_eval.compare(
        "digits", models=["cnn-w2a2", "p-w2a2"], methods=["saliency"], metrics=["PointingGame"], samples=12,
        zoo=tmp_path / "zoo", output=tmp_path / "report", formats=["latex", "csv"], progress=False,
    )  # fmt: skip
    names = ["w2a2 (cnn-w2a2)", "w2a2 (p-w2a2)"]
    assert set(result.effects["networks"]) == {"fp32-ft", *names}
    assert set(result.models["networks"]) == {"fp32", "fp32-ft", *names}
    # The copy was trained by a recipe of its own, so nothing tells its further training from its bits.
    steps = result.findings.query("quantity == 'accuracy'").groupby("group", sort=False)["step"].agg(list).to_dict()
    assert steps == {names[0]: ["bits", "whole"], names[1]: ["whole"], "fp32-ft": ["further training"]}
    assert all(name in result.run["headline"][0] for name in names)
    latex = (tmp_path / "report" / "tables.tex").read_text()
    assert "w2a2 (cnn{-}w2a2)" in latex and "w2a2 (p{-}w2a2)" in latex
    assert " --formats latex,csv" in result.run["command"]


def test_a_result_is_said_in_a_few_lines(result):
    text = repr(result)
    assert len(text) < 1500 and text.startswith("Comparison of 6 networks on 20 images of digits")
    assert all(sentence in text for sentence in result.run["headline"])


def test_below_thirty_images_the_verdict_says_why(tmp_path):
    result = saq_eval.compare(
        "digits", models=["cnn-w2a2"], methods=["saliency"], metrics=["PointingGame"], samples=29, progress=False
    )
    assert set(result.summary["verdict"]) == {"too few images"} == set(result.effects["verdict"])
    said = result.findings.query("quantity == 'interpretability'")
    assert set(said["verdict"]) == {"too few images"} and said["text"].str.contains("fewer than 30 images").all()
    assert "nothing can be said" in result.run["headline"][1]
    assert "too few images" in result_html(result)


def test_an_output_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "taken" / "scores.csv").mkdir(parents=True)
    arguments = {"models": ["cnn-fp32"], "methods": ["saliency"], "metrics": ["SSIM"], "samples": 1, "progress": False}
    for output in (tmp_path / "taken", tmp_path / ("x" * 300), "~nosuchuser/report"):
        with pytest.raises(SaqEvalError, match="cannot be written|home"):
            saq_eval.compare("digits", output=output, **arguments)
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["scores.csv"]
    (tmp_path / "file").write_text("")
    with pytest.raises(SaqEvalError, match=r"output folder .*file/report cannot be written: Not a directory"):
        saq_eval.compare("digits", output=tmp_path / "file" / "report", **arguments)


@pytest.mark.parametrize("moment", ["scoring", "writing"])
def test_an_interruption_leaves_what_was_there(moment, tmp_path, monkeypatch):
    (tmp_path / "scores.csv").write_text("of an earlier run")

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    place = "saq_eval.evaluation.maps.explain" if moment == "scoring" else "saq_eval.reporting.output.render"
    monkeypatch.setattr(place, interrupt)
    with pytest.raises(KeyboardInterrupt):
        saq_eval.compare("digits", models=["cnn-w4a4"], samples=2, output=tmp_path, progress=False, **QUICKER)
    assert {file.name for file in tmp_path.iterdir()} == {"scores.csv", "store"}
    assert (tmp_path / "scores.csv").read_text() == "of an earlier run"


def test_colour_pictures_without_masks_are_compared_and_localisation_is_not_scored(tmp_path, monkeypatch):
    def load(split, data_root):
        images = torch.rand(64, 3, 28, 28, generator=torch.Generator().manual_seed(["train", "test"].index(split)))
        return Dataset("noise", split, images, torch.arange(64) % 10, tuple("0123456789"), torch.arange(64))

    monkeypatch.setitem(DATASETS._entries, "noise", load)
    recipe = saq_eval.Recipe(epochs=2, batch_size=8, learning_rate=0.05, weight_decay=0.0)
    built = {"in_channels": 3, "channels": [4, 4], "pool_after": [1, 2], "hidden": 8}
    for scheme in ("fp32", "w4a4"):
        saq_eval.train_model("noise", scheme, arguments=built, recipe=recipe, zoo=tmp_path, progress=False)
    with pytest.warns(SaqEvalWarning, match="localisation is not scored: colour images have no masks unless"):
        result = saq_eval.compare(
            "noise", zoo=tmp_path, methods=["saliency"], metrics=["PointingGame", "SSIM"], samples=16, progress=False
        )
    assert result.run["masks"] | {"reason": ""} == {"kind": "none", "images": 0, "without": 16, "reason": ""}
    localisation = result.summary[result.summary["metric"] == "PointingGame"]
    assert (
        (localisation["n"] == 0).all() and localisation["mean"].isna().all() and set(localisation["mask"]) == {"none"}
    )
    assert result.summary.loc[result.summary["metric"] == "SSIM", "mean"].notna().all()
