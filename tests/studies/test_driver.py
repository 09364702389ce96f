"""Training into the zoo: single models and whole studies."""

import shutil
import sys
from dataclasses import replace

import filelock
import pytest
import torch
from safetensors.torch import load_file

import saq_eval
from saq_eval import SaqEvalError, train_model
from saq_eval.studies.driver import retrain_model
from saq_eval.zoo import TRAINING_FORM, WEIGHTS, find_model, load_training_form, verify_model
from saq_eval.zoo.cards import is_fine_tuned_twin, read_card
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
