import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError, find_models, load_model
from saq_eval.zoo import TRAINING_FORM, WEIGHTS, check_reads, find_model, load_training_form, verify_model
from saq_eval.zoo.cards import read_card
from tests.zoo.edit import edit


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
    with pytest.raises(SaqEvalError, match=r"card.yaml: test_accuracy: is 0.9000, but the model reaches (0.99|1.00)"):
        verify_model(card, folder, digits)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"name": "cn", "arguments": {}}, "unknown architecture 'cn'; did you mean 'cnn'"),
        ({"name": "cnn", "arguments": {"depth": 9}}, "'cnn' cannot be built with the arguments .*depth"),
        (
            {"name": "cnn", "arguments": {"channels": [8, 8]}},
            f"{WEIGHTS}: .*conv1.weight_code: 72 codes of 8 bits take 72 bytes",
        ),
    ],
)
def test_an_architecture_that_cannot_be_built(zoo, architecture, message):
    edit(zoo / "digits" / "cnn-w2a2" / "card.yaml", architecture=architecture)
    with pytest.raises(SaqEvalError, match=message):
        load_model("digits", "cnn-w2a2")


def test_preprocessing_is_part_of_the_network(zoo, digits):
    plain = load_model("digits", "cnn-w2a2").network
    edit(zoo / "digits" / "cnn-w2a2" / "card.yaml", preprocessing={"mean": [0.5], "std": [0.25]})
    network = load_model("digits", "cnn-w2a2").network
    assert torch.equal(network(digits.images[:5]), plain((digits.images[:5] - 0.5) / 0.25))


def test_a_network_for_other_images_or_classes_is_refused(zoo, digits):
    edit(zoo / "digits" / "cnn-w2a2" / "card.yaml", preprocessing={"mean": [0.5] * 3, "std": [0.2] * 3})
    with pytest.raises(SaqEvalError, match=r"cnn-w2a2 cannot read images of shape \(1, 28, 28\)"):
        check_reads("cnn-w2a2", load_model("digits", "cnn-w2a2").network, digits)
    more_classes = replace(digits, class_names=tuple("abcdefghijk"))
    with pytest.raises(SaqEvalError, match="digits has 11 classes"):
        check_reads("cnn-fp32", load_model("digits", "cnn-fp32").network, more_classes)


def test_cards_tell_sizes_and_operations_that_are_measured(zoo, digits):
    file = zoo / "digits" / "cnn-w2a2" / "card.yaml"
    card = read_card(file)
    assert card.ideal_bytes < (zoo / "digits" / "cnn-w2a2" / WEIGHTS).stat().st_size < card.ideal_bytes + 4096
    for wrong in ("ideal_bytes", "bops"):
        edit(file, **{wrong: 1})
        ((changed, folder),) = find_models("digits", ["cnn-w2a2"])
        with pytest.raises(SaqEvalError, match=f"card.yaml: {wrong}: is 1, not {getattr(card, wrong)}"):
            verify_model(changed, folder, digits)
        edit(file, **{wrong: getattr(card, wrong)})


def test_the_training_form_is_the_frozen_networks(zoo, digits):
    model = load_model("digits", "cnn-fp32")
    network = load_training_form(*find_model("digits", "cnn-fp32")).eval()
    assert isinstance(network.norm1, nn.BatchNorm2d)
    torch.testing.assert_close(network(digits.images), model.network(digits.images), atol=1e-4, rtol=1e-4)
    with pytest.raises(SaqEvalError, match=f"cnn-w2a2 keeps no {TRAINING_FORM}"):
        load_training_form(*find_model("digits", "cnn-w2a2"))


def test_a_model_tells_itself_in_short(zoo):
    assert repr(load_model("digits", "cnn-w2a2")) == "Model(digits/cnn-w2a2: w2a2, standard, 147008 parameters)"
