"""What takes part in a comparison, and what is done to all of it: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from torch import Tensor

from saq_eval.attribution import CONTROLS, Explainer, find_explainer
from saq_eval.data import Dataset
from saq_eval.metrics import Scorer

Role = Literal["model", "control", "retrained"]


@dataclass(frozen=True)
class Subject:
    """A network that takes part, by name and identity; the network itself is found in `Shared`.

    Attributes:
        name: unique among the subjects of its role and baseline.
        identity: what tells its network from others, whatever their names: a hash.
        baseline: the name of the network that it is compared with; its own, if it is one.
        role: "model"; "control" for a network with random weights; "retrained" for a network that differs from
            its baseline in nothing but the training's seed.
        fine_tuned: the name of the model that was trained on from the same baseline by the same recipe in full precision,
            its own if it is one; "" where there is none.
    """

    name: str
    identity: str
    baseline: str
    role: Role = "model"
    fine_tuned: str = ""

    @property
    def is_baseline(self) -> bool:
        """Whether others are compared with it."""
        return self.role == "model" and self.name == self.baseline

    @property
    def is_fine_tuned(self) -> bool:
        """Whether it shows what further training does by itself."""
        return self.role == "model" and self.name == self.fine_tuned


@dataclass(frozen=True)
class Settings:
    """What is done to every network.

    Attributes:
        sample: the images.
        explainers: the attribution methods with their parameters, without controls, which are added.
        scorers: the metrics with their parameters.
        seed: of methods and metrics that draw.
        batch_size: images that may pass a network at once.
        device: where networks compute, "cpu" or "cuda".
        background: float32 (k, c, h, w), typical images; none if no method needs them.
        maps: the folder of the maps.
    """

    sample: Dataset
    explainers: list[Explainer]
    scorers: list[Scorer]
    seed: int
    batch_size: int
    device: str
    background: Tensor | None
    maps: Path

    def methods_of(self, role: Role) -> list[Explainer]:
        """Return the methods that explain a network: for models also the controls, which come last."""
        return self.explainers + ([find_explainer(name) for name in CONTROLS] if role == "model" else [])

    @cached_property
    def explainer(self) -> dict[str, Explainer]:
        """The methods by label, controls among them."""
        return {explainer.label: explainer for explainer in self.methods_of("model")}

    @cached_property
    def scorer(self) -> dict[str, Scorer]:
        """The metrics by label."""
        return {scorer.label: scorer for scorer in self.scorers}
