"""What docs/scale.md says is what the code counts, and its commands run."""

import json
import re

import pytest

from saq_eval.attribution import find_explainers
from saq_eval.core.randomness import deterministic
from saq_eval.evaluation.estimate import OVERHEAD
from saq_eval.evaluation.passes import Passes, passes_of_map, passes_of_metrics, passes_of_scores
from saq_eval.metrics import find_scorers
from tests import ROOT
from tests.cli.process import saq_eval_here
from tests.test_readme import commands_of

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
SHAPE = (3, 224, 224)


def row(name: str) -> list[float]:
    """Return the numbers of a table's row."""
    (cells,) = re.findall(rf"^\| {re.escape(name)} \|(.*)\|$", PAGE, re.MULTILINE)
    return [float(re.sub(r"[^\d.]", "", cell)) for cell in cells.split("|") if re.search(r"\d", cell)]


def test_the_commands_of_the_page_run(tmp_path):
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    plain, as_json = (saq_eval_here(*words[1:], cwd=tmp_path) for words in commands_of(block))
    assert (plain.returncode, as_json.returncode) == (0, 0), plain.stderr + as_json.stderr
    assert "expected time here" in plain.stdout and json.loads(as_json.stdout)["missing"] > 0
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("side", "chosen"), [("32", "quick"), pytest.param("224", "standard", marks=pytest.mark.validation)], ids=str
)
@pytest.mark.filterwarnings("ignore")  # of colour images without masks
def test_the_example_in_python_runs(side, chosen, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    block = block.replace("224", side).replace('["standard"]', f'["{chosen}"]')
    with deterministic(threads=1):
        exec(compile(block, "scale.md", "exec"), {})
    two, three = ([float(value) for value in line.split()[:4]] for line in capsys.readouterr().out.splitlines())
    assert all(more > fewer > 0 for fewer, more in zip(two, three, strict=True))
    if chosen == "standard":
        names = ("cells (in all)", "passes forward", "passes forward and backward", "bytes of the store")
        for place, name in enumerate(names):
            scale = 1e6 if "bytes" in name else 1
            assert [two[place] / scale, three[place] / scale] == pytest.approx(row(name)[:2], rel=0.01)


def test_a_further_network_takes_the_passes_that_are_stated():
    explainers, scorers = find_explainers(["standard"]), find_scorers(["standard"])
    metrics = passes_of_metrics(scorers, SHAPE)
    total = Passes(forward=sum(metrics.shared.values()) + 2)  # one for the predictions, one for the surrogate gap
    for explainer in [*explainers, *find_explainers(["random", "edges"])]:
        total += passes_of_map(explainer, SHAPE) * 2  # with noise and without
        total += passes_of_scores(explainer, metrics, SHAPE, layers=0)
    assert [row("passes forward")[2], row("passes forward and backward")[2]] == [total.forward, total.backward]


def test_the_study_is_counted_from_the_dry_runs():
    for name in ("passes forward", "passes forward and backward", "bytes of the store", "cells (in all)"):
        two, three, further, study = row(name)
        assert three - two == pytest.approx(further, rel=0.001 if two > 100 else 0.03)
        assert two + 48 * further == pytest.approx(study, rel=0.01), name


def test_the_days_on_gpus_follow_from_the_formula():
    forward, backward = (10_000 * row(name)[3] for name in ("passes forward", "passes forward and backward"))
    assert f"days = {OVERHEAD} × ({round(forward, -6):,.0f} / F + {round(backward, -6):,.0f} / B)" in PAGE
    for speed in (1000, 3000, 10_000):
        (cells,) = re.findall(rf"^\| {speed:,} \|(.*)\|$", PAGE, re.MULTILINE)
        for gpus, cell in zip((1, 8, 64), cells.split("|"), strict=True):
            seconds = OVERHEAD * (forward / speed + backward / (speed / 3)) / gpus
            number, unit = cell.split()
            assert float(number) == pytest.approx(seconds / {"days": 86400, "hours": 3600}[unit], rel=0.03, abs=0.05)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(((?!http)[^)#]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
