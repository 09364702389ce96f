"""A network small enough to be trained in a second."""

from saq_eval import Recipe, train_model
from saq_eval.zoo.cards import Card

RECIPE = Recipe(epochs=3, batch_size=64, learning_rate=0.1, weight_decay=0.0, alpha_init="quantile")
SMALL = {"channels": [8, 8], "pool_after": [1, 2], "hidden": 16}


def train_small(scheme: str = "fp32", **arguments) -> Card:
    """Train a small cnn on digits into the zoo; keyword arguments replace those of `train_model`."""
    given = {"arguments": SMALL, "recipe": RECIPE, "progress": False, "name": f"small-{scheme}"} | arguments
    return train_model("digits", scheme, **given)
