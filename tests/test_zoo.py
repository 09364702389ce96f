import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from saq_eval import Recipe, SaqEvalError, find_models, load_model, train_model
from saq_eval.cards import Normalize, Preprocessing, read_card, write_card
from saq_eval.training.loop import accuracy
from saq_eval.training.recipes import default_recipe
from saq_eval.zoo import (
    TRAINING_FORM,
    WEIGHTS,
    build_network,
    check_reads,
    load_training_form,
    verify_model,
    zoo_folders,
)

NAMES = [f"cnn-{scheme}{suffix}" for suffix in ("", "-sgt") for scheme in ("fp32", "w4a4", "mixed", "w2a2")]
BUILTIN = Path(__file__).parent.parent / "model_zoo"


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A zoo of its own with two digits models in place of the built-in one."""
    for name in ("cnn-fp32", "cnn-w2a2"):
        shutil.copytree(BUILTIN / "digits" / name, tmp_path / "zoo" / "digits" / name)
    monkeypatch.setattr("saq_eval.zoo._builtin_zoo", lambda: tmp_path / "zoo")
    return tmp_path / "zoo"


def edit(card: Path, **changes) -> None:
    card.write_text(yaml.safe_dump(yaml.safe_load(card.read_text()) | changes))


@pytest.mark.parametrize("dataset", ["digits", "fashionmnist"])
def test_the_zoo_holds_eight_networks_per_dataset(dataset):
    found = [card for card, _ in find_models(dataset)]
    assert [card.name for card in found] == NAMES
    for card in found:
        assert card.parent == (
            None if card.scheme.is_full_precision else f"cnn-fp32{card.name[8 + card.name.count('mixed') :]}"
        )
        assert card.scheme.ends.weight_bits == (32 if card.scheme.is_full_precision else 8)
        assert (card.training == "saliency-guided") == card.name.endswith("-sgt")


def test_no_pickle_and_no_large_file():
    for file in BUILTIN.rglob("*.*"):
        assert file.suffix in (".yaml", ".safetensors", ".md") and file.stat().st_size < 5 * 2**20


@pytest.mark.parametrize("name", NAMES)
def test_digits_networks_reach_98_percent(name, digits):
    model = load_model("digits", name)
    assert accuracy(model.network, digits) == pytest.approx(model.card.test_accuracy, abs=5e-4)
    assert model.card.test_accuracy >= 0.98
    assert verify_model(model.card, BUILTIN / "digits" / name, digits) >= 0.98


def test_fashionmnist_accuracies():
    at = {card.name: card.test_accuracy for card, _ in find_models("fashionmnist")}
    for scheme, least in (("fp32", 0.925), ("w4a4", 0.92), ("mixed", 0.91), ("w2a2", 0.905)):
        assert at[f"cnn-{scheme}"] >= least
        assert at[f"cnn-{scheme}-sgt"] >= at[f"cnn-{scheme}"] - 0.015


def test_patterns():
    assert [card.name for card, _ in find_models("digits", ["cnn-w*-sgt", "cnn-fp32"])] == [
        "cnn-fp32",
        "cnn-w4a4-sgt",
        "cnn-w2a2-sgt",
    ]
    with pytest.raises(SaqEvalError, match="unknown digits model 'cnn-w2a3'; did you mean 'cnn-w2a2'"):
        load_model("digits", "cnn-w2a3")


def test_a_dataset_without_models(zoo):
    with pytest.raises(SaqEvalError, match=f"the zoo holds no mnist model; looked in {zoo}"):
        find_models("mnist")


def test_tampered_weights_are_refused_with_both_hashes(zoo):
    file = zoo / "digits" / "cnn-w2a2" / WEIGHTS
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    expected = read_card(file.with_name("card.yaml")).weights_sha256
    with pytest.raises(SaqEvalError, match=rf"{file}.*SHA-256 is [0-9a-f]{{64}}, the card says {expected}"):
        load_model("digits", "cnn-w2a2")


def test_missing_weights(zoo):
    file = zoo / "digits" / "cnn-w2a2" / WEIGHTS
    file.unlink()
    with pytest.raises(SaqEvalError, match=rf"{file}: the weights cannot be read: No such file"):
        load_model("digits", "cnn-w2a2")


def test_weights_of_another_network_are_refused(zoo):
    target = zoo / "digits" / "cnn-w2a2"
    shutil.copy(zoo / "digits" / "cnn-fp32" / WEIGHTS, target / WEIGHTS)
    edit(target / "card.yaml", weights_sha256=read_card(zoo / "digits/cnn-fp32/card.yaml").weights_sha256)
    with pytest.raises(SaqEvalError, match="do not fit the network: .*conv1.weight_code is missing"):
        load_model("digits", "cnn-w2a2")


@pytest.mark.parametrize("spoil", [lambda f: f.unlink(), lambda f: f.write_bytes(f.read_bytes() + b"x")])
def test_the_training_form_is_verified_too(zoo, digits, spoil):
    spoil(zoo / "digits" / "cnn-fp32" / TRAINING_FORM)
    ((card, folder),) = find_models("digits", ["cnn-fp32"])
    with pytest.raises(SaqEvalError, match=TRAINING_FORM):
        verify_model(card, folder, digits)


def test_a_wrong_accuracy_fails_verification(zoo, digits):
    edit(zoo / "digits" / "cnn-w2a2" / "card.yaml", test_accuracy=0.9)
    ((card, folder),) = find_models("digits", ["cnn-w2a2"])
    with pytest.raises(SaqEvalError, match=r"card.yaml: test_accuracy: is 0.9000, but the model reaches 0.99"):
        verify_model(card, folder, digits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "other"}, "name: is 'other', but the folder is called 'cnn-w2a2'"),
        ({"dataset": "mnist"}, "dataset: is 'mnist', but the folder is called 'digits'"),
        ({"seed": "zero"}, "seed: input should be a valid integer"),
        ({"seed": -5}, "a seed is a whole number from 0 to 4294967295, not -5"),
        ({"seed": 10**30}, "a seed is a whole number"),
        ({"preprocessing": {"mean": [float("nan")], "std": [1]}}, "preprocessing: mean and std"),
        ({"scheme": {"name": "=1+1"}}, "scheme.default: field required"),
        ({"scheme": {"name": "x"}}, "scheme.default: field required"),
        ({"scheme": None}, "scheme: "),
        ({"test_accuracy": 99.4}, "test_accuracy lies between 0 and 1, not 99.4"),
        ({"weights_sha256": "abc"}, "64 lower-case hexadecimal digits, not 'abc'"),
        ({"colour": "red"}, "colour: unexpected keyword argument"),
        ({"preprocessing": {"mean": [0, 0], "std": [1]}}, "preprocessing: mean and std"),
        ({"recipe": {"epochs": 1}}, "recipe.batch_size: field required"),
    ],
)
def test_a_malformed_card_names_file_and_field(zoo, changes, message):
    file = zoo / "digits" / "cnn-w2a2" / "card.yaml"
    edit(file, **changes)
    with pytest.raises(SaqEvalError, match=rf"{file}: .*{message}"):
        find_models("digits")


@pytest.mark.parametrize("text", ["", "- 1\n", "{", "name: [", "\x00", "just text", "!!python/object:os.system {}"])
def test_a_card_that_is_no_card(zoo, text):
    file = zoo / "digits" / "cnn-w2a2" / "card.yaml"
    file.write_text(text)
    with pytest.raises(SaqEvalError, match=rf"{file}: "):
        find_models("digits")


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"name": "cn", "arguments": {}}, "unknown architecture 'cn'; did you mean 'cnn'"),
        ({"name": "cnn", "arguments": {"depth": 9}}, "'cnn' cannot be built with the arguments .*depth"),
        ({"name": "cnn", "arguments": {"channels": [8, 8]}}, f"{WEIGHTS}: 72 codes of 8 bits take 72 bytes"),
    ],
)
def test_an_architecture_that_cannot_be_built(zoo, architecture, message):
    edit(zoo / "digits" / "cnn-w2a2" / "card.yaml", architecture=architecture)
    with pytest.raises(SaqEvalError, match=message):
        load_model("digits", "cnn-w2a2")


def test_a_card_survives_writing(zoo, tmp_path):
    card = read_card(zoo / "digits" / "cnn-w2a2" / "card.yaml")
    folder = tmp_path / "digits" / "cnn-w2a2"
    folder.mkdir(parents=True)
    write_card(card, folder / "card.yaml")
    assert read_card(folder / "card.yaml") == card


def test_a_users_zoo_stands_beside_the_built_in_one(zoo, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    shutil.copytree(zoo / "digits" / "cnn-w2a2", mine / "digits" / "my-net")
    edit(mine / "digits" / "my-net" / "card.yaml", name="my-net")
    names = {"cnn-fp32", "cnn-w2a2", "my-net"}
    assert {card.name for card, _ in find_models("digits", zoo=mine)} == names
    monkeypatch.setenv("SAQ_EVAL_ZOO", str(mine))
    assert {card.name for card, _ in find_models("digits")} == names
    shutil.copytree(zoo / "digits" / "cnn-w2a2", mine / "digits" / "cnn-w2a2")
    with pytest.raises(SaqEvalError, match=rf"digits/cnn-w2a2 is in two zoos: {zoo}.* and {mine}"):
        find_models("digits")
    with pytest.raises(SaqEvalError, match="zoo folder .*nowhere does not exist"):
        zoo_folders(tmp_path / "nowhere")


def test_preprocessing_is_part_of_the_network(zoo, digits):
    plain = load_model("digits", "cnn-w2a2").network
    edit(zoo / "digits" / "cnn-w2a2" / "card.yaml", preprocessing={"mean": [0.5], "std": [0.25]})
    network = load_model("digits", "cnn-w2a2").network
    assert torch.equal(network(digits.images[:5]), plain((digits.images[:5] - 0.5) / 0.25))
    per_channel = Normalize(Preprocessing(mean=(0.0, 1.0), std=(1.0, 2.0)))
    assert per_channel(torch.ones(1, 2, 1, 1)).flatten().tolist() == [1.0, 0.0]


def test_a_network_for_other_images_or_classes_is_refused(zoo, digits):
    edit(zoo / "digits" / "cnn-w2a2" / "card.yaml", preprocessing={"mean": [0.5] * 3, "std": [0.2] * 3})
    with pytest.raises(SaqEvalError, match=r"cnn-w2a2 cannot read images of shape \(1, 28, 28\)"):
        check_reads(load_model("digits", "cnn-w2a2"), digits)
    more_classes = replace(digits, class_names=tuple("abcdefghijk"))
    with pytest.raises(SaqEvalError, match="digits has 11 classes"):
        check_reads(load_model("digits", "cnn-fp32"), more_classes)


RECIPE = Recipe(epochs=3, batch_size=64, learning_rate=0.1, weight_decay=0.0, alpha_init="quantile")
SMALL = {"channels": [8, 8], "pool_after": [1, 2], "hidden": 16}


def test_training_writes_an_entry_that_children_start_from(zoo, digits):
    parent = train_model("digits", "fp32", arguments=SMALL, name="small-fp32", recipe=RECIPE, zoo=zoo, progress=False)
    assert parent.parent is None and len(parent.history) == 3
    child = train_model(
        "digits",
        "w2a2",
        arguments=SMALL,
        saliency_guided=True,
        seed=1,
        name="small-w2a2",
        parent="small-fp32",
        recipe=replace(RECIPE, learning_rate=0.02),
        zoo=zoo,
        progress=False,
    )
    assert (child.parent, child.training, child.seed) == ("small-fp32", "saliency-guided", 1)
    assert child.recipe.saliency_guided.masked_fraction == 0.5
    folder = zoo / "digits" / "small-w2a2"
    assert {file.name for file in folder.iterdir()} == {"card.yaml", WEIGHTS}
    assert read_card(folder / "card.yaml").test_accuracy == child.test_accuracy
    assert verify_model(*find_models("digits", ["small-w2a2"])[0], digits) == child.test_accuracy
    assert child.test_accuracy > 0.6
    assert not list(zoo.rglob(".partial*"))

    other = zoo.parent / "other"
    with pytest.raises(SaqEvalError, match="small-w2a2 exists already"):  # overwriting is for the zoo written to
        train_model("digits", "w2a2", name="small-w2a2", zoo=other, recipe=RECIPE, overwrite=True, progress=False)
    again = train_model(
        "digits",
        "fp32",
        arguments=SMALL,
        name="small-fp32",
        recipe=replace(RECIPE, epochs=1),
        zoo=zoo,
        overwrite=True,
        progress=False,
    )
    assert len(again.history) == 1 and read_card(zoo / "digits" / "small-fp32" / "card.yaml") == again
    with pytest.raises(SaqEvalError, match="small-w2a2 exists already"):
        train_model("digits", "w2a2", name="small-w2a2", zoo=zoo, recipe=RECIPE, progress=False)


def test_the_training_form_is_the_frozen_networks(zoo, digits):
    model = load_model("digits", "cnn-fp32")
    network = build_network(model.card.architecture, seed=5).eval()
    load_training_form(network, "digits", "cnn-fp32")
    torch.testing.assert_close(network(digits.images), model.network(digits.images), atol=1e-4, rtol=1e-4)


def test_a_child_needs_its_parent(zoo):
    with pytest.raises(SaqEvalError, match="unknown digits model 'cnn-fp32-s7'"):
        train_model("digits", "w4a4", seed=7, zoo=zoo, progress=False)
    with pytest.raises(SaqEvalError, match=f"cnn-w2a2 keeps no {TRAINING_FORM}"):
        train_model("digits", "w4a4", parent="cnn-w2a2", zoo=zoo, progress=False)
    with pytest.raises(SaqEvalError, match="does not fit the architecture"):
        train_model("digits", "w4a4", arguments=SMALL, zoo=zoo, progress=False)
    with pytest.raises(SaqEvalError, match="a full-precision network has no parent"):
        train_model("digits", "fp32", parent="cnn-fp32", name="x", zoo=zoo, progress=False)


def test_a_name_that_is_no_folder(zoo):
    with pytest.raises(SaqEvalError, match="name has up to 100 letters.*not '../x'"):
        train_model("digits", "fp32", name="../x", zoo=zoo, progress=False)


@pytest.mark.parametrize("dataset", ["digits", "fashionmnist"])
def test_cards_record_the_recipes_of_the_repository(dataset):
    for card, _ in find_models(dataset):
        recipe = default_recipe(dataset, quantized=not card.scheme.is_full_precision)
        assert replace(card.recipe, saliency_guided=None) == recipe
        assert len(card.history) == recipe.epochs


def test_nothing_is_written_before_the_input_is_checked(tmp_path):
    for arguments in (("nope", "fp32"), ("digits", "w9")):
        with pytest.raises(SaqEvalError, match="unknown"):
            train_model(*arguments, zoo=tmp_path / "new", progress=False)
    with pytest.raises(SaqEvalError, match="a seed is a whole number"):
        train_model("digits", "fp32", seed=-1, zoo=tmp_path / "new", progress=False)
    with pytest.raises(SaqEvalError, match="unknown architecture"):
        train_model("digits", "fp32", architecture="nope", zoo=tmp_path / "new", progress=False)
    assert not (tmp_path / "new").exists()
