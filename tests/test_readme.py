"""The documentation does what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from saq_eval.architectures import ARCHITECTURES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ZOO_README = (ROOT / "model_zoo" / "README.md").read_text(encoding="utf-8")


def test_the_table_of_networks_is_what_zoo_list_prints():
    (table,) = re.findall(r"<!-- zoo -->\n```text\n(.*?)```\n<!-- /zoo -->", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-m", "saq_eval.cli", "zoo", "list"], capture_output=True, text=True, cwd=ROOT
    )
    assert [line.rstrip() for line in done.stdout.splitlines()] == table.splitlines()


def test_links_lead_somewhere():
    for text, folder in ((README, ROOT), (ZOO_README, ROOT / "model_zoo")):
        for target in re.findall(r"\]\(((?!http)[^)#]+)\)", text):
            assert (folder / target).exists(), target


@pytest.mark.parametrize("text", [README, ZOO_README], ids=["README", "model_zoo"])
def test_python_examples_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    try:
        exec(compile(example, "example", "exec"), {})
    finally:
        ARCHITECTURES._entries.pop("lenet", None)
    assert any(tmp_path.rglob("report.html")) or any(tmp_path.rglob("card.yaml"))


def test_the_scheme_example_is_a_scheme(tmp_path):
    from saq_eval.quantization import load_scheme

    (example,) = re.findall(r"```yaml\n(.*?)```", ZOO_README, re.DOTALL)
    (tmp_path / "w3a4.yaml").write_text(example)
    assert load_scheme(tmp_path / "w3a4.yaml").overrides["conv2"].weight_bits == 8
