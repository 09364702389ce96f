"""The command line as a whole: help, version, completion, and how it ends when something goes wrong."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import saq_eval as package
from saq_eval.cli import main
from tests import ROOT
from tests.cli.process import saq_eval


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
            ["compare", "--dataset", "digits", "--models", "cnn-fp32", "--output", "/proc/report"],
            "output folder /proc/report cannot be written",
        ),
        (["compare"], "say which images to compare networks on: --dataset"),
        (["compare", "--dataset", "digits", "--metrics", "SSIM:window=7"], "unknown parameter of SSIM 'window'"),
        (
            ["compare", "--dataset", "digits", "--metrics", "PixelFlipping:features_in_step=9"],
            "does not divide the 784",
        ),
        (["compare", "--dataset", "digits", "--margin", "0"], "margin is above 0, in standard deviations, not 0.0"),
        (["compare", "--dataset", "digits", "--workers", "0"], "workers lies between 1 and 16, not 0"),
        (["compare", "--dataset", "digits", "--models", "cnn-fp32", "--formats", "xls"], "unknown format 'xls'"),
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
        (["zoo", "accuracies", "--into", "missing.md"], "missing.md: cannot be rewritten"),
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
    valid = "cifar10, cifar100, digits, imagenet, mnist, fashionmnist, planted, stl10, svhn"
    assert done.stderr == f"saq-eval: unknown dataset 'digit'; did you mean 'digits'? valid: {valid}\n"


def _command_line(process):
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:  # it has ended
        return ""


def _has_loaded(process, name):
    try:
        return name in Path(f"/proc/{process}/maps").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("when", ["the workers start", "they compute"])
def test_ctrl_c_leaves_the_store_alone(when, tmp_path):
    # One network and those that belong to it are soon opened; all methods and metrics of the standard sets take minutes.
    command = [sys.executable, "-m", "saq_eval", "compare", "--dataset", "digits", "--output", "report"]
    command += ["--models", "cnn-w2a2"]
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
        while len(workers := [c for c in children.read_text().split() if "LokyProcess" in _command_line(c)]) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        if when == "they compute":  # soon after they have imported what superpixels are made by
            while not all(_has_loaded(child, "_slic") for child in workers):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(2)
        else:
            time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)  # a terminal interrupts the workers too
        output, complaint = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    kept = "all that is finished is kept, and the same command goes on"
    assert (output, complaint) == ("", f"saq-eval: interrupted; {kept}\n")
    assert process.returncode in (130, -signal.SIGINT)  # a shell says 130 of both
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")] == ["report/store"]


def test_help_does_not_wait_for_torch(tmp_path):
    done = saq_eval("--help", cwd=tmp_path)
    code = "import saq_eval.cli, sys; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    assert all(command in done.stdout for command in ("compare", "train", "zoo", "methods", "metrics"))


def test_help_lists_the_commands_in_order_and_the_version_is_short(tmp_path):
    commands = [
        "compare",
        "report",
        "explain",
        "train",
        "quantize",
        "datasets",
        "architectures",
        "sources",
        "schemes",
        "quantizers",
    ]
    commands += ["methods", "metrics", "tables", "zoo", "store"]
    shown = saq_eval("--help", cwd=tmp_path, COLUMNS="120").stdout
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("│ ") and line[2].isalpha()] == commands
    done = saq_eval("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"saq-eval {package.__version__}\n", "")
    assert saq_eval("--version", "compare", cwd=tmp_path).stdout == done.stdout
    done = saq_eval(cwd=tmp_path, COLUMNS="120")
    assert (done.returncode, done.stdout, done.stderr) == (2, shown.removesuffix("\n"), "")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("saq-eval com", ["compare"]),
        ("saq-eval zoo re", ["retrain", "remove"]),
        ("saq-eval compare --mar", ["--margin"]),
    ],
)
def test_a_shell_completes_commands_and_options(typed, found, tmp_path):
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    done = saq_eval(cwd=tmp_path, _SAQ_EVAL_COMPLETE="complete_bash", **words)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, found, "")
    # Whatever shell runs the tests, if any does.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    script = saq_eval("--show-completion", "bash", cwd=tmp_path, **named).stdout
    assert "_SAQ_EVAL_COMPLETE=complete_bash" in script and script.rstrip().endswith("saq-eval")
