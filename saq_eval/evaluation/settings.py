"""The networks of a comparison, and the settings that hold for all of them, as plain data."""

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
INPUT_NOISE = 0.01  # standard deviation for pixels in [0, 1]; invisible, about 2.5 of 255 steps


@dataclass(frozen=True)
class Subject:
    """A network of a comparison, by name and identity. The network itself is in `Shared`.

    Attributes:
        name: unique among the subjects with the same role and baseline.
        identity: a hash that identifies the network, independent of its name.
        baseline: the name of the network that it is compared with; for a baseline, its own name.
        role: "model"; "control" for a network with random weights; "retrained" for a network that differs from
            its baseline only in the seed of training.
        fine_tuned: the name of its fine-tuned control, the model that was trained further from the same baseline by the
            same recipe in full precision; its own name if it is one, "" if there is none.
    """

    name: str
    identity: str
    baseline: str
    role: Role = "model"
    fine_tuned: str = ""

    @property
    def is_baseline(self) -> bool:
        """Whether other networks are compared with it."""
        return self.role == "model" and self.name == self.baseline

    @property
    def is_fine_tuned(self) -> bool:
        """Whether it is a fine-tuned control, which shows the effect of further training alone."""
        return self.role == "model" and self.name == self.fine_tuned


@dataclass(frozen=True)
class Settings:
    """The settings that hold for every network.

    Attributes:
        sample: the images.
        explainers: the attribution methods with their parameters, without controls; see `methods_of`.
        scorers: the metrics with their parameters.
        seed: the seed of random methods and metrics.
        batch_size: the largest number of images that may pass through a network at once: the plan's, or as many as fit
            into `saq_eval.networks.memory.BUDGET` if these are fewer. It is the same for all networks.
        device: the device that networks compute on, "cpu" or "cuda".
        compile: whether passes without gradients are compiled; see `saq_eval.networks.compiled`.
        background: float32 (k, c, h, w), typical images; `None` if no method needs them.
        store: the folder of the store; see `saq_eval.evaluation.store`.
    """

    sample: Dataset
    explainers: list[Explainer]
    scorers: list[Scorer]
    seed: int
    batch_size: int
    device: str
    background: Tensor | None
    store: Path
    compile: bool = False

    def methods_of(self, role: Role) -> list[Explainer]:
        """Return the methods that explain a network in a role; for models, the controls are added at the end."""
        return self.explainers + ([find_explainer(name) for name in CONTROLS] if role == "model" else [])

    @cached_property
    def explainer(self) -> dict[str, Explainer]:
        """The methods by label, including the controls."""
        return {explainer.label: explainer for explainer in self.methods_of("model")}

    @cached_property
    def scorer(self) -> dict[str, Scorer]:
        """The metrics by label."""
        return {scorer.label: scorer for scorer in self.scorers}
