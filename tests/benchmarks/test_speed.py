"""The benchmark of speed: its sides agree, its bound counts what it passes, and its report says what its files say."""

import dataclasses
import json
import platform
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.speed import growth, measuring, report
from benchmarks.speed.agreement import agreement
from benchmarks.speed.answer import Answer, read_arrays
from benchmarks.speed.bound import bound, passes_of_image
from benchmarks.speed.script import script
from benchmarks.speed.study import Study
from benchmarks.speed.suite import pictures, suite
from saq_eval.attribution import find_explainers
from saq_eval.core.randomness import deterministic
from saq_eval.metrics import find_scorers
from tests import ROOT

QUICK = dataclasses.replace(
    Study(dataset="digits").quick(),
    methods=("saliency", "gradcam"),
    metrics=("FaithfulnessCorrelation:nr_runs=10", *Study.metrics[2:]),
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As the sides have it; on a busy machine, small networks are slower on several threads."""
    with deterministic(threads=1):
        yield


@pytest.fixture(scope="module")
def answers(one_thread):
    with suite(QUICK) as ours, script(QUICK) as theirs:
        return ours(), theirs()


def test_suite_and_script_agree(answers, tmp_path):
    for name, answer in zip(("suite", "script"), answers, strict=True):
        answer.save(tmp_path / f"{name}.npz")
    agreed = agreement(QUICK, tmp_path / "suite.npz", tmp_path / "script.npz").set_index("what")
    assert [*agreed.index] == [*(f"maps by {method}" for method in QUICK.methods), *QUICK.metrics]
    deterministic = agreed[agreed["kind"] == "equal"]
    assert deterministic["agrees"].all(), agreed
    assert (deterministic["compared"] > 0).all() and len(deterministic) == 2 + 8
    assert set(agreed[agreed["kind"] == "mean"].index) == {"FaithfulnessCorrelation:nr_runs=10", "ROAD"}


def test_a_side_that_scores_something_else_does_not_agree(answers, tmp_path):
    ours, theirs = answers
    wrong = {key: scores + 0.01 * (key[2] == "Sparseness") for key, scores in theirs.scores.items()}
    wrong |= {key: scores + 1.0 for key, scores in wrong.items() if key[2] == "ROAD"}
    ours.save(tmp_path / "suite.npz")
    dataclasses.replace(theirs, scores=wrong).save(tmp_path / "script.npz")
    agreed = agreement(QUICK, tmp_path / "suite.npz", tmp_path / "script.npz").set_index("what")
    assert {*agreed.index[~agreed["agrees"].to_numpy(bool)]} == {"Sparseness", "ROAD"}


def test_the_sides_time_the_same_stages(answers):
    ours, theirs = answers
    assert set(ours.stages) == set(theirs.stages) == {*QUICK.metrics, *(f"maps by {m}" for m in QUICK.methods)}
    assert all(took >= 0 for answer in answers for took in answer.stages.values())


def test_arrays_are_read_as_they_were_saved(tmp_path):
    answer = Answer({("a", "m:x=1"): np.ones((2, 3, 3))}, {("a", "m:x=1", "s"): np.array([0.5, np.nan])})
    answer.save(tmp_path / "arrays.npz")
    maps, scores = read_arrays(tmp_path / "arrays.npz")
    np.testing.assert_array_equal(maps["a", "m:x=1"], np.ones((2, 3, 3)))
    np.testing.assert_array_equal(scores["a", "m:x=1", "s"], [0.5, np.nan])


def test_the_passes_of_the_study_are_counted_by_hand():
    study = Study()
    each = passes_of_image(find_explainers(study.methods), find_scorers(study.metrics), (1, 28, 28))
    # Forward and backward: saliency, input × gradient, 32 steps of integrated gradients, Grad-CAM.
    assert each.backward == 1 + 1 + 32 + 1
    # Occlusion and the image itself; two fills × (50 draws and the image) once; for each of five methods 28 groups and the
    # image, two curves of 14 steps, of which PixelFlipping reads one, and nine shares of ROAD.
    assert each.forward == (1 + 8 * 8) + 2 * 51 + 5 * (29 + 2 * 14 + 9)


def test_what_the_bound_states_is_what_it_passes(monkeypatch):
    passed = {"forward": 0, "forward and backward": 0}
    with bound(QUICK) as work:
        original = torch.nn.Module.__call__

        def counted(module, *args, **kwargs):
            if isinstance(module, torch.fx.GraphModule):
                passed["forward and backward" if torch.is_grad_enabled() else "forward"] += len(args[0])
            return original(module, *args, **kwargs)

        monkeypatch.setattr(torch.nn.Module, "__call__", counted)
        assert work().passes == passed
    assert min(passed.values()) > 0


def test_a_metric_whose_passes_are_not_known_is_refused():
    with pytest.raises(ValueError, match="MPRT"):
        passes_of_image(find_explainers(["saliency"]), find_scorers(["MPRT"]), (1, 28, 28))


def test_a_side_runs_in_a_process_of_its_own(tmp_path):
    study = dataclasses.replace(QUICK, images=2, metrics=("PixelFlipping",), methods=("saliency",))
    measured = measuring.run_side("bound", study, tmp_path / "arrays.npz")
    assert measured.side == "bound" and measured.gpu_peak_mib is None and measured.peak_mib > 50
    assert 0 < measured.processor_s < measured.whole_processor_s
    assert measured.passes == {"forward": 2 * 2 * 14, "forward and backward": 2 * 2}


def test_growth_of_pictures_is_measured_on_a_resnet():
    (axis,) = (axis for axis in growth.AXES if axis.name == "sizes")
    study = axis.study(Study(), 32)
    images, labels = pictures(study)
    assert images.shape == (2, 3, 32, 32) and images.min() >= 0 and images.max() <= 1 and len(labels) == 2
    small = dataclasses.replace(study, metrics=("PixelFlipping",), methods=("saliency",))
    with suite(small) as work:
        answer = work()
    assert np.isfinite(answer.scores["resnet18", "saliency", "PixelFlipping"]).all()


def test_a_study_survives_json():
    assert Study.from_json(QUICK.to_json()) == QUICK


def test_the_machine_is_described_without_names_of_its_own():
    about = measuring.machine("cpu")
    assert about["processor"] and about["cores"] >= 1 and about["memory_gib"] >= 1 and about["torch"]
    assert platform.node() not in json.dumps(about) and "/" not in "".join(map(str, about.values()))


@pytest.fixture
def written(tmp_path):
    """The report of numbers that are easy to read."""
    stages = {"maps by saliency": 1.0, "SSIM": 2.0}
    sides = [
        measuring.Measured(side, seconds, seconds / 2, seconds + 5, 600.0, None, stages, passes)
        for side, seconds, passes in (
            ("suite", 20.0, {}),
            ("script", 100.0, {}),
            ("bound", 16.0, {"forward": 1234, "forward and backward": 56}),
            ("comparison", 50.0, {}),
        )
    ]
    agreed = pd.DataFrame(
        [("maps by saliency", "equal", 8, 0, 0.0, 1.0, True), ("SSIM", "equal", 8, 0, 1e-6, 1.0, True)],
        columns=["what", "kind", "compared", "left_out", "difference", "within", "agrees"],
    )
    grown = [
        {"axis": "images", "size": size, "side": "suite", "processor_s": 1.0, "wall_s": 1.0}
        | {"seconds_per_unit": 1 / size, "peak_mib": peak, "gpu_peak_mib": None}
        for size, peak in ((64, 500.0), (256, 600.0), (4096, 630.0))
    ]
    machine = {"processor": "Some Processor", "cores": 2}
    report.write(tmp_path, Study(), machine, sides, agreed, grown)
    return tmp_path


def test_the_report_says_what_was_measured(written):
    said = report.paragraph(written)
    assert "Some Processor" in said and "4 networks × 5 methods × 11 metrics × 64 images of FashionMNIST" in said
    assert "take 20 s of processor time" in said and "takes 100 s for the same, 5.0 times as long" in said
    assert "take 16 s" in said and "From 256 to 4,096 images, peak memory grows by 5 %" in said
    page = (written / "README.md").read_text(encoding="utf-8")
    assert said in page and "| script: a script with Captum and Quantus | 100 | 5.00 |" in page
    assert "1,234 images forward and 56 images forward and backward" in page
    assert all((written / target).is_file() for target in re.findall(r"!\[.*?\]\((.*?)\)", page))
    assert "<svg" in (written / "growth-images.svg").read_text(encoding="utf-8")


def test_a_disagreement_is_said(written):
    table = pd.read_csv(written / "agreement.csv")
    table.loc[1, "agrees"] = False
    table.to_csv(written / "agreement.csv", index=False)
    assert "except SSIM" in report.paragraph(written)


def test_the_paragraph_is_put_between_its_marks(written):
    text = "Before.\n<!-- speed -->\nold\n<!-- /speed -->\nAfter.\n"
    fresh = report.refresh(text, written)
    assert fresh == f"Before.\n<!-- speed -->\n{report.paragraph(written)}\n<!-- /speed -->\nAfter.\n"
    assert report.refresh(fresh, written) == fresh and report.refresh("none\n", written) == "none\n"


def test_the_committed_texts_say_what_the_committed_files_say():
    folder, readme = ROOT / "reports" / "benchmark", (ROOT / "README.md").read_text(encoding="utf-8")
    if not folder.is_dir():
        assert "<!-- speed -->" not in readme, "README has a paragraph on speed, and no benchmark that it comes from"
        pytest.skip("no report of the benchmark is kept")
    assert report.page(folder) == (folder / "README.md").read_text(encoding="utf-8")
    assert "<!-- speed -->" in readme and report.refresh(readme, folder) == readme


@pytest.mark.validation
def test_the_quick_benchmark_runs(tmp_path):
    command = ["-m", "benchmarks.speed", "--quick", "--dataset", "digits", "--growth", "--output", str(tmp_path)]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "suite / script" in done.stdout and "NOT THE SAME" not in done.stdout
    assert set(pd.read_csv(tmp_path / "growth.csv")["axis"]) == {"images", "methods", "sizes"}
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == report.page(tmp_path)
