"""The documentation does what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ZOO_README = (ROOT / "model_zoo" / "README.md").read_text(encoding="utf-8")


def run(*arguments: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", "saq_eval.cli", *arguments], capture_output=True, text=True, cwd=cwd)
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


def test_the_python_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "example", "exec"), {})
    assert any(tmp_path.rglob("report.html"))


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
