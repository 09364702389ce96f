"""Which models of the zoo are compared, with what, and what is known of them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.networks.network import BitWidths, Network
from saq_eval.zoo.cards import CalibrationCard
from saq_eval.zoo.finding import find_model, find_models
from saq_eval.zoo.loading import open_model
from saq_eval.zoo.networks import RETRAINED, as_network, choose, described, identity_of, open_network

IMAGE = torch.zeros(1, 1, 28, 28)


def card(name):
    return find_model("digits", name)[0]


def test_a_models_parent_and_what_further_training_does_come_with_it():
    choice = choose("digits", ["cnn-w2a2"])
    assert list(choice.entries) == ["cnn-fp32", "cnn-fp32-ft", "cnn-w2a2"]
    assert choice.baseline_of == dict.fromkeys(choice.entries, "cnn-fp32")
    assert choice.fine_tuned_of == {"cnn-w2a2": "cnn-fp32-ft", "cnn-fp32-ft": "cnn-fp32-ft"}


def test_without_names_all_models_of_the_first_seed_are_chosen():
    every = {card.name for card, _ in find_models("digits", ["*"]) if card.seed == 0}
    assert set(choose("digits", None).entries) == every


def test_one_baseline_for_all_leaves_no_step_of_further_training():
    choice = choose("digits", ["cnn-w2a2", "cnn-w4a4-sgt"], baseline="cnn-fp32-sgt")
    assert set(choice.baseline_of.values()) == {"cnn-fp32-sgt"}
    # The saliency-guided model's own parent is the baseline, so its step of further training is there.
    assert set(choice.fine_tuned_of) == {"cnn-w4a4-sgt", "cnn-fp32-ft-sgt"}


def test_baselines_stand_beside_models_of_other_seeds_and_beside_every_other_baseline():
    alone = choose("digits", ["cnn-fp32"]).retrained_of["cnn-fp32"]
    assert len(alone) == RETRAINED and all(card(name).seed != 0 for name in alone)
    assert {card(name).scheme.name for name in alone} == {"fp32"}
    both = choose("digits", ["cnn-fp32-s1", "cnn-fp32-sgt"]).retrained_of
    assert all(card(name).training == "saliency-guided" for name in both["cnn-fp32-sgt"])


@pytest.mark.parametrize(
    ("names", "baseline", "message"),
    [
        ([], None, "at least one model is needed"),
        (["cnn-fp32"], "cnn-fp23", "unknown digits model 'cnn-fp23'; did you mean 'cnn-fp32'"),
    ],
)
def test_what_cannot_be_chosen_is_said(names, baseline, message):
    with pytest.raises(SaqEvalError, match=message):
        choose("digits", names, baseline)


def test_a_model_without_its_parent_is_refused_by_name(zoo):
    (zoo / "digits" / "cnn-fp32" / "card.yaml").unlink()
    (zoo / "digits" / "cnn-fp32").rename(zoo / "away")
    with pytest.raises(SaqEvalError, match="the zoo has no full-precision parent 'cnn-fp32' of digits/cnn-w2a2"):
        choose("digits", ["cnn-w2a2"])


def test_networks_of_one_kin_differ_in_the_seed_alone():
    def network(name):
        return described(card(name), BitWidths("2", "2", "8"))

    plain, seed, guided, other = map(network, ("cnn-w2a2", "cnn-w2a2-s1", "cnn-w2a2-sgt", "cnn-w4a4"))
    assert plain.kin == seed.kin and plain.kin not in (guided.kin, other.kin)
    assert plain.kin_but_guidance == guided.kin_but_guidance != other.kin_but_guidance
    assert (plain.scheme, plain.training, plain.seed, plain.full_precision) == ("w2a2", "standard", 0, False)
    assert (guided.training, seed.seed, plain.further_trained) == ("saliency-guided", 1, True)


def test_a_network_trained_elsewhere_has_no_twin():
    external = replace(card("cnn-w2a2"), recipe=None)
    bits = BitWidths("2", "2", "8")
    network = described(external, bits)
    assert network.training == "external" and network.kin_but_guidance is None
    assert network.kin != described(replace(external, name="another"), bits).kin


def test_networks_quantized_after_training_are_kin_if_their_parents_were_trained_alike():
    calibration = CalibrationCard(64, "train", "mse", "least-squares")
    made = replace(card("cnn-w2a2"), recipe=None, parent_recipe=card("cnn-fp32").recipe, calibration=calibration)
    bits = BitWidths("2", "2", "8")
    network = described(made, bits)
    assert (network.training, network.further_trained, network.parent) == ("standard", False, "cnn-fp32")
    assert described(card("cnn-w2a2"), bits).further_trained is True
    other = replace(made, name="other", seed=1, calibration=replace(calibration, seed=5))
    assert described(other, bits).kin == network.kin != described(card("cnn-w2a2"), bits).kin
    for change in (
        {"calibration": replace(calibration, images=32)},
        {"parent_recipe": replace(made.parent_recipe, epochs=99)},
        {"parent_recipe": None},
    ):
        assert described(replace(made, **change), bits).kin != network.kin
    guided = replace(made, parent_recipe=card("cnn-fp32-sgt").recipe)
    assert described(guided, bits).training == "saliency-guided"
    assert described(guided, bits).kin_but_guidance == network.kin_but_guidance is not None
    assert described(replace(made, parent_recipe=None), bits).kin_but_guidance is None


def test_whatever_a_network_computes_with_is_part_of_its_identity():
    one = card("cnn-w2a2")
    assert identity_of(one) == identity_of(replace(one, name="another", seed=7))
    for change in ({"weights_sha256": "0" * 64}, {"scheme": card("cnn-w4a4").scheme}):
        assert identity_of(replace(one, **change)) != identity_of(one)


def test_a_loaded_model_is_a_network_with_its_costs():
    model = open_model(*find_model("digits", "cnn-w2a2"))
    network = as_network(model, IMAGE)
    assert network.name == "cnn-w2a2" and network.bits == ("2", "2", "8")
    assert network.weights == model.card.weights_sha256 and network.identity == identity_of(model.card)
    assert network.parameters == model.parameters and network.ideal_bytes < 4 * network.parameters
    assert network.layers[0].activation_bits == 8 and {layer.weight_bits for layer in network.layers[1:-1]} == {2}
    again = open_network(find_model("digits", "cnn-w2a2"), IMAGE)
    assert again.identity == network.identity and torch.equal(again.module(IMAGE), network.module(IMAGE))


def test_random_weights_are_a_network_of_their_own():
    model = open_model(*find_model("digits", "cnn-w2a2"))
    network, other = map(as_network(model, IMAGE).untrained, (1, 2))
    assert (network.name, network.scheme, network.training) == ("cnn-w2a2 (random weights)", "fp32", "none")
    assert network.kin_but_guidance is None and network.bits == ("32", "32", "32")
    assert network.weights == "seed 1" and network.identity != other.identity
    image = torch.rand(1, 1, 28, 28)
    assert not torch.equal(network.module(image), other.module(image))
    assert not torch.equal(network.module(image), model.network(image))


def outside(**given):
    return {name: replace(network, name=name, kin=name) for name, network in given.items()}


def known(**facts):
    return Network(nn.Identity(), **facts)


def test_a_network_outside_the_zoo_is_compared_with_the_one_baseline_or_with_its_parent():
    both = outside(fp32=known(), int8=known())
    assert choose("mine", None, "fp32", outside=both).baseline_of == {"fp32": "fp32", "int8": "fp32"}
    of_parent = outside(fp32=known(), int8=known(parent="fp32"))
    assert choose("mine", None, outside=of_parent).baseline_of == {"fp32": "fp32", "int8": "fp32"}


def test_a_network_alone_or_known_to_be_in_full_precision_is_its_own_baseline():
    assert choose("mine", None, outside=outside(only=known())).baseline_of == {"only": "only"}
    two = outside(a=known(weight_bits=32, activation_bits=32), b=known(full_precision=True))
    assert choose("mine", None, outside=two).baseline_of == {"a": "a", "b": "b"}


def test_it_is_not_guessed_what_a_network_is_compared_with():
    with pytest.raises(SaqEvalError, match="say which network 'int8' is compared with: name one baseline"):
        choose("mine", None, outside=outside(fp32=known(full_precision=True), int8=known()))
    with pytest.raises(SaqEvalError, match="unknown network 'fp23'; did you mean 'fp32'"):
        choose("mine", None, outside=outside(fp32=known(full_precision=True), int8=known(parent="fp23")))


def test_networks_of_the_zoo_and_outside_it_stand_side_by_side():
    choice = choose("digits", ["cnn-w2a2"], outside=outside(mine=known(parent="cnn-fp32")))
    assert list(choice.entries) == ["cnn-fp32", "cnn-fp32-ft", "cnn-w2a2", "mine"]
    assert choice.baseline_of["mine"] == "cnn-fp32" and "mine" not in choice.fine_tuned_of
    only = choose("digits", None, "cnn-fp32", outside=outside(mine=known()))
    assert list(only.entries) == ["cnn-fp32", "mine"] and len(only.retrained_of["cnn-fp32"]) == RETRAINED


def test_one_name_for_two_networks_is_refused():
    with pytest.raises(SaqEvalError, match="'cnn-w2a2' names a model of the zoo and a network outside it"):
        choose("digits", ["cnn-w2a2"], outside={"cnn-w2a2": known(full_precision=True)})


def test_networks_outside_the_zoo_of_one_kin_and_different_seeds_are_retrained_networks():
    twins = {name: known(name=name, kin="mine", full_precision=True, seed=seed) for name, seed in (("a", 0), ("b", 1))}
    assert choose("mine", None, outside=twins).retrained_of == {"a": {"b": twins["b"]}, "b": {"a": twins["a"]}}
