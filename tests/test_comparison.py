import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import saq_eval
from saq_eval import SaqEvalError
from saq_eval.metrics import METRICS

SCORES = ["dataset", "model", "scheme", "weight_bits", "activation_bits", "training", "seed", "method", "metric", "category", "sample", "label", "prediction", "score"]  # fmt: skip  # noqa: E501
SUMMARY = ["dataset", "model", "scheme", "weight_bits", "activation_bits", "training", "seed", "method", "metric", "category", "higher_is_better", "n", "mean", "ci_low", "ci_high", "baseline", "delta", "delta_ci_low", "delta_ci_high", "chance"]  # fmt: skip  # noqa: E501
FILES = {"scores.csv", "summary.csv", "models.csv", "report.html", "run.json"}
QUICK = {"methods": ["saliency", "smoothgrad"], "metrics": ["FaithfulnessCorrelation", "PointingGame", "SSIM"]}


@pytest.fixture(scope="module")
def result():
    return saq_eval.compare("digits", models=["cnn-w2a2", "cnn-mixed-sgt"], samples=20, progress=False, **QUICK)


def test_frames(result):
    models = ["cnn-fp32", "cnn-w2a2", "cnn-fp32-sgt", "cnn-mixed-sgt"]  # each one's baseline takes part
    assert list(result.scores.columns) == SCORES and len(result.scores) == 4 * 2 * 3 * 20
    assert list(result.summary.columns) == SUMMARY and len(result.summary) == 4 * 2 * 3
    assert list(result.models["model"]) == list(dict.fromkeys(result.scores["model"])) == models
    assert list(result.models["baseline"]) == ["cnn-fp32", "cnn-fp32", "cnn-fp32-sgt", "cnn-fp32-sgt"]
    assert result.summary["mean"].notna().all()
    assert list(result.models["weight_bits"]) == ["32", "2", "32", "4/2"]


def test_every_model_sees_the_same_images_and_classes(result):
    per_cell = result.scores.groupby(["model", "method", "metric"])
    columns = [tuple(group["sample"]) + tuple(group["label"]) for _, group in per_cell]
    assert len(set(columns)) == 1
    test_set = saq_eval.load_dataset("digits")
    first = result.scores.head(20)
    assert test_set.labels[first["sample"].tolist()].tolist() == first["label"].tolist()
    network = saq_eval.load_model("digits", "cnn-fp32").network
    predicted = network(test_set.images[first["sample"].tolist()]).argmax(1)
    assert predicted.tolist() == first["prediction"].tolist()


def test_summary_agrees_with_scores(result):
    wide = result.scores.pivot_table(index=["model", "method", "metric"], columns="sample", values="score")
    for row in result.summary.itertuples():
        ours, baseline = (wide.loc[(name, row.method, row.metric)] for name in (row.model, row.baseline))
        assert row.mean == pytest.approx(ours.mean()) and row.n == 20
        assert row.delta == pytest.approx((ours - baseline).mean(), abs=1e-12)
        assert row.ci_low <= row.mean <= row.ci_high and row.delta_ci_low <= row.delta <= row.delta_ci_high
        assert np.isnan(row.chance) == (row.metric != "SSIM")
        if row.model == row.baseline:
            assert row.delta == row.delta_ci_low == row.delta_ci_high == 0
            assert row.metric != "SSIM" or row.mean == 1


def test_similarity_is_to_the_baselines_map_of_the_same_image(result, make_task):
    test_set = saq_eval.load_dataset("digits")
    cell = result.scores.query("model == 'cnn-w2a2' and method == 'saliency' and metric == 'SSIM'")
    chosen = test_set.subset(cell["sample"].to_numpy().copy())
    maps = [
        saq_eval.explain("saliency", saq_eval.load_model("digits", name).network, chosen.images, chosen.labels).numpy()
        for name in ("cnn-w2a2", "cnn-fp32")
    ]
    expected = METRICS["SSIM"].score(make_task(None, maps[0], baseline_maps=maps[1]))
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
        saq_eval.compare("digits", models=["cnn-w4a4"], samples=12, output=tmp_path / folder, progress=False, **QUICK)
    assert {file.name for file in (tmp_path / "a").iterdir()} == FILES
    for name in ("scores.csv", "summary.csv", "models.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    other = saq_eval.compare("digits", models=["cnn-w4a4"], samples=12, seed=1, progress=False, **QUICK)
    assert not other.scores["sample"].equals(pd.read_csv(tmp_path / "a" / "scores.csv")["sample"])


def test_scores_depend_neither_on_batch_size_nor_on_the_order_of_models_and_methods():
    def scores(**arguments):
        frame = saq_eval.compare("digits", samples=10, progress=False, **QUICK | arguments).scores
        return frame.set_index(["model", "method", "metric", "sample"])["score"].sort_index()

    reference = scores(models=["cnn-w2a2"])
    changed = scores(models=["cnn-w2a2"], methods=["smoothgrad", "saliency"], batch_size=3)
    pd.testing.assert_series_equal(changed, reference, atol=2e-3)


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
    assert set(result.summary["baseline"]) == {"cnn-w4a4"}


def test_another_full_precision_model_does_not_become_the_baseline(tmp_path):
    builtin = Path(saq_eval.__file__).parent.parent / "model_zoo" / "digits" / "cnn-fp32"
    shutil.copytree(builtin, tmp_path / "digits" / "my-fp32")
    card = tmp_path / "digits" / "my-fp32" / "card.yaml"
    card.write_text(card.read_text().replace("name: cnn-fp32", "name: my-fp32"))
    arguments = {"samples": 2, "methods": ["saliency"], "metrics": ["SSIM"], "zoo": tmp_path, "progress": False}
    models = saq_eval.compare("digits", models=["cnn-w2a2", "my-fp32"], **arguments).models.set_index("model")
    assert models["baseline"].to_dict() == {"cnn-fp32": "cnn-fp32", "cnn-w2a2": "cnn-fp32", "my-fp32": "my-fp32"}


def test_one_sample_has_no_interval_but_a_mean():
    result = saq_eval.compare(
        "digits", models=["cnn-w2a2"], samples=1, methods=["saliency"], metrics=["SSIM"], progress=False
    )
    assert result.summary["mean"].notna().all() and result.summary["ci_low"].isna().all()
    assert "<html" in result_html(result)


def result_html(result):
    from saq_eval.reporting.html import render

    return render(result.scores, result.summary, result.models, result.run, result.gallery)


def test_run_json_is_the_whole_record(result, tmp_path):
    result.write(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["seed"] == 0 and run["samples"] == 20 and len(run["image_indices"]) == 20
    assert set(run["methods"]) == set(QUICK["methods"]) and set(run["metrics"]) == set(QUICK["metrics"])
    assert run["metrics"]["FaithfulnessCorrelation"]["settings"]["subset_size"] == 56
    assert run["metrics"]["SSIM"]["settings"]["sigma"] == 1.5
    assert "25 copies" in run["methods"]["smoothgrad"]["description"]
    card = saq_eval.load_model("digits", "cnn-w2a2").card
    assert run["models"]["cnn-w2a2"] == {"weights_sha256": card.weights_sha256, "baseline": "cnn-fp32"}
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
    }
    assert run["wall_seconds"].keys() == stages and all(seconds >= 0 for seconds in run["wall_seconds"].values())
    assert run["command"].startswith("saq-eval compare --dataset digits --models cnn-w2a2,cnn-mixed-sgt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "digit"}, "unknown dataset 'digit'; did you mean 'digits'"),
        ({"models": ["cnn-w8"]}, "unknown digits model 'cnn-w8'"),
        ({"baseline": "cnn-fp16"}, "unknown digits model 'cnn-fp16'; did you mean 'cnn-fp32'"),
        ({"methods": ["gradcam"]}, "unknown method 'gradcam'; .*valid: saliency"),
        ({"methods": []}, "at least one method is needed"),
        ({"metrics": ["ssim"]}, "unknown metric 'ssim'; did you mean 'SSIM'"),
        ({"samples": 0}, "samples must lie between 1 and 360"),
        ({"samples": 361}, "samples must lie between 1 and 360"),
        ({"batch_size": 0}, "batch_size is at least 1"),
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


def test_an_output_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "taken" / "scores.csv").mkdir(parents=True)
    for output in (tmp_path / "taken", tmp_path / ("x" * 300), "~nosuchuser/report"):
        with pytest.raises(SaqEvalError, match="cannot be written|home"):
            saq_eval.compare("digits", samples=1, output=output, progress=False)
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["scores.csv"]
    (tmp_path / "file").write_text("")
    with pytest.raises(SaqEvalError, match=r"output folder .*file/report cannot be written: Not a directory"):
        saq_eval.compare("digits", samples=1, output=tmp_path / "file" / "report", progress=False)


@pytest.mark.parametrize("moment", ["scoring", "writing"])
def test_an_interruption_leaves_what_was_there(moment, tmp_path, monkeypatch):
    (tmp_path / "scores.csv").write_text("of an earlier run")

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    place = "saq_eval.comparison.explain" if moment == "scoring" else "saq_eval.reporting.output.render"
    monkeypatch.setattr(place, interrupt)
    with pytest.raises(KeyboardInterrupt):
        saq_eval.compare("digits", models=["cnn-w4a4"], samples=2, output=tmp_path, progress=False, **QUICK)
    assert [file.name for file in tmp_path.iterdir()] == ["scores.csv"]
    assert (tmp_path / "scores.csv").read_text() == "of an earlier run"
