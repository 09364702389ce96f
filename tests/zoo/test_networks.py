"""Which models of the zoo are compared, with what, and what is known of them."""

from dataclasses import replace

import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.networks.network import BitWidths
from saq_eval.zoo.finding import find_model, find_models
from saq_eval.zoo.loading import open_model
from saq_eval.zoo.networks import RETRAINED, as_network, choose, facts_of, identity_of, open_network, untrained

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
    def facts(name):
        return facts_of(card(name), BitWidths("2", "2", "8"))

    plain, seed, guided, other = map(facts, ("cnn-w2a2", "cnn-w2a2-s1", "cnn-w2a2-sgt", "cnn-w4a4"))
    assert plain.kin == seed.kin and plain.kin not in (guided.kin, other.kin)
    assert plain.kin_but_guidance == guided.kin_but_guidance != other.kin_but_guidance
    assert (plain.scheme, plain.training, plain.seed, plain.full_precision) == ("w2a2", "standard", 0, False)
    assert (guided.training, seed.seed, plain.starts_from_parent) == ("saliency-guided", 1, True)


def test_a_network_trained_elsewhere_has_no_twin():
    external = replace(card("cnn-w2a2"), recipe=None)
    facts = facts_of(external, BitWidths("2", "2", "8"))
    assert facts.training == "external" and facts.kin_but_guidance is None
    assert facts.kin != facts_of(replace(external, name="another"), facts.bits).kin


def test_whatever_a_network_computes_with_is_part_of_its_identity():
    one = card("cnn-w2a2")
    assert identity_of(one) == identity_of(replace(one, name="another", seed=7))
    for change in ({"weights_sha256": "0" * 64}, {"scheme": card("cnn-w4a4").scheme}):
        assert identity_of(replace(one, **change)) != identity_of(one)


def test_a_loaded_model_is_a_network_with_its_costs():
    model = open_model(*find_model("digits", "cnn-w2a2"))
    network = as_network(model, IMAGE)
    assert network.name == "cnn-w2a2" and network.facts.bits == BitWidths("2", "2", "8")
    assert network.weights == model.card.weights_sha256 and network.identity == identity_of(model.card)
    assert network.parameters == model.parameters and network.ideal_bytes < 4 * network.parameters
    assert network.layers[0].activation_bits == 8 and {layer.weight_bits for layer in network.layers[1:-1]} == {2}
    again = open_network(find_model("digits", "cnn-w2a2"), IMAGE)
    assert again.identity == network.identity and torch.equal(again.module(IMAGE), network.module(IMAGE))


def test_random_weights_are_a_network_of_their_own():
    model = open_model(*find_model("digits", "cnn-w2a2"))
    network, other = (untrained(model, seed=0, weights_seed=drawn) for drawn in (1, 2))
    facts = network.facts
    assert (facts.name, facts.scheme, facts.training) == ("cnn-w2a2 (random weights)", "fp32", "none")
    assert facts.kin_but_guidance is None and facts.bits == BitWidths("32", "32", "32")
    assert network.weights == "seed 1" and network.identity != other.identity
    image = torch.rand(1, 1, 28, 28)
    assert not torch.equal(network.module(image), other.module(image))
    assert not torch.equal(network.module(image), model.network(image))
