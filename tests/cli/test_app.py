"""The command line as a user runs it: a process of its own."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from saq_eval.cli import main
from tests import ROOT


def saq_eval(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "saq_eval", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def test_compare_writes_the_report_to_the_default_folder(tmp_path):
    done = saq_eval(
        "compare", "--dataset", "digits", "--models", "cnn-w2a2,cnn-w2a2-sgt,cnn-mixed", "--methods", "saliency,occlusion",
        "--metrics", "PixelFlipping,PixelFlipping:fill=blur,SSIM", "--samples", 8, "--formats", "markdown,latex",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress bar where the output is no terminal, and no warning
    folder = tmp_path / "reports" / "digits"
    files = {file.name for file in folder.iterdir()}
    assert {"scores.csv", "summary.csv", "effects.csv", "report.html", "run.json", "gallery.npz"} < files
    assert {"summary.md", "tables.tex"} < files
    # Accuracy is over all test images, interpretability over the 8: too few.
    assert re.search(r"cnn-w2a2-sgt +(99|100)\.\d\d +\d\.\d\d +40 +(undecided|same) +– .* 0\.\d{3}", done.stdout)
    assert "What lower precision does to accuracy: mixed, standard: " in done.stdout
    assert "; w2a2, standard and saliency-guided: " in done.stdout and "\x1b" not in done.stdout

    # The page can be rendered anew, alone or with others, without computing anything.
    page = folder / "report.html"
    before = page.read_bytes()
    page.unlink()
    (folder / "scores.csv").unlink()
    done = saq_eval("report", folder, "--formats", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout and (folder / "models.json").is_file()
    assert abs(len(page.read_bytes()) - len(before)) < 2000  # all but how long writing took
    done = saq_eval("report", folder, folder, "--output", "both.html", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "") and (tmp_path / "both.html").stat().st_size > len(before)


def test_compare_for_machines(tmp_path):
    arguments = ["--dataset", "digits", "--models", "cnn-w2a2", "--methods", "saliency", "--metrics", "SSIM", "--samples", 4]  # fmt: skip  # noqa: E501
    done = saq_eval("compare", *arguments, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert [model["model"] for model in said["models"]] == ["cnn-fp32", "cnn-fp32-ft", "cnn-w2a2"] and len(
        said["headline"]
    ) == 3
    assert said["output"] == "reports/digits" and said["findings"]
    done = saq_eval("compare", *arguments, "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_study_prints_a_finding_for_each_claim(tmp_path):
    (tmp_path / "small.yaml").write_text(
        "name: small\narchitecture: {name: cnn}\nschemes: [fp32, w2a2]\ntrainings: [standard, saliency-guided]\n"
        "seeds: [0, 1]\ncomparison: {methods: [saliency], metrics: [quick], samples: 12}\n"
    )
    done = saq_eval("compare", "--dataset", "digits", "--study", "small.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for question in (
        "Lower precision lowers accuracy?",
        "Further training in full precision lowers accuracy?",
        "Lower precision lowers interpretability?",
        "Lower precision changes maps more than retraining does?",
        "Saliency-guided training improves interpretability?",
        "Saliency-guided training lowers accuracy?",
    ):
        assert question in done.stdout
    assert "; these networks alone" in done.stdout  # two seeds do not speak of a scheme
    run = json.loads((tmp_path / "reports" / "digits" / "run.json").read_text())
    assert run["study"] == "small" and run["samples"] == 12 and "--study small.yaml" in run["command"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "--dataset", "digit"], "unknown dataset 'digit'; did you mean 'digits'?"),
        (["compare", "--dataset", "digits", "--models", "cnn-w3a3"], "unknown digits model 'cnn-w3a3'"),
        (["compare", "--dataset", "digits", "--methods", "salience"], "did you mean 'saliency'?"),
        (["compare", "--dataset", "digits", "--metrics", "Pointing"], "did you mean 'PointingGame'?"),
        (["compare", "--dataset", "digits", "--metrics", ","], "at least one metric is needed"),
        (["compare", "--dataset", "digits", "--samples", "0"], "samples must lie between 1 and 360"),
        (["compare", "--dataset", "digits", "--samples", "many"], "Invalid value for '--samples'"),
        (["compare", "--dataset", "digits", "--models", ""], "at least one model is needed"),
        (["compare", "--dataset", "digits", "--zoo", "~nosuchuser/zoo"], "home"),
        (["compare", "--dataset", "digits", "--zoo", "x" * 300], "cannot be read: File name too long"),
        (["compare", "--dataset", "digits", "--zoo", "nowhere"], "zoo folder nowhere does not exist"),
        (
            ["compare", "--dataset", "digits", "--output", "/proc/report"],
            "output folder /proc/report cannot be written",
        ),
        (["compare"], "say which networks to compare: --dataset"),
        (["compare", "--dataset", "digits", "--metrics", "SSIM:window=7"], "unknown parameter of SSIM 'window'"),
        (
            ["compare", "--dataset", "digits", "--metrics", "PixelFlipping:features_in_step=9"],
            "does not divide the 784",
        ),
        (["compare", "--dataset", "digits", "--margin", "0"], "margin is above 0, in standard deviations, not 0.0"),
        (["compare", "--dataset", "digits", "--workers", "0"], "workers lies between 1 and 16, not 0"),
        (["compare", "--dataset", "digits", "--formats", "xls"], "unknown format 'xls'"),
        (["compare", "--dataset", "digits", "--study", "papre"], "unknown study 'papre'; did you mean 'paper'?"),
        (["report", "nowhere"], "nowhere holds no finished comparison"),
        (
            ["compare", "--dataset", "digits", "--methods", "lrp:gama=1"],
            "unknown parameter of lrp 'gama'; did you mean",
        ),
        (
            ["compare", "--dataset", "digits", "--methods", "lrp:gamma=x"],
            "lrp: gamma=x: input should be a valid number",
        ),
        (["compare", "--dataset", "digits", "--target", "predict"], "did you mean 'predicted'?"),
        (["compare", "--config", "missing.yaml"], "missing.yaml: cannot be read as YAML"),
        (["explain", "--dataset", "digits", "--index", "360"], "--index lies between 0 and 359"),
        (["explain", "--dataset", "digits", "--index", "0", "--target", "10"], "--target lies between 0 and 9"),
        (["explain", "--dataset", "digits", "--index", "0", "--models", "cnn-w3"], "unknown digits model 'cnn-w3'"),
        (["explain", "--dataset", "digits", "--index", "0", "--output", "a.jpg"], "a name that ends in .png"),
        (["compare", "--dataset", "mnist", "--data-root", "nowhere"], "looked for train-images-idx3-ubyte"),
        (["train", "--dataset", "digits", "--scheme", "w5a5"], "unknown scheme 'w5a5'"),
        (["train", "--dataset", "digits", "--scheme", "fp32"], "cnn-fp32 exists already"),
        (["train", "--dataset", "digits", "--scheme", "no.yaml"], "no.yaml: cannot be read"),
        (["train", "--dataset", "digits"], "either --scheme (one network) or --study (all networks of one)"),
        (["train", "--dataset", "digits", "--scheme", "w4a4", "--study", "paper"], "either --scheme"),
        (["train", "--dataset", "digits", "--study", "papre"], "unknown study 'papre'; did you mean 'paper'?"),
        (["train", "--dataset", "digits", "--study", "paper", "--only", "x"], "study 'paper' has no model called x"),
        (["train", "--dataset", "digits", "--scheme", "fp32", "--arguments", "[1]"], "--arguments is a mapping"),
        (
            ["train", "--dataset", "digits", "--scheme", "fp32", "--name", "x", "--arguments", "{depth: 2}"],
            "'cnn' cannot be built with the arguments {'depth': 2}",
        ),
        (["zoo", "list", "--dataset", "cifar"], "unknown dataset 'cifar'"),
        (["zoo", "show", "resnet"], "unknown model 'resnet'"),
        (["zoo", "remove", "cnn-w2a2", "--dataset", "digits"], "cnn-w2a2 is not in a zoo of your own"),
        (["zoo", "accuracies", "--into", "missing.md"], "missing.md cannot be rewritten"),
        (
            ["zoo", "add", "--weights", "w.pt", "--architecture", "cnn", "--dataset", "digits", "--name", "x"],
            "w.pt: the weights cannot be read",
        ),
        (
            [
                *("zoo", "add", "--weights", "w", "--architecture", "cnn", "--dataset", "digits", "--name", "x"),
                *("--mean", "a"),
            ],
            "--mean takes numbers separated by commas, not 'a'",
        ),
        (["zoo", "verify", "resnet"], "unknown model 'resnet'"),
        (["explain-all"], "explain-all"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["saq-eval", *arguments])
    with pytest.raises(SystemExit) as exit:
        main()  # in this process, which has imported everything
    output, complaint = capsys.readouterr()
    assert exit.value.code == 2
    assert message in complaint and complaint.count("\n") == 1 and complaint.startswith("saq-eval: ")
    assert output == "" and list(tmp_path.iterdir()) == []


def test_bad_input_in_a_process_of_its_own(tmp_path):
    done = saq_eval("compare", "--dataset", "digit", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "saq-eval: unknown dataset 'digit'; did you mean 'digits'? valid: digits, mnist, fashionmnist, planted\n"
    )


def _command_line(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:  # it has ended
        return ""


@pytest.mark.parametrize("after", [0.5, 15])  # seconds: while the workers start, and while they compute
def test_ctrl_c_leaves_no_file(after, tmp_path):
    command = [sys.executable, "-m", "saq_eval", "compare", "--dataset", "digits", "--output", "report"]
    process = subprocess.Popen(
        [*command, "--samples", "360", "--workers", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in a shell's background
    )
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 240
        while sum("LokyProcess" in _command_line(child) for child in children.read_text().split()) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(after)
        os.killpg(process.pid, signal.SIGINT)  # a terminal interrupts the workers too
        output, complaint = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (output, complaint) == ("", "saq-eval: interrupted\n")
    assert process.returncode in (130, -signal.SIGINT)  # a shell says 130 of both
    assert list(tmp_path.iterdir()) == []


def test_train_and_list(tmp_path):
    zoo = tmp_path / "zoo"
    recipe = tmp_path / "quick.yaml"
    recipe.write_text("{epochs: 1, batch_size: 128, learning_rate: 0.05, weight_decay: 0, alpha_init: quantile}")
    done = saq_eval(
        "train", "--dataset", "digits", "--scheme", "w4a4", "--saliency-guided", "--ranking", "signed",
        "--masked-fraction", 0.3, "--divergence-weight", 0.7, "--name", "mine", "--recipe", recipe, "--zoo", zoo, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"digits/mine: test accuracy \d+\.\d\d %\n", done.stdout)
    listed = json.loads(saq_eval("zoo", "list", "--json", "--zoo", zoo, cwd=tmp_path).stdout)
    (mine,) = [card for card in listed if card["name"] == "mine"]
    assert mine["parent"] == "cnn-fp32-sgt"
    assert mine["recipe"]["saliency_guided"] == {"masked_fraction": 0.3, "weight": 0.7, "ranking": "signed"}
    assert saq_eval("zoo", "verify", "mine", "--zoo", zoo, cwd=tmp_path).stdout.endswith("1 of 1 models verified\n")

    weights = zoo / "digits" / "mine" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    done = saq_eval("zoo", "verify", "mine", "--dataset", "digits", "--zoo", zoo, cwd=tmp_path)
    assert done.returncode == 2 and str(weights) in done.stderr and "0 of 1 models verified" in done.stdout


def test_a_configuration_file_and_the_command_line(tmp_path):
    (tmp_path / "study.yaml").write_text(
        "dataset: digits\nmodels: [cnn-w2a2]\nsamples: 4\nmetrics: [SSIM]\nsave_maps: true\n"
        "methods:\n  - saliency\n  - integrated_gradients: {n_steps: 4, baseline: blur}\n"
    )
    done = saq_eval("compare", "--config", "study.yaml", "--samples", 5, "--output", "here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "here" / "run.json").read_text())
    assert run["samples"] == 5 and list(run["metrics"]) == ["SSIM"]
    # `baseline` is what the fill was once called.
    assert list(run["methods"]) == ["saliency", "integrated_gradients:n_steps=4,fill=blur", "random", "edges"]
    assert "22 sets computed, 0 taken from an earlier run" in done.stdout
    # The command in the record does the same again.
    again = saq_eval(*shlex.split(run["command"])[1:], "--output", "here", cwd=tmp_path)
    assert "0 sets computed, 22 taken from an earlier run" in again.stdout


def test_explain_writes_a_picture(tmp_path):
    done = saq_eval(
        "explain", "--dataset", "digits", "--index", 7, "--models", "cnn-fp32,cnn-w2a2", "--methods",
        "saliency,occlusion:window=9,stride=3,edges", cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "Written to reports/digits-7.png\n", "")
    (picture,) = (tmp_path / "reports").iterdir()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_methods_say_what_they_cost_and_need(tmp_path):
    lines = {line.split()[0]: line for line in saq_eval("methods", cwd=tmp_path).stdout.splitlines()}
    assert re.search(r"integrated_gradients +gradient +quick +signed +32 +no +gradients +n_steps=32,fill=black", lines["integrated_gradients"])  # fmt: skip  # noqa: E501
    assert re.search(
        r"deeplift_shap +rules +full +signed +20 +no +known layers, background images", lines["deeplift_shap"]
    )
    assert re.search(r"edges +control +always +absolute +0 +no +nothing", lines["edges"])
    assert "arXiv 1806.07421" in lines["rise"] and "logits only" in lines["rise"]


@pytest.mark.parametrize("what", ["datasets", "architectures", "schemes", "methods", "metrics"])
def test_lists(what, tmp_path):
    import importlib

    modules = {"schemes": "quantization", "methods": "attribution"}
    registry = getattr(importlib.import_module(f"saq_eval.{modules.get(what, what)}"), what.upper())
    done = saq_eval(what, cwd=tmp_path)
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()][-len(registry) :] == list(registry)


def test_help_does_not_wait_for_torch(tmp_path):
    done = saq_eval("--help", cwd=tmp_path)
    code = "import saq_eval.cli, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert all(command in done.stdout for command in ("compare", "train", "zoo", "methods", "metrics"))


def test_zoo_show(tmp_path):
    shown = saq_eval("zoo", "show", "cnn-mixed-sgt", "--dataset", "digits", cwd=tmp_path).stdout
    assert "mixed: hidden layers 4/4, the later half 2/2, first and last layer 8/8, 2-bit weights by SAWB" in shown
    assert "saliency-guided, seed 0, from cnn-fp32-sgt" in shown
    layers = {line.split()[0]: line.split()[1:4] for line in shown.splitlines() if re.match(r"(conv\d|fc\d) ", line)}
    assert layers == {
        "conv1": ["24x1x3x3", "8", "8"],
        "conv2": ["32x24x3x3", "4", "4"],
        "conv3": ["32x32x3x3", "4", "4"],
        "conv4": ["64x32x3x3", "4", "4"],
        "conv5": ["64x64x3x3", "2", "2"],
        "fc1": ["128x576", "2", "2"],
        "fc2": ["10x128", "8", "8"],
    }
    card = json.loads(saq_eval("zoo", "list", "--dataset", "digits", "--json", cwd=tmp_path).stdout)
    (card,) = [card for card in card if card["name"] == "cnn-mixed-sgt"]
    assert sum(re.match(r"\d+ +\d\.\d{4} ", line) is not None for line in shown.splitlines()) == len(card["history"])
    assert card["weights_sha256"] in shown
