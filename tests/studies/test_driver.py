"""Training into the zoo: single models and whole studies."""

import shutil
import sys
from dataclasses import replace

import filelock
import pytest
import torch
from safetensors.torch import load_file

import saq_eval
from saq_eval import SaqEvalError, find_models, train_model, train_study
from saq_eval.studies.driver import retrain_model
from saq_eval.studies.study import Study
from saq_eval.zoo import TRAINING_FORM, WEIGHTS, find_model, load_training_form, verify_model
from saq_eval.zoo.cards import ArchitectureCard, is_fine_tuned_twin, read_card
from tests import BUILTIN
from tests.studies.small import RECIPE, SMALL, train_small


def test_training_writes_an_entry_that_children_start_from(zoo, digits):
    parent = train_small(zoo=zoo)
    assert parent.parent is None and len(parent.history) == 3
    child = train_small(
        "w2a2", saliency_guided=True, seed=1, parent="small-fp32", recipe=replace(RECIPE, learning_rate=0.02), zoo=zoo
    )
    assert (child.parent, child.training, child.seed) == ("small-fp32", "saliency-guided", 1)
    assert child.parent_sha256 == parent.training_form_sha256
    assert child.recipe.saliency_guided.masked_fraction == 0.5
    folder = zoo / "digits" / "small-w2a2"
    assert {file.name for file in folder.iterdir()} == {"card.yaml", WEIGHTS}
    assert read_card(folder / "card.yaml") == child
    assert verify_model(*find_model("digits", "small-w2a2"), digits) == child.test_accuracy
    assert child.test_accuracy > 0.6
    assert not list(zoo.rglob(".partial*"))

    other = zoo.parent / "other"
    with pytest.raises(SaqEvalError, match="small-w2a2 exists already"):  # overwriting is for the zoo written to
        train_small("w2a2", zoo=other, overwrite=True)
    again = train_small(recipe=replace(RECIPE, epochs=1), zoo=zoo, overwrite=True)
    assert len(again.history) == 1 and read_card(zoo / "digits" / "small-fp32" / "card.yaml") == again
    with pytest.raises(SaqEvalError, match="small-w2a2 exists already"):
        train_small("w2a2", zoo=zoo)


def test_latent_weights_are_kept_on_request(zoo, digits):
    train_small(zoo=zoo)
    card = train_small("w4a4", parent="small-fp32", keep_training_form=True, zoo=zoo)
    assert card.training_form_sha256 is not None
    network = load_training_form(*find_model("digits", "small-w4a4"))
    latent = load_file(zoo / "digits" / "small-w4a4" / TRAINING_FORM)["conv2.weight"]
    assert torch.equal(network.conv2.weight, latent) and len(latent.unique()) > 500
    assert verify_model(*find_model("digits", "small-w4a4"), digits) == card.test_accuracy


def test_a_child_needs_its_parent(zoo):
    with pytest.raises(SaqEvalError, match="the zoo holds no digits model"):
        train_small("w4a4", name=None, seed=7, zoo=zoo)
    shutil.copytree(BUILTIN / "digits" / "cnn-w2a2", zoo / "digits" / "cnn-w2a2")
    train_small(zoo=zoo)
    with pytest.raises(SaqEvalError, match="unknown digits model 'cnn-fp32-s7'"):
        train_small("w4a4", name=None, seed=7, zoo=zoo)
    with pytest.raises(SaqEvalError, match="cnn-w2a2 has a parent itself"):
        train_small("w4a4", parent="cnn-w2a2", zoo=zoo)
    with pytest.raises(
        SaqEvalError, match=r"small-fp32 is a cnn with arguments \{'channels.* not a cnn with arguments \{\}"
    ):
        train_small("w4a4", parent="small-fp32", arguments={}, zoo=zoo)
    with pytest.raises(SaqEvalError, match="a full-precision network has no parent"):
        train_small(parent="small-fp32", name="x", zoo=zoo)


def test_code_named_on_the_command_line_may_run(zoo, tmp_path, monkeypatch):
    (tmp_path / "somebodys_nets.py").write_text(
        "from saq_eval.networks.architectures import ARCHITECTURES\n"
        "def tiny(): return ARCHITECTURES['cnn'](channels=(4, 4), pool_after=(1, 2), hidden=8)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    code = {"architecture": "somebodys_nets:tiny", "arguments": None, "name": None, "zoo": zoo}
    assert train_small(**code).name == "tiny-fp32"
    assert train_small("w4a4", **code).parent == "tiny-fp32"


def test_a_name_that_is_no_folder(zoo):
    with pytest.raises(SaqEvalError, match=r"name has up to 100 letters.*not '../x'"):
        train_small(name="../x", zoo=zoo)


def test_nothing_is_written_before_the_input_is_checked(tmp_path):
    new = {"zoo": tmp_path / "new", "progress": False}
    for arguments in (("nope", "fp32"), ("digits", "w9")):
        with pytest.raises(SaqEvalError, match="unknown"):
            train_model(*arguments, **new)
    with pytest.raises(SaqEvalError, match="a seed is a whole number"):
        train_model("digits", "fp32", seed=-1, **new)
    with pytest.raises(SaqEvalError, match="unknown architecture"):
        train_model("digits", "fp32", architecture="nope", **new)
    assert not (tmp_path / "new").exists()


@pytest.fixture
def untrainable(monkeypatch):
    """Training that must not be reached."""
    monkeypatch.setattr("saq_eval.studies.driver.fit", lambda *_: pytest.fail("training began"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 3}, r"small-fp32 cannot read images of shape \(1, 28, 28\)"),
        ({"classes": 4}, r"small-fp32 has outputs of shape \(1, 4\).*digits has 10 classes"),
    ],
)
def test_a_network_that_does_not_fit_the_dataset_is_refused_before_training(zoo, untrainable, arguments, message):
    with pytest.raises(SaqEvalError, match=message):
        train_small(arguments=SMALL | arguments, zoo=zoo)
    assert not list(zoo.rglob("*small*"))


def test_a_network_that_cannot_be_frozen_is_refused_before_training(zoo, untrainable, tmp_path, monkeypatch):
    (tmp_path / "smooth_nets.py").write_text(
        "from torch import nn\n"
        "def smooth(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.GELU(), nn.Linear(8, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    with pytest.raises(SaqEvalError, match="GELU"):
        train_small(architecture="smooth_nets:smooth", arguments=None, zoo=zoo)


def test_a_whole_study_is_checked_before_its_first_training(zoo, quick, untrainable):
    narrow = ArchitectureCard("cnn", {"classes": 4})
    with pytest.raises(SaqEvalError, match="cnn-fp32 has outputs of shape"):
        train_study(replace(STUDY, architecture=narrow), "digits", progress=False)
    assert not (zoo / "digits").exists()


def test_a_model_in_training_is_locked(zoo):
    folder = zoo / "digits" / ".partial-small-fp32"
    folder.mkdir(parents=True)
    with filelock.FileLock(folder / "lock"), pytest.raises(SaqEvalError, match="being trained by another process"):
        train_small(zoo=zoo)


@pytest.mark.validation
@pytest.mark.parametrize("name", ["cnn-fp32-s1", "cnn-w2a2-sgt"])
def test_retraining_from_the_card_gives_the_accuracy_again(tmp_path, name):
    """In the numbers that this processor is fast in: the card's bfloat16 may take it ten minutes."""
    card = find_model("digits", name)[0]
    recipe = replace(card.recipe, precision="auto")
    guided = card.recipe.saliency_guided or False
    again = train_model(
        "digits",
        card.scheme,
        saliency_guided=guided,
        seed=card.seed,
        parent=card.parent,
        name="again",
        recipe=recipe,
        zoo=tmp_path,
        progress=False,
    )
    assert recipe.agrees_with(again.recipe) and again.recipe.precision != "auto"
    assert (again.seed, again.parent_sha256) == (card.seed, card.parent_sha256)
    # The same processor gives the same network; another one rounds differently, and one test digit is 0.28 points.
    assert abs(again.test_accuracy - card.test_accuracy) <= 0.015


def test_the_recipes_threads_count_and_not_the_callers(zoo):
    train_small(zoo=zoo)
    trained = train_small("w4a4", parent="small-fp32", zoo=zoo)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        again = retrain_model("digits", "small-w4a4", name="again", zoo=zoo.parent / "new", progress=False)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert again.weights_sha256 == trained.weights_sha256
    assert again.recipe.threads == 1


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


def test_a_fine_tuned_network_is_its_parent_trained_on_in_full_precision(zoo, digits):
    parent = train_small(zoo=zoo)
    tuned = train_small("fp32-ft", parent="small-fp32", zoo=zoo, recipe=replace(RECIPE, epochs=1, learning_rate=1e-4))
    child = train_small("w4a4", parent="small-fp32", zoo=zoo, recipe=replace(RECIPE, epochs=1, learning_rate=1e-4))
    assert (tuned.parent, tuned.parent_sha256) == ("small-fp32", parent.training_form_sha256)
    assert tuned.training_form_sha256 is None and tuned.ideal_bytes == parent.ideal_bytes
    # Hardly a step at that rate: it still computes what its parent does, but is no copy.
    first, second = (saq_eval.load_model("digits", name, zoo).network for name in ("small-fp32", "small-fp32-ft"))
    with torch.no_grad():
        logits, again = first(digits.images[:64]), second(digits.images[:64])
    assert not torch.equal(logits, again) and (logits - again).abs().max() < 0.1 * logits.abs().max()
    assert is_fine_tuned_twin(tuned, child) and is_fine_tuned_twin(tuned, tuned)
    assert not is_fine_tuned_twin(child, child) and not is_fine_tuned_twin(parent, child)
    for other in (replace(child, seed=1), replace(child, parent="x"), replace(child, recipe=RECIPE)):
        assert not is_fine_tuned_twin(tuned, other)
    slow = replace(child, recipe=replace(child.recipe, precision="float32"))
    assert is_fine_tuned_twin(tuned, slow)  # whatever precision a processor trains in
    with pytest.raises(SaqEvalError, match="small-fp32-ft has a parent itself; a network starts from one of full"):
        train_small("w4a4", parent="small-fp32-ft", name="other", zoo=zoo)


def test_only_some_of_a_study(zoo, quick):
    assert [card.name for card in train_study(STUDY, "digits", only=["*-fp32-s3"], progress=False)] == ["cnn-fp32-s3"]
    with pytest.raises(SaqEvalError, match="study 'small' has no model called x"):
        train_study(STUDY, "digits", only=["x"], progress=False)
    assert [card.name for card, _ in find_models("digits")] == ["cnn-fp32-s3"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"architecture": "cnn", "arguments": {"in_channels": 3}}, "cannot read images of shape"),
        ({"architecture": "cnn", "arguments": {"classes": 3}}, "has outputs of shape .*10 classes"),
    ],
)
def test_what_can_be_checked_is_checked_before_training(tmp_path, monkeypatch, arguments, message):
    import saq_eval.studies.driver as studies

    monkeypatch.setattr(studies, "fit", lambda *arguments: pytest.fail("it trains first"))
    with pytest.raises(SaqEvalError, match=message):
        train_model("digits", "fp32", name="mine", zoo=tmp_path, progress=False, **arguments)
