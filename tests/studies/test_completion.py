"""Training whole studies into the zoo."""

import shutil
from dataclasses import replace

import pytest

from saq_eval import SaqEvalError, find_models, train_model, train_study
from saq_eval.studies.study import Study
from saq_eval.zoo import WEIGHTS, find_model
from saq_eval.zoo.cards import ArchitectureCard
from tests.studies.small import RECIPE, SMALL

STUDY = Study(
    "small",
    schemes=("fp32", "w2a2"),
    trainings=("standard", "saliency-guided"),
    seeds=(0, 3),
    architecture=ArchitectureCard("cnn", SMALL),
)


@pytest.fixture
def quick(monkeypatch):
    """One recipe of two epochs for everything."""
    monkeypatch.setattr("saq_eval.studies.study.default_recipe", lambda dataset, quantized: replace(RECIPE, epochs=2))


def test_a_study_is_trained_once_and_then_kept(zoo, quick):
    lines = []
    cards = train_study(STUDY, "digits", progress=False, report=lines.append)
    names = [
        f"cnn-{scheme}{training}{seed}"
        for training in ("", "-sgt")
        for seed in ("", "-s3")
        for scheme in ("fp32", "w2a2")
    ]
    assert [card.name for card in cards] == names
    assert all(card.parent == card.name.replace("w2a2", "fp32") for card in cards if "w2a2" in card.name)
    assert lines[0].startswith("[1/8] digits/cnn-fp32: trained, test accuracy ")

    written = {file: file.stat().st_mtime_ns for file in zoo.rglob("*.safetensors")}
    shutil.rmtree(zoo / "digits" / "cnn-w2a2-s3")
    lines.clear()
    assert train_study(STUDY, "digits", progress=False, report=lines.append) == cards
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["kept"] * 3 + ["trained"] + ["kept"] * 4
    kept = {file: file.stat().st_mtime_ns for file in zoo.rglob("*.safetensors") if "cnn-w2a2-s3" not in str(file)}
    assert kept.items() <= written.items()


def test_a_study_says_what_differs_and_overwrites_only_that(zoo, quick, monkeypatch):
    only = ["cnn-*[!3]"]  # the standard networks of seed 0 and the guided ones
    train_study(replace(STUDY, trainings=("standard",)), "digits", only=only, progress=False)
    parent = find_model("digits", "cnn-fp32")[0]
    monkeypatch.setattr(
        "saq_eval.studies.study.default_recipe", lambda dataset, quantized: replace(RECIPE, epochs=2 + (not quantized))
    )
    study = replace(STUDY, trainings=("standard",), seeds=(0,))
    with pytest.raises(SaqEvalError, match=r"cnn-fp32: its card differs from the study in recipe; overwrite it"):
        train_study(study, "digits", progress=False)
    train_model("digits", "fp32", arguments=SMALL, recipe=replace(RECIPE, epochs=3), overwrite=True, progress=False)
    assert find_model("digits", "cnn-fp32")[0].weights_sha256 != parent.weights_sha256
    with pytest.raises(SaqEvalError, match="cnn-w2a2: it started from another cnn-fp32 than the zoo holds now"):
        train_study(study, "digits", progress=False)
    lines = []
    train_study(study, "digits", overwrite=True, progress=False, report=lines.append)
    assert ["kept" in lines[0], "trained" in lines[1]] == [True, True]
    (zoo / "digits" / "cnn-w2a2" / WEIGHTS).write_bytes(b"spoilt")
    with pytest.raises(SaqEvalError, match="the weights were changed"):
        train_study(study, "digits", progress=False)


def test_a_whole_study_is_checked_before_its_first_training(zoo, quick, untrainable):
    narrow = ArchitectureCard("cnn", {"classes": 4})
    with pytest.raises(SaqEvalError, match="cnn-fp32 has outputs of shape"):
        train_study(replace(STUDY, architecture=narrow), "digits", progress=False)
    assert not (zoo / "digits").exists()


def test_only_some_of_a_study(zoo, quick):
    assert [card.name for card in train_study(STUDY, "digits", only=["*-fp32-s3"], progress=False)] == ["cnn-fp32-s3"]
    with pytest.raises(SaqEvalError, match="study 'small' has no model called x"):
        train_study(STUDY, "digits", only=["x"], progress=False)
    assert [card.name for card, _ in find_models("digits")] == ["cnn-fp32-s3"]
