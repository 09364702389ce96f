import shutil

import pytest

from saq_eval import SaqEvalError, find_models, load_model, register_zoo
from saq_eval.zoo import find_model, finding, zoo_folders
from tests.zoo.edit import edit


def test_patterns():
    assert [card.name for card, _ in find_models("digits", ["cnn-w*-sgt", "cnn-fp32"])] == [
        *("cnn-fp32", "cnn-w8a8-sgt", "cnn-w4a4-sgt", "cnn-w4a2-sgt", "cnn-w2a2-sgt")
    ]
    with pytest.raises(SaqEvalError, match=r"unknown digits model 'cnn-\*'"):  # one model has no pattern
        load_model("digits", "cnn-*")
    with pytest.raises(SaqEvalError, match="unknown digits model 'cnn-w2a3'; did you mean 'cnn-w2a2'"):
        load_model("digits", "cnn-w2a3")
    with pytest.raises(SaqEvalError, match="unknown digits model 'cnn.onnx' .*NAME=onnx:cnn.onnx.; valid: cnn-fp32"):
        load_model("digits", "cnn.onnx")
    with pytest.raises(SaqEvalError, match="unknown digits model 'resnet18' .*NAME=torchvision:resnet18@FILE"):
        find_models("digits", ["cnn-fp32", "resnet18"])


def test_a_dataset_without_models(zoo):
    with pytest.raises(SaqEvalError, match=f"the zoo holds no mnist model; looked in {zoo}"):
        find_models("mnist")
    with pytest.raises(
        SaqEvalError, match=r"the zoo holds no pets model; looked in"
    ):  # pictures need no registered name
        find_models("folder:somewhere/pets")
    with pytest.raises(
        SaqEvalError, match=r"the zoo holds no pets model .a network .* as NAME=onnx:net.onnx.; looked in"
    ):
        find_model("folder:somewhere/pets", "net.onnx")


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


def test_models_are_sorted_by_training_seed_and_falling_bit_width():
    names = [card.name for card, _ in find_models("digits", ["cnn-fp32*", "cnn-w4a[24]"])]
    plain = ["cnn-fp32", "cnn-fp32-ft", "cnn-w4a4", "cnn-w4a2"]
    assert names[:4] == plain and names[4:6] == ["cnn-fp32-s1", "cnn-fp32-ft-s1"]
    assert [name for name in names if "sgt" in name] == names[-10:]


def test_a_registered_zoo_is_searched(zoo, tmp_path, monkeypatch):
    monkeypatch.setattr(finding, "_REGISTERED_ZOOS", [])
    theirs = tmp_path / "theirs"
    shutil.copytree(zoo / "digits" / "cnn-w2a2", theirs / "digits" / "their-net")
    edit(theirs / "digits" / "their-net" / "card.yaml", name="their-net")
    register_zoo(theirs)
    register_zoo(theirs)
    assert zoo_folders() == [zoo, theirs]
    card, folder = find_model("digits", "their-net")
    assert (card.name, folder) == ("their-net", theirs / "digits" / "their-net")
    with pytest.raises(SaqEvalError, match="unknown dataset 'digit'; did you mean 'digits'"):
        find_models("digit")
