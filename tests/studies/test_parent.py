"""The network that is to be quantized, and what is said of its pictures and outputs again."""

import shutil

import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.data import Geometry
from saq_eval.studies.parent import find_source
from saq_eval.zoo import find_model
from tests import BUILTIN
from tests.zoo.edit import edit

DIGITS = [f"digit {number}" for number in range(10)]


@pytest.fixture
def parent(zoo):
    shutil.copytree(BUILTIN / "digits" / "cnn-fp32", zoo / "digits" / "cnn-fp32")
    return find_model("digits", "cnn-fp32")[0]


@pytest.fixture
def names(tmp_path):
    """Write names of outputs into a file."""

    def write(some):
        path = tmp_path / str(len(list(tmp_path.iterdir()))) / "names.txt"
        path.parent.mkdir()
        path.write_text("\n".join(some))
        return path

    return write


def test_a_model_of_the_zoo_is_described_by_its_card(parent):
    source = find_source("digits", "cnn-fp32")
    assert (source.name, source.architecture, source.recipe) == ("cnn-fp32", parent.architecture, parent.recipe)
    assert (source.sha256, source.geometry, source.classes) == (parent.training_form_sha256, None, None)
    with torch.no_grad():
        assert source.network.eval()(torch.rand(1, *parent.image_shape)).shape == (1, 10)


def test_what_a_card_leaves_open_may_be_said_if_it_holds(parent, names):
    named = names([str(number) for number in range(10)])
    source = find_source("digits", "cnn-fp32", size=28, classes=named)
    assert (source.geometry, source.classes) == (Geometry(28), tuple(map(str, range(10))))
    assert find_source("digits", "cnn-fp32", size=40, crop=28).geometry == Geometry(40, 28)
    assert find_source("digits", "cnn-fp32", classes=names(DIGITS)).classes == tuple(DIGITS)
    for given, message in (
        ({"size": 32}, "the zoo's cnn-fp32 takes pictures of 28x28 pixels, and size 32, crop 32 is asked for"),
        ({"crop": 14}, "takes pictures of 28x28 pixels, and crop 14 is asked for: leave out size and crop, or add"),
        (
            {"classes": names(map(str, range(9, -1, -1)))},
            "the outputs of the zoo's cnn-fp32 are 0, 1, 2, 3, 4 and 5 more, and not 9, 8, 7, 6, 5 and 5 more as in",
        ),
    ):
        with pytest.raises(SaqEvalError, match=message):
            find_source("digits", "cnn-fp32", **given)


def test_what_a_card_says_may_be_said_again_and_not_otherwise(parent, zoo, names):
    geometry = {"size": 32, "crop": 28, "interpolation": "bicubic"}
    edit(zoo / "digits" / "cnn-fp32" / "card.yaml", geometry=geometry, classes=DIGITS)
    for given in ({}, {"size": 32, "crop": 28}, {"crop": 28}, {"classes": names([n.upper() for n in DIGITS])}):
        source = find_source("digits", "cnn-fp32", **given)
        assert (source.geometry, source.classes) == (Geometry(32, 28, "bicubic"), tuple(DIGITS))
    for given, message in (
        ({"size": 32}, "takes pictures of size 32, crop 28, and size 32, crop 32 is asked for"),
        ({"size": 28}, "takes pictures of size 32, crop 28, and size 28, crop 28 is asked for"),
        ({"size": 28, "crop": 28}, "and size 28, crop 28 is asked for"),
        (
            {"classes": names([*DIGITS[1:], DIGITS[0]])},
            "are digit 0, .* and not digit 1, .* as in .*names.txt: leave out",
        ),
        ({"classes": names(DIGITS[:9])}, "are digit 0, .* and 5 more, and not digit 0, .* and 4 more"),
    ):
        with pytest.raises(SaqEvalError, match=message):
            find_source("digits", "cnn-fp32", **given)


def test_a_network_without_a_name_is_told_how_it_is_given(parent):
    for text in ("net.onnx", "torchvision:resnet18?size=28@w.safetensors"):
        form = text if ":" in text else f"onnx:{text}"
        with pytest.raises(SaqEvalError) as caught:
            find_source("digits", text)
        assert f"(a network outside the zoo is given as NAME={form})" in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # torchvision's initialisation
def test_a_network_outside_the_zoo_is_added_to_it(zoo, tmp_path, names):
    from safetensors.torch import save_file
    from torchvision.models import get_model

    from tests.data.writing import noise, write

    for place, name in enumerate(("cat", "dog")):
        write(tmp_path / "pets" / name / "1.png", noise(32, 32, seed=place))
    torch.manual_seed(0)
    save_file(get_model("resnet18", num_classes=2).state_dict(), tmp_path / "w.safetensors")
    given = {"size": 32, "classes": names(["dog", "cat"])}
    pets = f"folder:{tmp_path / 'pets'}"
    source = find_source(pets, f"mine = torchvision:resnet18@{tmp_path / 'w.safetensors'}", zoo=zoo, **given)
    card, _ = find_model(pets, "mine", zoo)
    assert (source.geometry.side, source.classes) == (32, ("dog", "cat")) == (card.geometry.side, card.classes)
    # The same options hold for the model that the zoo has now.
    again = find_source(pets, "mine", zoo=zoo, **given)
    assert (again.geometry, again.classes, again.sha256) == (source.geometry, source.classes, source.sha256)
