"""Training into the zoo: one model, or all models of a study."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict
from torch import fx, nn
from tqdm.auto import tqdm

from saq_eval.core.devices import pick_device
from saq_eval.core.errors import SaqEvalError, unknown_name
from saq_eval.core.paths import check_name, user_path
from saq_eval.core.randomness import check_seed, deterministic
from saq_eval.core.records import read_record
from saq_eval.data import DATASETS, Dataset, load_dataset
from saq_eval.networks.architectures import ARCHITECTURES, find_architecture
from saq_eval.quantization import Scheme, freeze, load_scheme, quantize
from saq_eval.training.checkpoints import Checkpoint, kept_precision
from saq_eval.training.loop import fit, steps_per_epoch
from saq_eval.training.precision import fast_precision, warn_if_slow
from saq_eval.training.recipes import Recipe, default_recipe
from saq_eval.training.saliency_guided import SaliencyGuided
from saq_eval.zoo import (
    build_network,
    check_free,
    check_reads,
    find_model,
    load_training_form,
    measure,
    partial_folder,
    verify_model,
    warn_of_unused_bits,
    writable_zoo,
    write_model,
)
from saq_eval.zoo.cards import ArchitectureCard, Card

Training = Literal["standard", "saliency-guided"]


def default_name(architecture: str, scheme: str, seed: int, saliency_guided: bool) -> str:
    """Return `<architecture>-<scheme>[-sgt][-s<seed>]`; seed 0 and an architecture's module are not said."""
    return f"{architecture.rpartition(':')[2]}-{scheme}{'-sgt' if saliency_guided else ''}{f'-s{seed}' if seed else ''}"


def train_model(
    dataset: str,
    scheme: str | Scheme,
    *,
    architecture: str = "cnn",
    arguments: dict[str, Any] | None = None,
    saliency_guided: bool | SaliencyGuided = False,
    seed: int = 0,
    parent: str | None = None,
    name: str | None = None,
    recipe: Recipe | None = None,
    zoo: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    device: str = "auto",
    keep_training_form: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Card:
    """Train one network and write it to a zoo.

    A quantized network, and a full-precision one that is fine-tuned ("fp32-ft"), starts from its full-precision
    parent with the same architecture, training and seed, which must be in the zoo already. After each epoch the
    progress is kept, in `<zoo>/<dataset>/.partial-<name>/`: a run that was stopped goes on from its last finished
    epoch when it is started again with the same arguments.

    Args:
        architecture: a registered name, or "module:function", whose code is imported and run.
        arguments: the keyword arguments that the architecture is built with.
        saliency_guided: true for the default settings of saliency-guided training.
        parent: the parent's name; by default `<architecture>-fp32[-sgt][-s<seed>]`.
        name: by default `<architecture>-<scheme>[-sgt][-s<seed>]`.
        recipe: by default the dataset's in `training/recipes.yaml`; its `saliency_guided` is replaced.
        zoo: the folder to write to, created where missing; by default `SAQ_EVAL_ZOO`, else the
            built-in zoo of a source checkout.
        keep_training_form: keep the training form of a network that has a parent too, to go on training from;
            that of a parent is always kept.
        overwrite: replace a model of that name, and start over where progress was kept.

    Raises:
        SaqEvalError: an unknown name, a missing parent, a name that is taken or is being trained by
            another process, a folder that cannot be written; before the first step, a network that
            cannot be frozen or does not read the dataset's images.
    """
    scheme = load_scheme(scheme)
    if saliency_guided is True:
        saliency_guided = SaliencyGuided()
    check_seed(seed)
    name = name or default_name(architecture, scheme.name, seed, bool(saliency_guided))
    check_name("model", name)
    if not scheme.starts_from_parent and parent:
        raise SaqEvalError(f"a full-precision network has no parent, but {parent!r} was given")
    DATASETS[dataset], find_architecture(architecture, trust_code=True)
    target = writable_zoo(zoo)
    check_free(target, dataset, name, zoo, overwrite)
    recipe = recipe or default_recipe(dataset, quantized=scheme.starts_from_parent)
    recipe = replace(recipe, saliency_guided=saliency_guided or None)
    torch_device = pick_device(device)

    built = ArchitectureCard(architecture, arguments or {})
    if not scheme.starts_from_parent:
        network, parent_card = build_network(built, seed, trust_code=True), None
    else:
        parent = parent or default_name(architecture, "fp32", seed, bool(saliency_guided))
        parent_card, parent_folder = find_model(dataset, parent, zoo)
        _check_parent(parent_card, built)
        with deterministic(recipe.threads):
            network = quantize(load_training_form(parent_card, parent_folder, trust_code=True), scheme)
    train_set, test_set = (load_dataset(dataset, split, data_root) for split in ("train", "test"))
    warn_of_unused_bits(_check_trainable(name, network, recipe, train_set, test_set), scheme, test_set.images[:1])
    draft = Card(
        name=name,
        dataset=dataset,
        architecture=built,
        scheme=scheme,
        seed=seed,
        parent=parent,
        recipe=recipe,
        image_shape=tuple(test_set.images.shape[1:]),
        test_accuracy=0.0,
        ideal_bytes=0,
        bops=0,
        weights_sha256="0" * 64,
        parent_sha256=parent_card.training_form_sha256 if parent_card else None,
        versions={package: importlib.metadata.version(package) for package in ("saq_eval", "torch")},
    )
    bar = tqdm(
        total=steps_per_epoch(train_set, recipe) * recipe.epochs,
        desc=f"{dataset}/{name}",
        unit="step",
        disable=None if progress else True,
    )
    with partial_folder(target, dataset, name) as partial, bar, deterministic(recipe.threads):
        progress_file = partial / "progress.pt"
        if overwrite:
            progress_file.unlink(missing_ok=True)
        identity = repr(asdict(draft))  # of the recipe as given, whatever precision the run's first processor chose
        if recipe.precision == "auto":
            recipe = replace(recipe, precision=kept_precision(progress_file) or fast_precision(torch_device))
        else:
            warn_if_slow(recipe.precision, torch_device)
        if progress:
            tqdm.write(f"{dataset}/{name}: trains in {recipe.precision} on {torch_device.type}", file=sys.stderr)
        draft = replace(draft, recipe=recipe)
        checkpoint = Checkpoint(progress_file, identity, recipe.precision)
        history = fit(network, train_set, recipe, seed, torch_device, bar.update, checkpoint)
        network = network.cpu()
        frozen = freeze(network)
        card = measure(replace(draft, history=tuple(history)), frozen, test_set)
        keep = keep_training_form or not scheme.starts_from_parent
        return write_model(target, card, frozen, network if keep else None)


def retrain_model(
    dataset: str,
    model: str,
    *,
    name: str,
    zoo: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    device: str = "auto",
    trust_code: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Card:
    """Train a model of the zoo once more, from nothing but its card, and write it under another name.

    Args:
        model: the model whose architecture, scheme, recipe, seed and parent are taken.
        name: of the new model; the others are `train_model`'s.
        trust_code: whether the card may name code outside this package to build the network with.

    Raises:
        SaqEvalError: as `train_model` does; a network that was trained elsewhere.
    """
    writable_zoo(zoo)
    card, _ = find_model(dataset, model, zoo)
    if card.recipe is None:
        raise SaqEvalError(f"{card.name} was trained elsewhere: its card does not say how")
    find_architecture(card.architecture.name, trust_code=trust_code)
    return train_model(
        dataset,
        card.scheme,
        architecture=card.architecture.name,
        arguments=card.architecture.arguments,
        saliency_guided=card.recipe.saliency_guided or False,
        seed=card.seed,
        parent=card.parent,
        name=name,
        recipe=card.recipe,
        zoo=zoo,
        data_root=data_root,
        device=device,
        overwrite=overwrite,
        progress=progress,
    )


def _check_trainable(
    name: str, network: nn.Module, recipe: Recipe, train_set: Dataset, test_set: Dataset
) -> fx.GraphModule:
    """Return the untrained network's frozen form.

    Raises:
        SaqEvalError: what would otherwise stop a training at its end, when the network is frozen and measured.
    """
    steps_per_epoch(train_set, recipe)
    frozen = freeze(network)
    for images in (train_set, test_set):
        check_reads(name, frozen, images)
    return frozen


def _check_parent(parent: Card, architecture: ArchitectureCard) -> None:
    if parent.scheme.starts_from_parent:
        raise SaqEvalError(
            f"{parent.name} has a parent itself; a network starts from one of full precision that was trained from scratch"
        )
    if parent.architecture != architecture:
        raise SaqEvalError(
            f"the parent {parent.name} is a {parent.architecture.name} with arguments {parent.architecture.arguments}, "
            f"not a {architecture.name} with arguments {architecture.arguments}"
        )


@dataclass(frozen=True)
class StudyComparison:
    """What `saq_eval.compare` does with a study's models.

    Attributes:
        schemes: those of the models that are compared; by default all.
        methods, metrics: as for `saq_eval.compare`.
        samples: test images.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    schemes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("standard",)
    metrics: tuple[str, ...] = ("standard",)
    samples: int = 64


@dataclass(frozen=True)
class Study:
    """A grid of models to train: every scheme × training × seed, on any dataset, by the dataset's default recipes.

    Attributes:
        name: how people call it.
        schemes: registered names; "fp32", the parent of the others, is always trained.
        trainings: "standard", "saliency-guided".
        seeds: each gives a model of every scheme and training.
        scheme_seeds, dataset_seeds: those of the seeds that a scheme or a dataset has, where it has not all.
        architecture: what is built.
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
        """Return the names of the models that a comparison takes in, over all seeds."""
        schemes = ("fp32", *(self.comparison.schemes or self.schemes))
        return [model.name for model in self.plan(dataset) if model.scheme.name in schemes]

    def compared(self, dataset: str, held: Collection[str]) -> list[str]:
        """Return the names of the models to compare, of those that the zoo holds, over all seeds.

        Raises:
            SaqEvalError: if the zoo holds none of them.
        """
        there = [name for name in self.wanted(dataset) if name in held]
        if not there:
            raise SaqEvalError(
                f"the zoo holds none of the study {self.name!r}'s {dataset} models; "
                f"`saq-eval train --study {self.name} --dataset {dataset}` trains them"
            )
        return there

    def plan(self, dataset: str) -> list[Planned]:
        """Return the models in the order of training: by training and seed, a parent before its children."""
        models = []
        for training in dict.fromkeys(self.trainings):
            guided = self.saliency_guided if training == "saliency-guided" else None
            for seed in (
                seed for seed in dict.fromkeys(self.seeds) if seed in self.dataset_seeds.get(dataset, self.seeds)
            ):
                parent = default_name(self.architecture.name, "fp32", seed, bool(guided))
                for scheme in dict.fromkeys(("fp32", *self.schemes)):
                    if seed not in self.scheme_seeds.get(scheme, self.seeds):
                        continue
                    loaded = load_scheme(scheme)
                    recipe = default_recipe(dataset, quantized=loaded.starts_from_parent)
                    models.append(
                        Planned(
                            name=default_name(self.architecture.name, scheme, seed, bool(guided)),
                            architecture=self.architecture,
                            scheme=loaded,
                            seed=seed,
                            parent=parent if loaded.starts_from_parent else None,
                            recipe=replace(recipe, saliency_guided=guided),
                        )
                    )
        return models


@dataclass(frozen=True)
class Planned:
    """A model of a study: the fields that its card will have."""

    name: str
    architecture: ArchitectureCard
    scheme: Scheme
    seed: int
    parent: str | None
    recipe: Recipe

    def differences(self, card: Card) -> list[str]:
        """Return the names of the fields in which a card is not what was planned."""
        fields = [name for name, value in vars(self).items() if name != "recipe" and getattr(card, name) != value]
        same = card.recipe is not None and self.recipe.agrees_with(card.recipe)
        return fields if same else [*fields, "recipe"]


def load_study(source: str | Path) -> Study:
    """Return a study that comes with the package by its name, or read one from a `.yaml` file with the fields of `Study`."""
    path = user_path(source)
    if path.suffix in (".yaml", ".yml"):
        return read_record(Study, path)
    shipped = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.yaml"))}
    if str(source) not in shipped:
        raise unknown_name("study", str(source), shipped)
    return read_record(Study, shipped[str(source)])


def train_study(
    study: str | Path | Study,
    dataset: str,
    *,
    only: Sequence[str] = ("*",),
    zoo: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
    report: Callable[[str], object] = lambda line: None,
) -> list[Card]:
    """Train the models of a study that the zoo does not hold yet; those that it holds are verified and kept.

    All models are checked before the first is trained. May be stopped at any time: the next run goes
    on where this one was.

    Args:
        only: names or shell patterns of the models to see to; a parent that is missing is an error then.
        overwrite: train anew the models in the zoo that are not as the study says, or fail verification.
        report: called with a line on each model.

    Returns:
        The models' cards.

    Raises:
        SaqEvalError: as `train_model` and `verify_model` do; a model in the zoo that differs from the
            study's, with the fields that differ, unless it may be overwritten.
    """
    study = study if isinstance(study, Study) else load_study(study)
    target = writable_zoo(zoo)
    plan = [model for model in study.plan(dataset) if any(fnmatchcase(model.name, pattern) for pattern in only)]
    if not plan:
        raise SaqEvalError(f"study {study.name!r} has no model called {', '.join(only)}")
    train_set, test_set = (load_dataset(dataset, split, data_root) for split in ("train", "test"))
    for planned in plan:
        untrained = build_network(planned.architecture, planned.seed)
        if planned.scheme.starts_from_parent:
            untrained = quantize(untrained, planned.scheme)
        _check_trainable(planned.name, untrained, planned.recipe, train_set, test_set)
    cards = []
    for number, planned in enumerate(plan, start=1):
        there = (target / dataset / planned.name).exists()
        problem = _problem(planned, dataset, test_set, zoo) if there else None
        if problem and not overwrite:
            raise SaqEvalError(f"{target / dataset / planned.name}: {problem}; overwrite it, or choose another zoo")
        if there and not problem:
            card, _ = find_model(dataset, planned.name, zoo)
        else:
            card = train_model(
                dataset,
                planned.scheme,
                architecture=planned.architecture.name,
                arguments=planned.architecture.arguments,
                saliency_guided=planned.recipe.saliency_guided or False,
                seed=planned.seed,
                parent=planned.parent,
                name=planned.name,
                recipe=planned.recipe,
                zoo=zoo,
                data_root=data_root,
                device=device,
                overwrite=there,
                progress=progress,
            )
        done = "kept" if there and not problem else "trained"
        report(f"[{number}/{len(plan)}] {dataset}/{card.name}: {done}, test accuracy {100 * card.test_accuracy:.2f} %")
        cards.append(card)
    return cards


def _problem(planned: Planned, dataset: str, test_set: Dataset, zoo: str | os.PathLike | None) -> str | None:
    """Say in what a model of the zoo is not as planned or fails verification; none where it is as it should be."""
    card, folder = find_model(dataset, planned.name, zoo)
    differences = planned.differences(card)
    if differences:
        return f"its card differs from the study in {', '.join(differences)}"
    if planned.parent:
        parent, _ = find_model(dataset, planned.parent, zoo)
        if card.parent_sha256 != parent.training_form_sha256:
            return f"it started from another {parent.name} than the zoo holds now"
    try:
        verify_model(card, folder, test_set)
    except SaqEvalError as error:
        return str(error)
    return None
