"""Quantize a full-precision network after its training, and write it to a zoo as its parent's child."""

from __future__ import annotations

import importlib.metadata
import os
import warnings
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import fx, nn

from saq_eval.core.devices import pick_device
from saq_eval.core.errors import SaqEvalError, SaqEvalWarning, check_choice, in_short
from saq_eval.core.paths import check_name
from saq_eval.core.randomness import check_seed, deterministic
from saq_eval.data import Dataset, Images, Split, check_readable, dataset_name, open_images
from saq_eval.networks.preprocessing import Normalize
from saq_eval.quantization import ACTIVATION_QUANTIZERS, Scheme, freeze, load_scheme, quantize
from saq_eval.quantization.calibration import ClipRule, Rounding, calibrate, check_not_quantized, post_training
from saq_eval.studies.driver import fit_draft
from saq_eval.studies.parent import Source, find_source
from saq_eval.training.loop import steps_per_epoch
from saq_eval.training.recipes import Recipe, default_recipe
from saq_eval.zoo import (
    check_free,
    check_reads,
    measure,
    partial_folder,
    warn_of_unused_bits,
    writable_zoo,
    write_model,
)
from saq_eval.zoo.cards import NOT_MEASURED, CalibrationCard, Card

Weights = Literal["mse", "scheme"]


@dataclass(frozen=True)
class Request:
    """How a network is quantized; the fields are arguments of `quantize_model`."""

    scheme: Scheme
    calibrate: int = 256
    clip: str = "mse"
    weights: Weights = "mse"
    rounding: Rounding = "least-squares"
    bias_correction: bool = True
    seed: int = 0
    finetune: int = 0
    name: str | None = None

    def __post_init__(self) -> None:
        ClipRule.parse(self.clip)
        check_choice("rounding", self.rounding, Rounding)
        check_choice("kind of weights", self.weights, Weights)
        check_seed(self.seed)
        for what, number, least in (("calibrate", self.calibrate, 1), ("finetune", self.finetune, 0)):
            if type(number) is not int or number < least:
                raise SaqEvalError(f"{what} is a whole number of at least {least}, not {in_short(number)}")
        if self.name is not None:
            check_name("model", self.name)
        if self.scheme.is_full_precision:
            raise SaqEvalError(
                f"the scheme {self.scheme.name!r} is of full precision, so there is nothing to quantize; "
                "w8a8, w4a4 and mixed are not"
            )

    @property
    def used_scheme(self) -> Scheme:
        """The scheme that the network is quantized by.

        Further training is by the scheme itself, as for networks that `train_model` makes.
        """
        if self.finetune:
            return self.scheme
        variant = post_training(self.scheme)
        return variant if self.weights == "mse" else replace(self.scheme, name=variant.name)


def quantize_model(
    dataset: str,
    parent: str,
    scheme: str | Scheme,
    *,
    calibrate: int = 256,
    clip: str = "mse",
    weights: Weights = "mse",
    rounding: Rounding = "least-squares",
    bias_correction: bool = True,
    seed: int = 0,
    finetune: int = 0,
    name: str | None = None,
    zoo: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    device: str = "auto",
    trust_code: bool = False,
    overwrite: bool = False,
    size: int | None = None,
    crop: int | None = None,
    classes: str | os.PathLike | None = None,
    progress: bool = True,
) -> Card:
    """Quantize a full-precision network without training, and write the result to a zoo.

    See `saq_eval.quantization.calibration.calibrate` for what is done.

    Args:
        dataset: a registered name, or "folder:PATH" for pictures in folders; the folder's name is then the dataset's name.
        parent: the full-precision model, in any zoo that is searched; or "NAME=SOURCE" for a network outside the zoo (see
            `saq_eval.networks.sources`), which is added to the zoo under that name first.
        scheme: a scheme, the name of a registered one, or a `.yaml` file.
        calibrate: the number of images that the clips, codes and biases are found with. They are drawn from the training
            split, stratified by class. If the dataset has no training split, they are test images, with a warning. If the
            split has fewer images, all are used, with a warning.
        clip: how clips are found: "mse", by least squared error, or "quantile:q", such as "quantile:0.9999".
        weights: "mse" for a scale of least squared error for each output channel; the scheme is then called
            `<name>-ptq` on the card. "scheme" for the scheme's own quantizer.
        rounding: "least-squares" or "nearest".
        bias_correction: whether biases are changed so that each output channel keeps its mean.
        seed: the seed that the images are drawn by.
        finetune: the number of epochs that the network is trained on for, from the calibrated clips, by the dataset's
            recipe for quantized networks. Then the scheme's own quantizer is used.
        name: by default `<parent>-<scheme>-ptq`, or `<parent>-<scheme>-ft` if it is trained on.
        zoo: the folder to write to, created if missing; by default `SAQ_EVAL_ZOO`, else the
            built-in zoo of a source checkout.
        data_root: see `load_dataset`.
        device: the device of further training, "cpu", "cuda" or "auto".
        trust_code: whether the network may be built by code outside this package that the parent's card names.
        overwrite: replace an existing model of that name.
        size, crop, classes: of a network outside the zoo, how pictures are brought to one size, and a file with the names
            of its outputs; by default as its own preprocessing and weights say. For a model of the zoo, they have to agree
            with its card.
        progress: whether further training shows a progress bar.

    Returns:
        The new model's card, with its test accuracy.

    Raises:
        SaqEvalError: an unknown name, a parent that is not of full precision, a scheme that is, a name that is taken, a
            folder that cannot be written, a size or classes that contradict the parent's card, or as `calibrate` does.
    """
    request = Request(load_scheme(scheme), calibrate, clip, weights, rounding, bias_correction, seed, finetune, name)
    writable_zoo(zoo)
    source = find_source(
        dataset,
        parent,
        size=size,
        crop=crop,
        classes=classes,
        zoo=zoo,
        data_root=data_root,
        trust_code=trust_code,
    )
    return quantize_source(
        source, dataset, request, zoo=zoo, data_root=data_root, device=device, overwrite=overwrite, progress=progress
    )


def quantize_source(
    source: Source,
    dataset: str,
    request: Request,
    *,
    zoo: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
) -> Card:
    """Quantize a network and write the result to a zoo; see `quantize_model`, which does it for models of the zoo.

    A comparison finds the network's parent in the zoo by `source.name`.
    """
    check_not_quantized(source.network)
    scheme = request.used_scheme
    name = request.name or f"{source.name}-{scheme.name}{'-ft' if request.finetune else ''}"
    target = writable_zoo(zoo)
    given, dataset = dataset, dataset_name(dataset)
    check_free(target, dataset, name, zoo, overwrite)
    test_set = _split(given, "test", data_root, source)
    check_readable(test_set)
    train_set = _train_set(given, data_root, source)
    training = _training(source, request, train_set)
    images = _calibration_images(train_set or test_set, request)
    reads = nn.Sequential(Normalize(source.preprocessing), freeze(source.network))
    check_reads(source.name, reads, test_set)
    with deterministic(1):
        frozen = calibrate(
            source.network,
            scheme,
            images.images,
            clip=request.clip,
            rounding=request.rounding,
            correct_biases=request.bias_correction,
            preprocessing=source.preprocessing,
        )
    warn_of_unused_bits(frozen, scheme, test_set.read([0]), stacklevel=4)
    how = (request.clip, request.rounding, request.seed, request.bias_correction)
    calibration = CalibrationCard(len(images), images.split, *how)
    draft = _draft(source, test_set, name, scheme, calibration, training)
    if training is None:
        return write_model(target, measure(draft, frozen, test_set), frozen, None)
    network = _training_form(source, frozen, scheme)
    with partial_folder(target, dataset, name) as folder, deterministic(training.recipe.threads):
        progress_file = folder / "progress.pt"
        if overwrite:
            progress_file.unlink(missing_ok=True)
        pixels = nn.Sequential(Normalize(source.preprocessing), network)
        recipe, train_set = training.recipe, training.train_set
        trained = fit_draft(pixels, draft, recipe, train_set, pick_device(device), progress_file, progress)
        frozen = freeze(network)
        return write_model(target, measure(trained, frozen, test_set), frozen, None)


@dataclass(frozen=True)
class _Training:
    """Further training: the recipe and the images."""

    recipe: Recipe
    train_set: Dataset


def _split(dataset: str, split: Split, data_root: str | os.PathLike | None, source: Source) -> Images:
    """Return a split of the images, as a network expects them."""
    return open_images(dataset, split, data_root, geometry=source.geometry, classes=source.classes)


def _draft(
    source: Source,
    test_set: Images,
    name: str,
    scheme: Scheme,
    calibration: CalibrationCard,
    training: _Training | None,
) -> Card:
    """Return the child's card before it is trained on and measured."""
    return Card(
        name=name,
        dataset=test_set.name,
        architecture=source.architecture,
        scheme=scheme,
        seed=source.seed,
        parent=source.name,
        parent_sha256=source.sha256,
        recipe=None if training is None else training.recipe,
        parent_recipe=source.recipe if training is None else None,
        image_shape=test_set.image_shape,
        preprocessing=source.preprocessing,
        geometry=source.geometry,
        classes=source.classes,
        calibration=calibration,
        versions={package: importlib.metadata.version(package) for package in ("saq_eval", "torch")},
        **NOT_MEASURED,
    )


def _train_set(dataset: str, data_root: str | os.PathLike | None, source: Source) -> Images | None:
    """Return the training split; `None`, with a warning, if there is none."""
    try:
        return _split(dataset, "train", data_root, source)
    except SaqEvalError as error:
        warnings.warn(
            f"{dataset} has no training split ({error}), so the network is calibrated on test images, which its accuracy "
            "is then measured on too",
            SaqEvalWarning,
            stacklevel=4,
        )
        return None


def _training(source: Source, request: Request, train_set: Images | None) -> _Training | None:
    """Return how the network is trained on; `None` if it is not."""
    if not request.finetune:
        return None
    if train_set is None:
        raise SaqEvalError("a network cannot be trained on without a training split; leave out --finetune")
    recipe = replace(
        default_recipe(train_set.name, quantized=True),
        epochs=request.finetune,
        alpha_init="calibrated",
        saliency_guided=source.recipe.saliency_guided if source.recipe else None,
    )
    held = train_set.in_memory()
    steps_per_epoch(held, recipe)
    return _Training(recipe, held)


def _calibration_images(split: Images, request: Request) -> Dataset:
    """Return the images to calibrate on, or all with a warning if they are fewer."""
    if request.calibrate > len(split):
        warnings.warn(
            f"the network is calibrated on all {len(split)} images of the {split.name} {split.split} set, which are fewer "
            f"than {request.calibrate}",
            SaqEvalWarning,
            stacklevel=4,
        )
    return split.sample(min(request.calibrate, len(split)), request.seed)


@torch.no_grad()
def _training_form(source: Source, frozen: fx.GraphModule, scheme: Scheme) -> fx.GraphModule:
    """Return the quantized network in training form, with the clips of a calibrated one."""
    network = quantize(source.network, scheme).requires_grad_(True)
    for name, module in network.named_modules():
        if isinstance(module, ACTIVATION_QUANTIZERS):
            calibrated = frozen.get_submodule(name)
            assert isinstance(calibrated, ACTIVATION_QUANTIZERS)
            module.alpha.copy_(calibrated.alpha)
    return network
