"""Studies as data: which models they name, and what is wrong with a file."""

from dataclasses import replace

import pytest

from saq_eval import SaqEvalError
from saq_eval.core.records import read_record
from saq_eval.quantization import load_scheme
from saq_eval.studies.study import Planned, Study, load_study
from saq_eval.training.recipes import default_recipe
from saq_eval.zoo import find_model
from saq_eval.zoo.cards import ArchitectureCard


def test_schemes_and_datasets_may_have_fewer_seeds():
    paper = load_study("paper")
    names = {model.name for model in paper.plan("mnist")}
    assert {"cnn-fp32-s4", "cnn-fp32-ft-sgt-s4", "cnn-w2a2-s4", "cnn-w8a8-s2"} <= names
    assert not {"cnn-w8a8-s3", "cnn-w4a2-s3"} & names
    assert "cnn-fp32-s3" not in {model.name for model in paper.plan("planted")}
    for fewer, message in (
        ({"scheme_seeds": {"w9a9": (0,)}}, "unknown scheme 'w9a9'"),
        ({"dataset_seeds": {"minst": (0,)}}, "unknown dataset 'minst'; did you mean 'mnist'"),
        ({"scheme_seeds": {"w4a4": (7,)}}, r"w4a4's seeds are some of the study's \[0, 1, 2, 3, 4\], not \[7\]"),
        ({"scheme_seeds": {"fp32": (0,)}}, "fp32 has all seeds of a study"),
    ):
        with pytest.raises(SaqEvalError, match=message):
            replace(paper, **fewer)


def test_study_files(tmp_path):
    paper = load_study("paper")
    assert paper.schemes == ("fp32", "fp32-ft", "w8a8", "w4a4", "mixed", "w4a2", "w2a2")
    assert paper.seeds == (0, 1, 2, 3, 4)
    with pytest.raises(SaqEvalError, match="unknown study 'papr'; did you mean 'paper'"):
        load_study("papr")
    mine = tmp_path / "mine.yaml"
    mine.write_text("{name: mine, schemes: [w4a4], trainings: [standard], seeds: [5], architecture: {name: resnet20}}")
    assert [model.name for model in load_study(mine).plan("digits")] == ["resnet20-fp32-s5", "resnet20-w4a4-s5"]
    for text, message in (
        ("{name: x, schemes: [], trainings: [standard], seeds: [0]}", "schemes are at least one"),
        ("{name: x, schemes: [w4a4], trainings: [adversarial], seeds: [0]}", "trainings.0: input should be"),
        ("{name: x, schemes: [w4a4], trainings: [standard], seeds: [-1]}", "a seed is a whole number"),
        ("{name: x, schemes: [w4a4], trainings: [standard], seeds: [0], architecture: {name: 'os:system'}}", "unknown"),
    ):
        mine.write_text(text)
        with pytest.raises(SaqEvalError, match=rf"mine\.yaml: .*{message}"):
            load_study(mine)
    mine.write_text("{name: x, schemes: [w9], trainings: [standard], seeds: [0]}")
    with pytest.raises(SaqEvalError, match="unknown scheme 'w9'"):
        read_record(Study, mine).plan("digits")


@pytest.mark.parametrize("name", ["/dev/zero", "."])
def test_a_study_is_read_from_a_file_alone(tmp_path, name, monkeypatch):
    link = tmp_path / "study.yaml"
    link.symlink_to(name)
    with pytest.raises(SaqEvalError, match="cannot be read as YAML: it is a (device or a pipe|folder), not a file"):
        load_study(link)
    with pytest.raises(SaqEvalError, match="a path is a text, not"):
        load_study(7)


def test_a_study_trains_a_parent_before_its_children():
    study = Study("small", ("w2a2", "fp32"), ("saliency-guided", "standard"), (3, 0))
    plan = study.plan("digits")
    assert [model.name for model in plan] == [
        *("cnn-fp32-sgt-s3", "cnn-w2a2-sgt-s3", "cnn-fp32-sgt", "cnn-w2a2-sgt"),
        *("cnn-fp32-s3", "cnn-w2a2-s3", "cnn-fp32", "cnn-w2a2"),
    ]
    assert [model.parent for model in plan[:2]] == [None, "cnn-fp32-sgt-s3"]
    assert plan[0].recipe.saliency_guided == study.saliency_guided and plan[-1].recipe.saliency_guided is None


def test_a_comparison_takes_some_schemes_and_what_the_zoo_holds():
    study = replace(load_study("paper"), seeds=(0,), trainings=("standard",), scheme_seeds={}, dataset_seeds={})
    study = replace(study, comparison=replace(study.comparison, schemes=("w2a2", "w4a4")))
    assert study.wanted("digits") == ["cnn-fp32", "cnn-w4a4", "cnn-w2a2"]
    assert study.compared("digits", {"cnn-w2a2", "other"}) == ["cnn-w2a2"]
    with pytest.raises(SaqEvalError, match="none of the study 'paper''s digits models; `saq-eval train --study paper"):
        study.compared("digits", {"other"})


def planned(**changes):
    fields = {
        "name": "mine",
        "architecture": ArchitectureCard("cnn"),
        "scheme": load_scheme("w4a4"),
        "seed": 0,
        "parent": "cnn-fp32",
        "recipe": default_recipe("digits", quantized=True),
    }
    return Planned(**fields | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "../x"}, "a model's name has up to 100 letters"),
        ({"seed": -1}, "a seed is a whole number"),
        ({"scheme": load_scheme("fp32")}, "a full-precision network has no parent, but 'cnn-fp32' was given"),
    ],
)
def test_what_cannot_be_trained_is_named(changes, message):
    with pytest.raises(SaqEvalError, match=message):
        planned(**changes)


def test_a_plan_names_the_fields_in_which_a_card_differs():
    card, _ = find_model("digits", "cnn-w4a4")
    as_card = {name: getattr(card, name) for name in ("name", "architecture", "scheme", "seed", "parent", "recipe")}
    assert planned(**as_card).differences(card) == []
    left_open = replace(card.recipe, precision="auto")
    assert planned(**as_card | {"recipe": left_open}).differences(card) == []
    other = {"seed": 1, "recipe": replace(card.recipe, epochs=card.recipe.epochs + 1)}
    assert planned(**as_card | other).differences(card) == ["seed", "recipe"]
    assert planned(**as_card).differences(replace(card, recipe=None)) == ["recipe"]  # trained elsewhere
