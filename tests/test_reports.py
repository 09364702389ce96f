"""The reports that the repository keeps are those of the zoo that it ships."""

import json

import pandas as pd
import pytest

from saq_eval import find_models
from saq_eval.studies.study import load_study
from tests import ROOT

REPORTS = ROOT / "reports"
FILES = {"report.html", "summary.csv", "effects.csv", "findings.csv", "models.csv", "run.json"}
STUDY = load_study("paper")


@pytest.fixture(params=["digits", "mnist", "fashionmnist"])
def report(request):
    folder = REPORTS / request.param
    return folder, json.loads((folder / "run.json").read_text(encoding="utf-8"))


def test_they_are_complete_and_small(report):
    folder, _ = report
    assert {file.name for file in folder.iterdir()} >= FILES
    assert all((folder / name).stat().st_size < 5 * 2**20 for name in FILES)
    assert f"[`{folder.name}/report.html`]" in (REPORTS / "README.md").read_text(encoding="utf-8")


def test_they_are_of_the_networks_in_the_zoo(report):
    folder, run = report
    cards = {card.name: card.weights_sha256 for card, _ in find_models(folder.name)}
    used = {name: about["weights_sha256"] for name, about in run["models"].items() if about["role"] == "model"}
    schemes = {"fp32", *STUDY.comparison.schemes}
    assert used == {model.name: cards[model.name] for model in STUDY.plan(folder.name) if model.scheme.name in schemes}
    for retrained in run["retrained"].values():
        assert len(retrained) == 4 and retrained.items() <= cards.items()


def test_they_are_of_the_study_as_it_is_now(report):
    _, run = report
    labels = [name for name, method in run["methods"].items() if method["family"] != "control"]
    assert (run["study"], run["samples"], run["seed"]) == ("paper", STUDY.comparison.samples, 0)
    assert labels == list(STUDY.comparison.methods)
    assert run["command"].startswith(f"saq-eval compare --dataset {run['dataset']} --study paper")


def test_tables_page_and_record_say_the_same(report):
    folder, run = report
    models = pd.read_csv(folder / "models.csv")
    assert set(models["model"]) == {name for name, about in run["models"].items() if about["role"] == "model"}
    page = (folder / "report.html").read_text(encoding="utf-8")
    for sentence in run["headline"]:
        assert sentence.replace("'", "&#39;") in page
    effects = pd.read_csv(folder / "effects.csv")
    assert (effects["seeds"] == len(STUDY.seeds)).all() and set(effects["scope"]) == {"scheme"}
    assert set(effects["scheme"]) <= set(STUDY.comparison.schemes)
    claims = pd.read_csv(folder / "findings.csv")
    assert claims["claim"].nunique() >= 5 and claims["text"].notna().all()
