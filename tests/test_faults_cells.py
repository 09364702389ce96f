"""Cells that fail, in every way, are holes with a reason, and the rest of the comparison is there."""

import csv
import json
import os

import numpy as np
import pytest

from saq_eval import register_metric
from saq_eval.metrics import METRICS
from tests.cli.process import saq_eval_here
from tests.faulty import Server

COMPARE = ("compare", "--dataset", "digits", "--methods", "saliency", "--samples", "8", "--accuracy-on", "8", "--quiet")
COMPARE += ("--workers", "1", "--output", "report")
OWN = (*COMPARE, "--models", "cnn-fp32", "--metrics", "PointingGame,Odd")
PACKAGE = """
import os, signal, time
import torch
from torch import nn
import saq_eval

@saq_eval.register_metric("Odd", category="similarity", range=(0, 1), higher_is_better=True, reference="none")
def odd(task):
    "Kills its process."
    os.kill(os.getpid(), signal.SIGKILL)


class Small(nn.Module):
    def __init__(self, most):
        super().__init__()
        torch.manual_seed(0)
        self.most, self.layers = most, nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))

    def forward(self, images):
        if len(images) > self.most:
            raise torch.OutOfMemoryError(f"CUDA out of memory, {len(images)} images")
        return self.layers(images)


def make(most=1000):
    return Small(most)
"""


@pytest.fixture
def odd():
    """A metric of a user's, which does what the test says."""
    does = {}

    @register_metric("Odd", category="axiomatic", range=(0, 1), higher_is_better=True, reference="none")
    def score(task):
        """A number that some other package computes."""
        if "raises" in does:
            raise does["raises"]
        return np.linspace(0, 1, len(task.maps))

    yield does
    del METRICS._entries["Odd"]


def rows(folder, name):
    with (folder / "report" / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def record(folder):
    return json.loads((folder / "report" / "run.json").read_text(encoding="utf-8"))


def test_a_metric_that_raises_leaves_holes_and_is_tried_again(odd, tmp_path):
    odd["raises"] = ZeroDivisionError("of what is not there")
    done = saq_eval_here(*OWN, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    reason = "failed: ZeroDivisionError: of what is not there"
    assert reason in done.stderr and done.stderr.count("\n") == 1 and "the same command tries them again" in done.stderr
    holes = rows(tmp_path, "holes")
    assert holes and {row["metric"] for row in holes} == {"Odd"} and all(reason in row["reason"] for row in holes)
    failed = record(tmp_path)["failed"]
    assert {each["metric"] for each in failed} == {"Odd"} and {each["reason"] for each in failed} == {reason}
    assert reason in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    scored = {row["metric"] for row in rows(tmp_path, "summary")}
    assert "PointingGame" in scored

    del odd["raises"]
    done = saq_eval_here(*OWN, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert rows(tmp_path, "holes") == [] and record(tmp_path)["failed"] == []
    assert record(tmp_path)["cells"]["computed"] == len(failed) and record(tmp_path)["cells"]["stored"] > 0


def test_fail_fast_ends_at_the_first_cell_that_fails(odd, tmp_path):
    odd["raises"] = ZeroDivisionError("of what is not there")
    done = saq_eval_here(*OWN, "--fail-fast", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.endswith(", Odd: failed: ZeroDivisionError: of what is not there\n")
    assert not (tmp_path / "report" / "run.json").exists()


@pytest.mark.parametrize("error", [MemoryError("no room"), RuntimeError("CUDA out of memory")])
def test_memory_that_does_not_do_for_one_image_is_a_hole(error, odd, tmp_path):
    odd["raises"] = error
    done = saq_eval_here(*OWN, cwd=tmp_path)
    assert done.returncode == 1
    assert {row["reason"] for row in rows(tmp_path, "holes")} == {"failed: out of memory, with one image at a time"}
    assert record(tmp_path)["batch_size"] == 1


def test_where_memory_is_short_half_as_many_images_pass_at_once(tmp_path, monkeypatch):
    (tmp_path / "small_nets.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for most, batch_size in ((4, 64), (1000, 4)):
        model = ("--model", f"mine=small_nets:make?most={most}", "--trust-code", "--batch-size", batch_size)
        metrics = ("--metrics", "PixelFlipping:features_in_step=196,SSIM", "--output", f"most-{most}")
        done = saq_eval_here(*COMPARE, *model, *metrics, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        folder = tmp_path / f"most-{most}"
        assert json.loads((folder / "run.json").read_text())["batch_size"] == 4
        found.append({path.name: path.read_bytes() for path in folder.glob("*.csv")})
    assert found[0]["scores.csv"] == found[1]["scores.csv"] and rows_of(found[0]["holes.csv"]) == 1


def rows_of(data):
    return data.count(b"\n")


@pytest.mark.validation  # four processes start and end
def test_a_metric_that_kills_its_process_costs_its_cells_alone(tmp_path):
    site, here = tmp_path / "site", tmp_path / "here"
    metadata = site / "odd-1.0.dist-info"
    metadata.mkdir(parents=True)
    here.mkdir()
    (site / "odd_metric.py").write_text(PACKAGE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[saq_eval]\nodd = odd_metric\n")
    server = Server()
    models = ("--models", "cnn-fp32", "--workers", 2, "--output", "report")
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = server.run(*COMPARE, *models, "--metrics", "PointingGame,SSIM,Odd", cwd=here, PYTHONPATH=path)
    plain = server.run(
        *COMPARE, *models, "--metrics", "PointingGame,SSIM", "--output", "plain", "--workers", 1, cwd=here
    )
    server.stop()
    assert (run.returncode, plain.returncode) == (1, 0) and run.stdout == plain.stderr == ""
    reason = "failed: its process was killed twice, which the system does when memory is short"
    assert run.stderr.count("\n") == 1 and reason in run.stderr
    holes = rows(here, "holes")
    assert holes and {(row["metric"], row["reason"]) for row in holes} == {("Odd", reason)}
    assert reason in (here / "report" / "report.html").read_text(encoding="utf-8")
    assert record(here)["failed"]
    theirs = [line for line in (here / "plain" / "scores.csv").read_text().splitlines() if ",PointingGame," in line]
    ours = [line for line in (here / "report" / "scores.csv").read_text().splitlines() if ",PointingGame," in line]
    assert ours == theirs and theirs
