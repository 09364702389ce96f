"""Training recipes: everything that a training run depends on besides data, network and seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.records import read_record
from saq_eval.training.precision import Precision
from saq_eval.training.saliency_guided import SaliencyGuided


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with Nesterov momentum 0.9 and a one-cycle learning rate; the last epoch counts.

    Attributes:
        epochs: passes over the training set.
        batch_size: images in a step; a last, smaller batch is left out.
        learning_rate: the peak of the cycle.
        weight_decay: L2 penalty on weights (not on biases and batch norm).
        alpha_decay: L2 penalty on PACT's clips (section 3 of the PACT paper).
        alpha_init: where clips start: a number for all (the paper: 10), or "quantile", each at the 99 %
            quantile of what its rectifier sees in the quantized network at the start.
        shift: augmentation: random shift by up to so many pixels in each direction, filled with 0.
        flip: augmentation: random left-right flip.
        precision: in which numbers forward and backward pass compute: "float32", "bfloat16" by torch's autocast,
            with float32 weights and updates, or "auto", the one that the processor is fast in. A card says which it was.
        threads: of the CPU; part of the recipe, since sums in floating point depend on how many share them.
        saliency_guided: settings of saliency-guided training, or none for standard training.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    alpha_decay: float = 0.0
    alpha_init: float | Literal["quantile"] = 10.0
    shift: int = 0
    flip: bool = False
    precision: Literal["auto"] | Precision = "auto"
    threads: int = 1
    saliency_guided: SaliencyGuided | None = None

    def __post_init__(self) -> None:
        # Batch norm needs two images.
        for name, least, most in (("epochs", 1, 10_000), ("batch_size", 2, 100_000), ("threads", 1, 1_024)):
            if getattr(self, name) < least:
                raise SaqEvalError(f"a recipe's {name} is at least {least}, not {getattr(self, name)}")
            if getattr(self, name) > most:
                raise SaqEvalError(f"a recipe's {name} is at most {most}, not {getattr(self, name)}")
        for name in ("weight_decay", "alpha_decay", "shift"):
            if not getattr(self, name) >= 0:
                raise SaqEvalError(f"a recipe's {name} is at least 0, not {getattr(self, name)}")
        if not self.learning_rate > 0 or (self.alpha_init != "quantile" and not self.alpha_init > 0):
            raise SaqEvalError("a recipe's learning_rate and alpha_init are above 0")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise SaqEvalError(f"a recipe's precision is 'auto', 'float32' or 'bfloat16', not {self.precision!r}")

    def agrees_with(self, used: Recipe) -> bool:
        """Tell whether a training by `used` is one by this recipe, which may leave the precision to the processor."""
        return self == (replace(used, precision="auto") if self.precision == "auto" else used)


@dataclass(frozen=True)
class _Recipes:
    """The shape of `recipes.yaml`."""

    full_precision: dict[str, Recipe]
    quantized: dict[str, Recipe]


def default_recipe(dataset: str, *, quantized: bool) -> Recipe:
    """Return the recipe of `recipes.yaml` for a dataset; one that the file does not name gets `default`."""
    recipes = read_record(_Recipes, Path(__file__).with_name("recipes.yaml"))
    group = recipes.quantized if quantized else recipes.full_precision
    return group.get(dataset, group["default"])
