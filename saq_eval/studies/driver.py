"""Train one model, and write it to the zoo."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from tqdm.auto import tqdm

from saq_eval.core.devices import pick_device
from saq_eval.core.errors import SaqEvalError
from saq_eval.core.randomness import check_seed, deterministic
from saq_eval.data import DATASETS, Dataset, Geometry, Images, check_readable, dataset_name, open_images
from saq_eval.networks.architectures import find_architecture
from saq_eval.quantization import Scheme, freeze, load_scheme, quantize
from saq_eval.studies.study import Planned, default_name
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
    warn_of_unused_bits,
    writable_zoo,
    write_model,
)
from saq_eval.zoo.cards import NOT_MEASURED, ArchitectureCard, Card


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
    size: int | None = None,
    crop: int | None = None,
) -> Card:
    """Train one network and write it to a zoo.

    A quantized network starts from its parent, the full-precision network of the same architecture, training and
    seed. The parent must already be in the zoo. A full-precision network that is fine-tuned ("fp32-ft") starts from
    its parent too. After each epoch, the progress is kept in `<zoo>/<dataset>/.partial-<name>/`. To resume a stopped
    run after its last finished epoch, call the function again with the same arguments.

    Args:
        dataset: a registered name, or "folder:PATH" for pictures in folders; the folder's name is then the dataset's name.
        architecture: a registered name, "torchvision:resnet18", "timm:resnet18", or "module:function", whose code is
            imported and run.
        arguments: the keyword arguments that the architecture is built with.
        saliency_guided: true for the default settings of saliency-guided training.
        parent: the parent's name; by default `<architecture>-fp32[-sgt][-s<seed>]`.
        name: by default `<architecture>-<scheme>[-sgt][-s<seed>]`.
        recipe: by default the dataset's in `training/recipes.yaml`; its `saliency_guided` is replaced.
        zoo: the folder to write to, created if missing; by default `SAQ_EVAL_ZOO`, else the
            built-in zoo of a source checkout.
        keep_training_form: keep the training form also for a network with a parent, so that training can go on from
            it. The training form of a network without a parent is always kept.
        overwrite: replace an existing model of that name, and delete kept progress.
        size, crop: bring the images to one size; see `saq_eval.data.Geometry`.

    Raises:
        SaqEvalError: an unknown name, a missing parent, a name that is taken or is being trained by another process,
            a folder that cannot be written, a network that cannot be frozen or does not read the dataset's images.
            All of these are found before the first training step.
    """
    planned = _plan(
        dataset, scheme, ArchitectureCard(architecture, arguments or {}), saliency_guided, seed, parent, name, recipe
    )
    geometry = None if size is None and crop is None else Geometry(size, crop)
    return train_planned(planned, dataset, zoo, data_root, device, overwrite, progress, keep_training_form, geometry)


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
    """Train a model of the zoo again, using only its card, and write the result under another name.

    Args:
        model: the model whose architecture, scheme, recipe, seed and parent are used.
        name: the new model's name; for the other arguments see `train_model`.
        trust_code: whether the network may be built by code outside this package that the card names.

    Raises:
        SaqEvalError: as `train_model` does, and for a network that was trained elsewhere.
    """
    writable_zoo(zoo)
    card, _ = find_model(dataset, model, zoo)
    if card.only_quantized:
        raise SaqEvalError(f"{card.name} was quantized without training; `saq-eval quantize` makes it again")
    if card.recipe is None:
        raise SaqEvalError(f"{card.name} was trained elsewhere: its card does not say how")
    find_architecture(card.architecture.name, trust_code=trust_code)
    guided = card.recipe.saliency_guided or False
    planned = _plan(dataset, card.scheme, card.architecture, guided, card.seed, card.parent, name, card.recipe)
    return train_planned(planned, dataset, zoo, data_root, device, overwrite, progress)


def _plan(
    dataset: str,
    scheme: str | Scheme,
    architecture: ArchitectureCard,
    saliency_guided: bool | SaliencyGuided,
    seed: int,
    parent: str | None,
    name: str | None,
    recipe: Recipe | None,
) -> Planned:
    """Check the arguments of `train_model`, and fill in the defaults."""
    scheme = load_scheme(scheme)
    check_seed(seed)
    # Both are used later. They are looked up here so that an unknown name is an error before anything is written.
    find_architecture(architecture.name, trust_code=True)
    if dataset_name(dataset) == dataset:
        DATASETS[dataset]
    guided = SaliencyGuided() if saliency_guided is True else saliency_guided or None
    if scheme.starts_from_parent:
        parent = default_name(architecture.name, "fp32", seed, bool(guided)) if parent is None else parent
    recipe = recipe or default_recipe(dataset_name(dataset), quantized=scheme.starts_from_parent)
    if recipe.alpha_init == "calibrated":
        raise SaqEvalError(
            "a network is trained from calibrated clips by `saq-eval quantize --finetune`, not by `train`"
        )
    return Planned(
        name=default_name(architecture.name, scheme.name, seed, bool(guided)) if name is None else name,
        architecture=architecture,
        scheme=scheme,
        seed=seed,
        parent=parent,
        recipe=replace(recipe, saliency_guided=guided),
    )


def train_planned(
    planned: Planned,
    dataset: str,
    zoo: str | os.PathLike | None,
    data_root: str | os.PathLike | None,
    device: str,
    overwrite: bool,
    progress: bool,
    keep_training_form: bool = False,
    geometry: Geometry | None = None,
) -> Card:
    """Train a network as planned and write it to the zoo; for the other arguments and errors see `train_model`."""
    target = writable_zoo(zoo)
    given, dataset = dataset, dataset_name(dataset)
    check_free(target, dataset, planned.name, zoo, overwrite)
    torch_device = pick_device(device)
    network, parent = _start(planned, dataset, zoo)
    train_set = open_images(given, "train", data_root, geometry=geometry).in_memory()
    test_set = open_images(given, "test", data_root, geometry=geometry)
    check_readable(test_set)
    untrained = check_trainable(planned.name, network, planned.recipe, train_set, test_set)
    warn_of_unused_bits(untrained, planned.scheme, test_set.read([0]), stacklevel=4)
    draft = Card(
        **vars(planned),
        dataset=dataset,
        image_shape=test_set.image_shape,
        parent_sha256=parent.training_form_sha256 if parent else None,
        versions={package: importlib.metadata.version(package) for package in ("saq_eval", "torch")},
        **NOT_MEASURED,
    )
    with partial_folder(target, dataset, planned.name) as folder, deterministic(planned.recipe.threads):
        progress_file = folder / "progress.pt"
        if overwrite:
            progress_file.unlink(missing_ok=True)
        trained = fit_draft(network, draft, planned.recipe, train_set, torch_device, progress_file, progress)
        frozen = freeze(network)
        keep = keep_training_form or not planned.scheme.starts_from_parent
        return write_model(target, measure(trained, frozen, test_set), frozen, network if keep else None)


def _start(planned: Planned, dataset: str, zoo: str | os.PathLike | None) -> tuple[nn.Module, Card | None]:
    """Return the network that training starts from, and the parent's card; `None` if the network has no parent."""
    if not planned.scheme.starts_from_parent:
        return build_network(planned.architecture, planned.seed, trust_code=True), None
    assert planned.parent is not None  # whoever plans a network that starts from one names it
    parent, folder = find_model(dataset, planned.parent, zoo)
    check_parent(parent, planned.architecture)
    with deterministic(planned.recipe.threads):
        return quantize(load_training_form(parent, folder, trust_code=True), planned.scheme), parent


def fit_draft(
    network: nn.Module,
    draft: Card,
    recipe: Recipe,
    train_set: Dataset,
    device: torch.device,
    progress_file: Path,
    progress: bool,
) -> Card:
    """Train a network in place, and return its card with the precision used and the epochs' records.

    After each epoch, `progress_file` keeps the progress. A run is resumed only with an equal `draft`.
    """
    identity = repr(asdict(draft))  # with the recipe's precision as given, even "auto"
    bar = tqdm(
        total=steps_per_epoch(train_set, recipe) * recipe.epochs,
        desc=f"{draft.dataset}/{draft.name}",
        unit="step",
        disable=None if progress else True,
    )
    with bar:
        if recipe.precision == "auto":
            precision = kept_precision(progress_file) or fast_precision(device)
        else:
            precision = recipe.precision
            warn_if_slow(precision, device)
        if progress:
            where = f"{draft.dataset}/{draft.name}: trains in {precision} on {device.type}"
            tqdm.write(where, file=sys.stderr)
        recipe = replace(recipe, precision=precision)
        checkpoint = Checkpoint(progress_file, identity, precision)
        history = fit(network, train_set, recipe, draft.seed, device, bar.update, checkpoint)
    network.cpu()
    return replace(draft, recipe=recipe, history=tuple(history))


def check_trainable(
    name: str, network: nn.Module, recipe: Recipe, train_set: Dataset, test_set: Images
) -> fx.GraphModule:
    """Return the untrained network's frozen form.

    Raises:
        SaqEvalError: if the recipe makes too few steps, or the network cannot be frozen or does not read the images. The
            last two would otherwise be found only after training.
    """
    steps_per_epoch(train_set, recipe)
    frozen = freeze(network)
    for images in (train_set, test_set):
        check_reads(name, frozen, images)
    return frozen


def check_parent(parent: Card, architecture: ArchitectureCard) -> None:
    """Raise `SaqEvalError` unless a network of an architecture may start from a parent: of full precision, without one."""
    if parent.scheme.starts_from_parent:
        raise SaqEvalError(
            f"{parent.name} has a parent itself; a network starts from one of full precision that was trained from scratch"
        )
    if parent.architecture != architecture:
        raise SaqEvalError(
            f"the parent {parent.name} is a {parent.architecture.name} with arguments {parent.architecture.arguments}, "
            f"not a {architecture.name} with arguments {architecture.arguments}"
        )
