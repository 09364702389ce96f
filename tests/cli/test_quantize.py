"""Quantize a model of the zoo by one command, and compare it by the command that it names."""

import re
import shlex

from tests.cli.process import saq_eval_here


def test_one_command_quantizes_and_says_how_to_compare(tmp_path):
    zoo = tmp_path / "my zoo"
    arguments = ("--dataset", "digits", "--model", "cnn-fp32", "--scheme", "w4a4", "--calibrate", 64, "--zoo", zoo)
    done = saq_eval_here("quantize", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    said = re.fullmatch(
        r"digits/cnn-fp32-w4a4-ptq: test accuracy (\d+\.\d\d) %, before 100\.00 % \(cnn-fp32\), in (.*); "
        r"compare them with: (saq-eval compare .*)\n",
        done.stdout,
    )
    assert said and float(said[1]) > 98 and (zoo / "digits" / "cnn-fp32-w4a4-ptq").samefile(said[2])
    command = [
        *shlex.split(said[3])[1:],
        "--methods",
        "saliency",
        "--metrics",
        "SSIM",
        "--samples",
        "2",
        "--output",
        "out",
    ]
    done = saq_eval_here(*command, cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "out" / "report.html").is_file(), done.stderr

    again = saq_eval_here("quantize", *arguments, cwd=tmp_path)
    assert again.returncode == 2 and "exists already" in again.stderr and again.stderr.count("\n") == 1
    shown = saq_eval_here("zoo", "show", "cnn-fp32-w4a4-ptq", "--zoo", zoo, cwd=tmp_path).stdout
    assert "w4a4-ptq: hidden layers 4/4" in shown and "calibrated on 64 train images" in shown


def test_a_scheme_of_ones_own_and_a_wrong_one(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "{name: mine, default: {weight_bits: 6, activation_bits: 5}, ends: {weight_bits: 8, activation_bits: 8}}"
    )
    arguments = ("--dataset", "digits", "--model", "cnn-fp32", "--calibrate", 32, "--zoo", tmp_path / "zoo")
    done = saq_eval_here("quantize", "--scheme", "mine.yaml", "--no-bias-correction", *arguments, cwd=tmp_path)
    assert done.returncode == 0 and "digits/cnn-fp32-mine-ptq" in done.stdout, done.stderr
    card = (tmp_path / "zoo" / "digits" / "cnn-fp32-mine-ptq" / "card.yaml").read_text()
    assert "bias_correction: false" in card
    done = saq_eval_here("quantize", "--scheme", "fp32", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and "is of full precision" in done.stderr and done.stderr.count("\n") == 1
    done = saq_eval_here("quantize", "--scheme", "w8a8", *arguments, "--size", 32, cwd=tmp_path)
    assert done.returncode == 2 and "takes pictures of 28x28 pixels, and size 32" in done.stderr
