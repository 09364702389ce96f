from dataclasses import replace

import pytest

from saq_eval import Recipe, SaqEvalError
from saq_eval.core.records import parse
from saq_eval.training.recipes import default_recipe


def test_each_dataset_has_a_recipe_and_others_get_the_default():
    assert default_recipe("fashionmnist", quantized=False).flip
    assert not default_recipe("mnist", quantized=False).flip
    assert default_recipe("digits", quantized=True).alpha_init == "quantile"
    assert default_recipe("my-own", quantized=True).epochs > 0


GOOD = {"epochs": 1, "batch_size": 32, "learning_rate": 0.1, "weight_decay": 0.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is at least 1"),
        ({"batch_size": 1}, "batch_size is at least 2"),
        ({"learning_rate": 0}, "above 0"),
        ({"weight_decay": -1}, "weight_decay is at least 0"),
        ({"alpha_init": -2.0}, "above 0"),
        ({"alpha_init": "median"}, "alpha_init"),
        ({"epochs": "many"}, "epochs: input should be a valid integer"),
        ({"momentum": 0.9}, "momentum: unexpected keyword argument"),
        ({"saliency_guided": {"masked_fraction": 7}}, "saliency_guided: masked_fraction lies between"),
    ],
)
def test_a_wrong_field_is_named(change, message):
    with pytest.raises(SaqEvalError, match=message):
        parse(Recipe, GOOD | change, "recipe.yaml")


@pytest.mark.parametrize("field", ["epochs", "batch_size", "threads"])
def test_recipes_have_upper_bounds(field):
    with pytest.raises(SaqEvalError, match=f"a recipe's {field} is at most"):
        replace(parse(Recipe, GOOD, "recipe.yaml"), **{field: 10**9})


def test_a_recipe_agrees_with_what_it_left_open():
    left_open = Recipe(2, 32, 0.1, 0.0)
    for used in ("float32", "bfloat16"):
        named = Recipe(2, 32, 0.1, 0.0, precision=used)
        assert left_open.agrees_with(named) and named.agrees_with(named)
        assert not named.agrees_with(Recipe(2, 32, 0.1, 0.0, precision={"float32": "bfloat16"}.get(used, "float32")))
    assert not left_open.agrees_with(Recipe(3, 32, 0.1, 0.0, precision="float32"))


def test_clips_start_at_a_number_or_by_a_known_name():
    assert Recipe(**GOOD, alpha_init="calibrated").alpha_init == "calibrated"
    with pytest.raises(SaqEvalError, match="alpha_init are above 0"):
        Recipe(**GOOD, alpha_init="median")
