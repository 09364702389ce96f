"""A study: a grid of networks to train and to compare, as data."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from saq_eval.core.errors import SaqEvalError, unknown_name
from saq_eval.core.paths import check_name, user_path
from saq_eval.core.randomness import check_seed
from saq_eval.core.records import read_record
from saq_eval.data import DATASETS
from saq_eval.networks.architectures import ARCHITECTURES
from saq_eval.quantization import Scheme, load_scheme
from saq_eval.training.recipes import Recipe, default_recipe
from saq_eval.training.saliency_guided import SaliencyGuided
from saq_eval.zoo.cards import ArchitectureCard, Card

Training = Literal["standard", "saliency-guided"]


def default_name(architecture: str, scheme: str, seed: int, saliency_guided: bool) -> str:
    """Return `<architecture>-<scheme>[-sgt][-s<seed>]`; the architecture's module and seed 0 are left out."""
    return f"{architecture.rpartition(':')[2]}-{scheme}{'-sgt' if saliency_guided else ''}{f'-s{seed}' if seed else ''}"


@dataclass(frozen=True)
class StudyComparison:
    """A study's settings for the comparison of its models. The caller of the comparison sets all others.

    Attributes:
        schemes: the schemes of the models to compare; by default all.
        methods, metrics, samples: as in `saq_eval.compare`.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    schemes: tuple[str, ...] = ()
    methods: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    samples: int | None = None


@dataclass(frozen=True)
class Study:
    """A grid of models to train: every scheme × training × seed, on any dataset, by the dataset's default recipes.

    Attributes:
        name: the study's name.
        schemes: registered names. "fp32", the parent of the others, is always trained.
        trainings: "standard", "saliency-guided".
        seeds: one model of every scheme and training is trained for each seed.
        scheme_seeds, dataset_seeds: the seeds of a scheme or dataset that has only some of `seeds`.
        architecture: the architecture and its arguments.
        saliency_guided: the settings of saliency-guided training.
        comparison: how the models are compared.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    schemes: tuple[str, ...]
    trainings: tuple[Training, ...]
    seeds: tuple[int, ...]
    scheme_seeds: dict[str, tuple[int, ...]] = field(default_factory=dict)
    dataset_seeds: dict[str, tuple[int, ...]] = field(default_factory=dict)
    architecture: ArchitectureCard = field(default_factory=lambda: ArchitectureCard("cnn"))
    saliency_guided: SaliencyGuided = field(default_factory=SaliencyGuided)
    comparison: StudyComparison = field(default_factory=StudyComparison)

    def __post_init__(self) -> None:
        check_name("study", self.name)
        ARCHITECTURES[self.architecture.name]  # a file must not name code to run
        for part in ("schemes", "trainings", "seeds"):
            if not getattr(self, part):
                raise SaqEvalError(f"a study's {part} are at least one")
        for seed in self.seeds:
            check_seed(seed)
        for kind, known, fewer in (
            ("scheme", self.schemes, self.scheme_seeds),
            ("dataset", DATASETS, self.dataset_seeds),
        ):
            for name, seeds in fewer.items():
                if name not in known:
                    raise unknown_name(kind, name, known)
                if not seeds or not set(seeds) <= set(self.seeds):
                    raise SaqEvalError(f"{name}'s seeds are some of the study's {list(self.seeds)}, not {list(seeds)}")
        if set(self.scheme_seeds.get("fp32", self.seeds)) != set(self.seeds):
            raise SaqEvalError("fp32 has all seeds of a study: the other networks start from it")

    def wanted(self, dataset: str) -> list[str]:
        """Return the names of the models that a comparison should include, over all seeds."""
        schemes = ("fp32", *(self.comparison.schemes or self.schemes))
        return [model.name for model in self.plan(dataset) if model.scheme.name in schemes]

    def compared(self, dataset: str, held: Collection[str]) -> list[str]:
        """Return the names of the models to compare that the zoo holds, over all seeds.

        Args:
            held: the names of the models in the zoo.

        Raises:
            SaqEvalError: if the zoo holds none of the models to compare.
        """
        there = [name for name in self.wanted(dataset) if name in held]
        if not there:
            raise SaqEvalError(
                f"the zoo holds none of the study {self.name!r}'s {dataset} models; "
                f"`saq-eval train --study {self.name} --dataset {dataset}` trains them"
            )
        return there

    def plan(self, dataset: str) -> list[Planned]:
        """Return the models in the order in which they are trained: by training and seed, a parent before its children."""
        seeds = [s for s in dict.fromkeys(self.seeds) if s in self.dataset_seeds.get(dataset, self.seeds)]
        return [
            self._planned(dataset, scheme, seed, self.saliency_guided if training == "saliency-guided" else None)
            for training in dict.fromkeys(self.trainings)
            for seed in seeds
            for scheme in dict.fromkeys(("fp32", *self.schemes))
            if seed in self.scheme_seeds.get(scheme, self.seeds)
        ]

    def _planned(self, dataset: str, scheme: str, seed: int, guided: SaliencyGuided | None) -> Planned:
        loaded, architecture = load_scheme(scheme), self.architecture.name
        recipe = default_recipe(dataset, quantized=loaded.starts_from_parent)
        return Planned(
            name=default_name(architecture, scheme, seed, bool(guided)),
            architecture=self.architecture,
            scheme=loaded,
            seed=seed,
            parent=default_name(architecture, "fp32", seed, bool(guided)) if loaded.starts_from_parent else None,
            recipe=replace(recipe, saliency_guided=guided),
        )


@dataclass(frozen=True)
class Planned:
    """A model to train: the fields that its card will have.

    Raises:
        SaqEvalError: a seed or a name that is not valid, or a parent for a network that is trained from scratch.
    """

    name: str
    architecture: ArchitectureCard
    scheme: Scheme
    seed: int
    parent: str | None
    recipe: Recipe

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_name("model", self.name)
        if self.parent is not None:
            check_name("parent", self.parent)
        if self.parent and not self.scheme.starts_from_parent:
            raise SaqEvalError(f"a full-precision network has no parent, but {self.parent!r} was given")

    def differences(self, card: Card) -> list[str]:
        """Return the names of the fields in which a card differs from the plan."""
        fields = [name for name, value in vars(self).items() if name != "recipe" and getattr(card, name) != value]
        same = card.recipe is not None and self.recipe.agrees_with(card.recipe)
        return fields if same else [*fields, "recipe"]


def load_study(source: str | Path) -> Study:
    """Return a study.

    Args:
        source: the name of a study that comes with the package, or a `.yaml` file with the fields of `Study`.

    Raises:
        SaqEvalError: an unknown name, a file that cannot be read, or a field that is wrong.
    """
    path = user_path(source)
    if path.suffix in (".yaml", ".yml"):
        return read_record(Study, path)
    shipped = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.yaml"))}
    if str(source) not in shipped:
        raise unknown_name("study", str(source), shipped)
    return read_record(Study, shipped[str(source)])
