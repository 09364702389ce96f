"""The documentation does what it says."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
ZOO_README = (ROOT / "model_zoo" / "README.md").read_text(encoding="utf-8")


def run(*arguments: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", "saq_eval", *arguments], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("text", "dataset"), [(README, "fashionmnist"), (ZOO_README, None)], ids=["README", "model_zoo"]
)
def test_the_tables_of_accuracies_are_what_the_command_prints(text, dataset):
    name = f"accuracies {dataset or 'all'}"
    (table,) = re.findall(f"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    assert table == run("zoo", "accuracies", *(["--dataset", dataset] if dataset else []), cwd=ROOT)


def test_links_lead_somewhere():
    for text, folder in ((README, ROOT), (ZOO_README, ROOT / "model_zoo")):
        for target in re.findall(r"\]\(((?!http)[^)#]+)\)", text):
            assert (folder / target).exists(), target


def test_the_python_examples_run(tmp_path):
    """Each block in a process of its own, in an empty folder."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    for block in blocks:
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    assert len(blocks) == 3 and any(tmp_path.rglob("report.html"))


def test_the_shell_examples_of_comparisons_are_understood(tmp_path):
    """Every option and name in them is known; a sample of one would still take minutes for all."""
    (block,) = re.findall(r"## Compare\n\n```sh\n(.*?)```", README, re.DOTALL)
    lines = [shlex.split(line, comments=True) for line in block.replace("\\\n", "").splitlines()]
    commands = ["compare", "compare", "compare", "report", "explain"]
    assert [line[:2] for line in lines] == [["saq-eval", command] for command in commands]
    lines = [[argument.replace("fashionmnist", "digits") for argument in line[1:]] for line in lines]
    run(*lines[2], "--samples", "2", cwd=tmp_path)
    run(
        *[a.replace("reports/mnist", "reports/mine").replace("reports/digits", "reports/mine") for a in lines[3]],
        cwd=tmp_path,
    )
    assert (tmp_path / "reports" / "report.html").is_file()
    run(*[argument.replace("cnn-*", "cnn-w*-s1") for argument in lines[4]], cwd=tmp_path)
    assert (tmp_path / "reports" / "digits-7.png").is_file() and (tmp_path / "reports" / "mine").is_dir()


def test_what_is_said_of_sets_and_gaps():
    from saq_eval.attribution import method_sets
    from saq_eval.metrics import metric_sets

    counts = {name: len(names) for name, names in method_sets().items()}
    methods, metrics = (line for line in README.splitlines() if line.startswith(("- `--methods`", "- `--metrics`")))
    said = {name: int(count) for name, count in re.findall(r"`(quick|standard|full)` \((\d+)", methods)}
    assert said == counts, "README.md counts the methods of each set"
    assert f"`quick` ({len(metric_sets()['quick'])})" in metrics
    gaps = pd.read_csv(ROOT / "reports" / "fashionmnist" / "models.csv").set_index("model")["surrogate_gap"]
    assert "on FashionMNIST 2 % at 32 bits, 23 % at 4, two thirds at 2" in " ".join(README.split())
    assert [round(100 * gaps[name]) for name in ("cnn-fp32", "cnn-w4a4")] == [2, 23] and 0.6 < gaps["cnn-w2a2"] < 0.72


def test_the_zoos_worked_examples_run(tmp_path):
    """The README's own lines, in its order, in an empty folder: Python blocks are files, shell blocks are run."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shell_blocks = 0
    for language, block in re.findall(r"```(python|sh)\n(.*?)```", ZOO_README, re.DOTALL):
        if language == "python":
            name = block.splitlines()[0].removeprefix("# ")
            (tmp_path / name).write_text(block)
        else:
            shell_blocks += 1
            done = subprocess.run(
                ["bash", "-euc", block], capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PATH": path}
            )
            assert done.returncode == 0, done.stderr + done.stdout
    assert shell_blocks == 3
    models = {card.parent.name for card in (tmp_path / "my-zoo").glob("digits/*/card.yaml")}
    assert models == {"cnn-fp32-s7", "cnn-w4a4-s7", "my-net", "lenet-fp32", "lenet-w4a4"}


def test_the_scheme_example_is_a_scheme(tmp_path):
    from saq_eval.quantization import load_scheme

    (example,) = re.findall(r"```yaml\n(.*?)```", ZOO_README, re.DOTALL)
    (tmp_path / "w2a4.yaml").write_text(example)
    scheme = load_scheme(tmp_path / "w2a4.yaml")
    assert scheme.overrides["conv2"].weight_bits == 8 and scheme.granularity == "channel"
