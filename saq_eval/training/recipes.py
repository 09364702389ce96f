"""Training recipes: everything that a training run depends on besides data, network and seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.records import read_record
from saq_eval.training.precision import Precision
from saq_eval.training.saliency_guided import SaliencyGuided


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with Nesterov momentum 0.9 and a one-cycle learning rate; the last epoch is kept.

    Attributes:
        epochs: passes over the training set.
        batch_size: images per step; a last, smaller batch is left out.
        learning_rate: the peak of the cycle.
        weight_decay: L2 penalty on weights (not on biases and batch norm).
        alpha_decay: L2 penalty on PACT's clips (section 3 of the PACT paper).
        alpha_init: the start value of the clips: a number for all (10 in the paper), "quantile" or "calibrated". With
            "quantile", each clip starts at the 99 % quantile of its input in the quantized network before training. With
            "calibrated", the clips start as they were calibrated (see `saq_eval.quantize_model`).
        shift: augmentation: the largest random shift in each direction, in pixels; the border is filled with 0.
        flip: augmentation: random left-right flip.
        precision: the precision of the forward and backward pass: "float32", "bfloat16" (by torch's autocast, with
            float32 weights and updates) or "auto" (see `fast_precision`). A card has the precision used.
        threads: the number of CPU threads. It is part of the recipe, since floating-point sums depend on it.
        saliency_guided: settings of saliency-guided training; `None` for standard training.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    alpha_decay: float = 0.0
    alpha_init: float | Literal["quantile", "calibrated"] = 10.0
    shift: int = 0
    flip: bool = False
    precision: Literal["auto"] | Precision = "auto"
    threads: int = 1
    saliency_guided: SaliencyGuided | None = None

    def __post_init__(self) -> None:
        # A batch has at least two images, because batch norm needs them.
        limits = (("epochs", 1, 10_000), ("batch_size", 2, 100_000), ("threads", 1, 1_024), ("shift", 0, 4_096))
        for name, least, most in limits:
            if getattr(self, name) < least:
                raise SaqEvalError(f"a recipe's {name} is at least {least}, not {getattr(self, name)}")
            if getattr(self, name) > most:
                raise SaqEvalError(f"a recipe's {name} is at most {most}, not {in_short(getattr(self, name))}")
        for name in ("weight_decay", "alpha_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SaqEvalError(f"a recipe's {name} is at least 0, not {getattr(self, name)}")
        named = self.alpha_init in ("quantile", "calibrated")
        if not self.learning_rate > 0 or not (named or (not isinstance(self.alpha_init, str) and self.alpha_init > 0)):
            raise SaqEvalError("a recipe's learning_rate and alpha_init are above 0")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise SaqEvalError(f"a recipe's precision is 'auto', 'float32' or 'bfloat16', not {self.precision!r}")

    def agrees_with(self, used: Recipe) -> bool:
        """Tell whether `used` is this recipe; if this recipe's precision is "auto", `used` may have any precision."""
        return self == (replace(used, precision="auto") if self.precision == "auto" else used)


@dataclass(frozen=True)
class _Recipes:
    """The shape of `recipes.yaml`."""

    full_precision: dict[str, Recipe]
    quantized: dict[str, Recipe]


def default_recipe(dataset: str, *, quantized: bool) -> Recipe:
    """Return a dataset's recipe from `recipes.yaml`; the recipe `default` if the file does not name the dataset."""
    recipes = read_record(_Recipes, Path(__file__).with_name("recipes.yaml"))
    group = recipes.quantized if quantized else recipes.full_precision
    return group.get(dataset, group["default"])
