"""Networks that are quantized after training, in the zoo."""

import copy
import inspect
import warnings
from dataclasses import fields, replace

import pytest
import torch

import saq_eval
from saq_eval import SaqEvalError, freeze, quantize_model, train_model
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.data import DATASETS
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.quantization import SCHEMES
from saq_eval.studies.driver import retrain_model
from saq_eval.studies.parent import Source
from saq_eval.studies.post_training import Request, quantize_source
from saq_eval.zoo import WEIGHTS, find_model, load_model, load_training_form, verify_model
from saq_eval.zoo.cards import CalibrationCard, is_fine_tuned_twin, read_card, twin
from saq_eval.zoo.networks import choose
from tests.studies.small import RECIPE, train_small


@pytest.fixture
def parent(zoo):
    return train_small(zoo=zoo)


def quantize_small(scheme="w4a4", **arguments):
    return quantize_model("digits", "small-fp32", scheme, **{"calibrate": 64, "progress": False} | arguments)


def test_the_child_is_in_the_zoo_beside_its_parent(parent, zoo, digits):
    other = zoo.parent / "mine"
    card = quantize_small(zoo=other, clip="quantile:0.999", seed=3)
    folder = other / "digits" / "small-fp32-w4a4-ptq"
    assert {file.name for file in folder.iterdir()} == {"card.yaml", WEIGHTS} and read_card(
        folder / "card.yaml"
    ) == card
    assert (card.parent, card.parent_sha256, card.seed) == ("small-fp32", parent.training_form_sha256, 0)
    assert card.scheme.name == "w4a4-ptq" and card.scheme.weights == "mse"
    assert card.calibration == CalibrationCard(64, "train", "quantile:0.999", "least-squares", seed=3)
    assert (card.recipe, card.parent_recipe, card.training, card.history) == (None, parent.recipe, "standard", ())
    assert verify_model(*find_model("digits", card.name, other), digits) == card.test_accuracy
    assert card.test_accuracy > parent.test_accuracy - 0.1
    again = quantize_small(zoo=other, clip="quantile:0.999", seed=3, overwrite=True)
    assert again == card
    with pytest.raises(SaqEvalError, match="small-fp32-w4a4-ptq exists already"):
        quantize_small(zoo=other)
    with pytest.raises(SaqEvalError, match="was quantized without training; `saq-eval quantize` makes it again"):
        retrain_model("digits", card.name, name="again", zoo=other)


def test_no_further_training_so_no_control_for_it(parent, zoo):
    tuned = train_small("fp32-ft", parent="small-fp32", zoo=zoo)
    trained = train_small("w4a4", parent="small-fp32", zoo=zoo)
    card = quantize_small(zoo=zoo)
    assert is_fine_tuned_twin(tuned, trained) and not is_fine_tuned_twin(tuned, card)
    choice = choose("digits", [card.name, trained.name])
    assert choice.fine_tuned_of[trained.name] == tuned.name and card.name not in choice.fine_tuned_of
    assert choice.baseline_of[card.name] == "small-fp32"


def test_a_comparison_says_that_bits_alone_set_it_apart(parent, zoo):
    card = quantize_small(zoo=zoo)
    made = saq_eval.compare(
        "digits", models=[card.name], methods=["saliency"], metrics=["PointingGame", "SSIM"], samples=4, progress=False
    )
    assert set(made.effects["step"]) == {"bits"} and set(made.effects["networks"]) == {"w4a4-ptq"}
    claims = set(made.findings["claim"])
    assert claims and all(claim.startswith("lower precision ") and "further" not in claim for claim in claims)


def test_the_schemes_own_quantizer_on_request(parent, zoo):
    card = quantize_small("w2a2", weights="scheme", rounding="nearest", name="own", zoo=zoo)
    assert card.scheme == replace(SCHEMES["w2a2"], name="w2a2-ptq") and card.name == "own"


def test_biases_are_left_as_they_are_on_request(parent, zoo):
    plain = {"clip": "quantile:1.0", "rounding": "nearest", "zoo": zoo}  # nothing else depends on the layers before
    card = quantize_small("w2a2", bias_correction=False, name="kept", **plain)
    assert not card.calibration.bias_correction and "biases not corrected" in card.calibration.text
    assert quantize_small("w2a2", name="corrected", **plain).calibration.bias_correction
    exact = freeze(load_training_form(*find_model("digits", "small-fp32"))).state_dict()
    kept, corrected = (load_model("digits", name).frozen.state_dict() for name in ("kept", "corrected"))
    biases = [name for name in exact if name.endswith("bias")]
    assert len(biases) >= 3 and all(torch.equal(kept[name], exact[name]) for name in biases)
    assert not any(torch.equal(corrected[name], exact[name]) for name in biases)
    assert twin(card) != twin(find_model("digits", "corrected")[0])


def test_an_option_of_quantization_is_one_everywhere():
    """In Python, on the command line and in the request, under one name and with one default."""
    from saq_eval.cli.quantize import quantize

    requested = {each.name: each.default for each in fields(Request) if each.name != "scheme"}
    for function in (quantize_model, quantize):
        parameters = inspect.signature(function).parameters
        assert {name: parameters[name].default for name in requested if name in parameters} == requested


def test_training_goes_on_from_the_calibrated_clips(parent, zoo, monkeypatch):
    frozen = load_model("digits", quantize_small(weights="scheme", zoo=zoo).name).frozen
    monkeypatch.setattr("saq_eval.studies.post_training.default_recipe", lambda *_, **__: RECIPE)
    starts = []

    def fit_nothing(network, draft, *_):
        starts.append(network[1])
        return draft

    monkeypatch.setattr("saq_eval.studies.post_training.fit_draft", fit_nothing)
    quantize_small(finetune=1, name="untrained", zoo=zoo)
    clips = {name: module.alpha for name, module in starts[0].named_modules() if name.startswith("act")}
    assert clips and all(torch.equal(alpha, frozen.get_submodule(name).alpha) for name, alpha in clips.items())
    assert all(parameter.requires_grad for parameter in starts[0].parameters())


def test_a_network_that_is_trained_on_has_the_recipe_and_the_schemes_quantizer(parent, zoo, digits, monkeypatch):
    monkeypatch.setattr("saq_eval.studies.post_training.default_recipe", lambda *_, **__: RECIPE)
    card = quantize_small("w2a2", finetune=2, zoo=zoo)
    assert card.name == "small-fp32-w2a2-ft" and card.scheme == SCHEMES["w2a2"] and len(card.history) == 2
    assert (card.recipe.epochs, card.recipe.alpha_init, card.parent_recipe) == (2, "calibrated", None)
    assert not card.only_quantized and card.calibration.images == 64
    assert verify_model(*find_model("digits", card.name), digits) == card.test_accuracy > 0.6
    tuned = train_small("fp32-ft", parent="small-fp32", recipe=replace(RECIPE, epochs=2), zoo=zoo)
    assert is_fine_tuned_twin(tuned, card)
    with pytest.raises(SaqEvalError, match="is trained from calibrated clips by `saq-eval quantize --finetune`"):
        train_model("digits", "w2a2", recipe=card.recipe, parent="small-fp32", name="x", zoo=zoo)


def test_a_network_from_elsewhere_that_reads_normalised_pixels(parent, zoo, digits):
    network = load_training_form(*find_model("digits", "small-fp32"))
    state = copy.deepcopy(network.state_dict())
    preprocessing = Preprocessing(mean=(0.1,), std=(0.9,))
    source = Source("theirs", network, parent.architecture, preprocessing, seed=4)
    card = quantize_source(source, "digits", Request(SCHEMES["w8a8"], calibrate=64), zoo=zoo, progress=False)
    assert (card.name, card.parent, card.seed, card.training) == ("theirs-w8a8-ptq", "theirs", 4, "external")
    assert card.preprocessing == preprocessing and card.parent_recipe is None
    with torch.no_grad():
        theirs = freeze(network)((digits.images - 0.1) / 0.9).argmax(dim=1)
        ours = load_model("digits", card.name).network(digits.images).argmax(dim=1)
    assert (ours == theirs).float().mean() > 0.97
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_fewer_images_than_asked_for_are_all_used_and_said(parent, zoo):
    count = len(saq_eval.load_dataset("digits", "train"))
    with pytest.warns(
        SaqEvalWarning, match=f"calibrated on all {count} images of the digits train set, .* fewer than 5000"
    ):
        card = quantize_small(calibrate=5000, rounding="nearest", zoo=zoo)
    assert card.calibration.images == count


def test_without_a_training_split_it_is_calibrated_on_test_images(parent, zoo, monkeypatch):
    load = DATASETS["digits"]

    def only_test(split, root):
        if split == "train":
            raise SaqEvalError("there is none")
        return load(split, root)

    monkeypatch.setitem(DATASETS._entries, "digits", only_test)
    with pytest.warns(
        SaqEvalWarning, match="digits has no training split .there is none., so the network is calibrated on test"
    ):
        card = quantize_small(zoo=zoo)
    assert card.calibration.split == "test"
    with pytest.raises(SaqEvalError, match="cannot be trained on without a training split"), warnings.catch_warnings():
        warnings.simplefilter("ignore", SaqEvalWarning)
        quantize_small(finetune=1, name="x", zoo=zoo)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"scheme": "fp32"},
            "the scheme 'fp32' is of full precision, so there is nothing to quantize; w8a8, w4a4 and mixed are not",
        ),
        ({"scheme": "w5a5"}, "unknown scheme 'w5a5'"),
        ({"calibrate": 0}, "calibrate is a whole number of at least 1, not 0"),
        ({"finetune": -1}, "finetune is a whole number of at least 0, not -1"),
        ({"weights": "best"}, "unknown kind of weights 'best'"),
        ({"rounding": "best"}, "unknown rounding 'best'"),
        ({"clip": "best"}, "a clip is 'mse', or"),
        ({"seed": -1}, "a seed is a whole number"),
        ({"name": "a/b"}, "a/b"),
    ],
)
def test_bad_arguments_are_one_sentence_and_nothing_is_written(zoo, arguments, message):
    with pytest.raises(SaqEvalError, match=message):
        quantize_small(**arguments, zoo=zoo)
    assert not list(zoo.iterdir())


def test_a_quantized_parent_is_refused(parent, zoo):
    card = quantize_small(zoo=zoo)
    with pytest.raises(SaqEvalError, match="small-fp32-w4a4-ptq has a parent itself"):
        quantize_model("digits", card.name, "w2a2", zoo=zoo)
