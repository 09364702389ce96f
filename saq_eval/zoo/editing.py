"""Functions that change a zoo: write, add and remove models."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.paths import check_name, user_path
from saq_eval.data import Geometry, Images, check_readable, open_images
from saq_eval.data.classes import read_classes
from saq_eval.networks.chance import warn_of_chance
from saq_eval.networks.inference import predict
from saq_eval.networks.preprocessing import Normalize, Preprocessing, with_preprocessing
from saq_eval.networks.sources import open_source
from saq_eval.networks.weights import parse_weights, read_bytes, sha256_of
from saq_eval.quantization import Scheme, freeze, load_scheme
from saq_eval.quantization.packing import pack
from saq_eval.zoo import finding
from saq_eval.zoo.cards import CARD, NOT_MEASURED, TRAINING_FORM, WEIGHTS, ArchitectureCard, Card, write_card
from saq_eval.zoo.finding import find_model, find_models, zoo_folders
from saq_eval.zoo.loading import (
    build_network,
    check_reads,
    frozen_of,
    load_training_form,
    measure,
    training_form_of,
    warn_of_unused_bits,
)


def write_model(zoo: Path, draft: Card, frozen: nn.Module, training_form: nn.Module | None) -> Card:
    """Write a model's folder, completely or not at all; an existing model of that name is replaced.

    Before the files are written, their contents are parsed by the code that will read them later, and compared with
    the network.

    Args:
        zoo: the zoo's folder.
        draft: the model's card without the hashes, which are filled in here.
        frozen: the network in frozen form.
        training_form: the network in training form; `None` if it is not to be kept.

    Returns:
        The card as written.

    Raises:
        SaqEvalError: if a tensor is not finite, or would not be the same after reading; the message names the tensor.
    """
    files = {WEIGHTS: save_tensors(pack(frozen))}
    if training_form is not None:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in training_form.state_dict().items()}
        files[TRAINING_FORM] = save_tensors(state)
    card = replace(
        draft,
        weights_sha256=sha256_of(files[WEIGHTS]),
        training_form_sha256=sha256_of(files[TRAINING_FORM]) if TRAINING_FORM in files else None,
    )
    folder = zoo / card.dataset / card.name
    tensors = parse_weights(files[WEIGHTS], folder / WEIGHTS)
    _check_same(frozen, frozen_of(card, tensors, folder / WEIGHTS, trust_code=True), folder / WEIGHTS)
    if training_form is not None:
        path = folder / TRAINING_FORM
        tensors = parse_weights(files[TRAINING_FORM], path)
        again = training_form_of(card.architecture, card.scheme, tensors, path, trust_code=True)
        _check_same(training_form, again, path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as partial:
        fresh = Path(partial) / card.name
        fresh.mkdir()
        for file, content in files.items():
            (fresh / file).write_bytes(content)
        write_card(card, fresh / CARD)
        if folder.exists():
            folder.rename(Path(partial) / "replaced")
        fresh.rename(folder)
    return card


def _is_frozen_form(card: Card, tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether a state dict's tensors have the names of a frozen network's tensors, packed or not."""
    if not card.scheme.is_full_precision:
        return any(name.endswith("weight_code") for name in tensors)
    network = build_network(card.architecture, seed=0, trust_code=True)
    if tensors.keys() == network.state_dict().keys():
        return False
    return tensors.keys() == freeze(network).state_dict().keys()


def _check_same(network: nn.Module, again: nn.Module, path: Path) -> None:
    """Raise `SaqEvalError` unless `again`, the network that was read back, has the tensors of `network`, bit for bit."""
    read = again.state_dict()
    for name, tensor in network.state_dict().items():
        if name not in read or not torch.equal(tensor.cpu(), read[name].cpu()):
            raise SaqEvalError(f"{path}: {name} would not come back as it is; the architecture computes it otherwise")


def _check_same_logits(name: str, given: nn.Module, stored: nn.Module, images: Tensor) -> None:
    """Raise `SaqEvalError` if the stored form has other logits than the network that was given.

    One image in ten may have other logits: if a sum is rounded differently, a rounded activation may jump by a step.
    """
    expected, actual = predict(given, images), predict(stored, images)
    difference = (actual - expected).abs().amax(dim=1)
    other = difference > 1e-3 * expected.abs().max()
    if other.double().mean() > 0.1:
        raise SaqEvalError(
            f"{name}: the stored form would have other logits than the network that was given, for {int(other.sum())} of "
            f"{len(images)} images, by up to {difference.max():.3g} where the largest logit is {expected.abs().max():.3g}"
        )


def add_model(
    dataset: str,
    name: str,
    weights: str | os.PathLike,
    architecture: str,
    *,
    arguments: Mapping[str, Any] | None = None,
    scheme: str | Scheme = "fp32",
    preprocessing: Preprocessing | None = None,
    parent: str | None = None,
    seed: int = 0,
    zoo: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> Card:
    """Add a network that was trained elsewhere to a zoo.

    The network is built, its weights are loaded strictly, it is frozen, and its accuracy on the dataset's test images is
    measured.

    Args:
        dataset: a registered name, or "folder:PATH" for pictures in folders; the folder's name is then the dataset's name.
        name: the model's name in the zoo.
        weights: a safetensors file, or a file that torch saved (`.pt`, `.pth`), with the network's state dict. For a
            scheme other than "fp32", it is the state dict of the network's `quantize`d twin, in training or frozen form.
            A zoo's own file works too.
        architecture: a registered name, "torchvision:resnet18", "timm:resnet18", or "module:function", whose code is
            imported and run.
        arguments: the keyword arguments that the architecture is built with.
        scheme: the scheme that the network was quantized by.
        preprocessing: the normalisation that the network expects for pixels in [0, 1].
        parent: the full-precision model in the zoo that a quantized network is to be compared with.
        seed: the seed that the network was trained with, if it is known.
        zoo: the folder to write to; by default `SAQ_EVAL_ZOO`, else the built-in zoo of a source checkout.
        overwrite: replace an existing model of that name.

    Raises:
        SaqEvalError: an unknown name, a file that is unreadable or does not fit, a network that does not read the
            dataset's images, a name that is taken, or a folder that cannot be written.
    """
    scheme = load_scheme(scheme)
    check_name("model", name)
    if not scheme.starts_from_parent and parent:
        raise SaqEvalError(f"a full-precision network has no parent, but {parent!r} was given")
    test_set = open_images(dataset, "test", data_root)
    dataset = test_set.name
    target = writable_zoo(zoo)
    check_free(target, dataset, name, zoo, overwrite)
    if parent:
        find_model(dataset, parent, zoo)
    path = user_path(weights)
    card = Card(
        name=name,
        dataset=dataset,
        architecture=ArchitectureCard(architecture, dict(arguments or {})),
        scheme=scheme,
        seed=seed,
        parent=parent,
        recipe=None,
        image_shape=test_set.image_shape,
        preprocessing=preprocessing or Preprocessing(),
        **NOT_MEASURED,
    )
    return _add(card, parse_weights(read_bytes(path), path), path, target, test_set)


def add_source(
    dataset: str,
    name: str,
    source: str,
    *,
    geometry: Geometry | None = None,
    classes: str | os.PathLike | None = None,
    zoo: str | os.PathLike | None = None,
    data_root: str | os.PathLike | None = None,
    trust_code: bool = False,
    overwrite: bool = False,
) -> Card:
    """Add the full-precision network that a text names to a zoo; a model that is the same network already is kept.

    Args:
        dataset: a registered name, or "folder:PATH" for pictures in folders; the folder's name is then the dataset's name.
        name: the model's name in the zoo.
        source: see `saq_eval.networks.sources`; a network of torch.
        geometry: how pictures are brought to one size; by default as the network's own preprocessing does it.
        classes: a file with the names of the network's outputs; by default as the network's weights say.
        trust_code: whether the source may run code outside this package.
        zoo, overwrite: as for `add_model`.

    Raises:
        SaqEvalError: as `open_source` and `add_model` do.
    """
    check_name("model", name)
    target = writable_zoo(zoo)
    opened = open_source(source, trust_code=trust_code)
    outputs = opened.classes if classes is None else tuple(read_classes(classes))
    prepared = geometry or opened.geometry
    test_set = open_images(dataset, "test", data_root, geometry=prepared, classes=outputs)
    card = Card(
        name=name,
        dataset=test_set.name,
        architecture=ArchitectureCard(opened.architecture, dict(opened.arguments)),
        scheme=load_scheme("fp32"),
        seed=0,
        parent=None,
        recipe=None,
        image_shape=test_set.image_shape,
        preprocessing=opened.preprocessing,
        geometry=prepared,
        classes=outputs,
        **NOT_MEASURED,
    )
    tensors = opened.module.state_dict()
    if not overwrite and (target / card.dataset / name).exists():
        there, folder = find_model(card.dataset, name, zoo)
        facts = ("architecture", "preprocessing", "geometry", "classes")
        same = all(getattr(there, fact) == getattr(card, fact) for fact in facts)
        if same and _holds(there, folder, tensors, trust_code=trust_code):
            return there
    check_free(target, card.dataset, name, zoo, overwrite)
    check_readable(test_set)
    return _add(card, tensors, Path(source), target, test_set)


def _holds(card: Card, folder: Path, tensors: Mapping[str, Tensor], *, trust_code: bool) -> bool:
    """Tell whether a model's training form has these tensors."""
    stored = load_training_form(card, folder, trust_code=trust_code).state_dict()
    return stored.keys() == tensors.keys() and all(torch.equal(value, stored[name]) for name, value in tensors.items())


def _add(card: Card, tensors: Mapping[str, Tensor], source: Path, target: Path, test_set: Images) -> Card:
    """Build a card's network from a state dict, measure it and write it to the zoo `target`; errors name `source`."""
    if _is_frozen_form(card, tensors):
        network, frozen = None, frozen_of(card, tensors, source, trust_code=True)
        given = with_preprocessing(frozen, card.preprocessing)
    else:
        network = training_form_of(card.architecture, card.scheme, tensors, source, trust_code=True).eval()
        frozen = freeze(network)
        given = nn.Sequential(Normalize(card.preprocessing), network).eval()
    check_reads(card.name, given, test_set)
    warn_of_unused_bits(frozen, card.scheme, test_set.read([0]), stacklevel=4)
    if network is not None:
        stored = with_preprocessing(frozen, card.preprocessing)
        _check_same_logits(card.name, given, stored, test_set.read(range(min(256, len(test_set)))))
    kept = None if card.scheme.starts_from_parent else network
    measured, outputs = measure(card, frozen, test_set), predict(given, test_set.read([0])).shape[1]
    warn_of_chance({card.name: measured.test_accuracy}, len(test_set), outputs, stacklevel=4)
    return write_model(target, measured, frozen, kept)


def remove_model(dataset: str, name: str, zoo: str | os.PathLike | None = None) -> Path:
    """Delete a model from a user's zoo, `zoo` or `SAQ_EVAL_ZOO`, and return the model's folder.

    Raises:
        SaqEvalError: an unknown name, a model in another zoo, or a model that is the parent of other models.
    """
    card, folder = find_model(dataset, name, zoo)
    given = zoo or os.environ.get("SAQ_EVAL_ZOO")
    if (
        not given
        or user_path(given).resolve() not in folder.resolve().parents
        or finding.builtin_zoo() in folder.parents
    ):
        raise SaqEvalError(f"{folder} is not in a zoo of your own (--zoo or SAQ_EVAL_ZOO), so it is not removed")
    children = [other.name for other, _ in find_models(dataset, ["*"], zoo) if other.parent == card.name]
    if children:
        raise SaqEvalError(f"{card.name} is the parent of {', '.join(children)}; remove these first")
    shutil.rmtree(folder)
    return folder


def check_free(target: Path, dataset: str, name: str, zoo: str | os.PathLike | None, overwrite: bool) -> None:
    """Raise `SaqEvalError` if a zoo has a model of that name, unless it is in `target` and `overwrite` is true."""
    for folder in {target, *zoo_folders(zoo)}:
        if (folder / dataset / name).exists() and not (overwrite and folder == target):
            raise SaqEvalError(f"{folder / dataset / name} exists already; choose another name, or overwrite it there")


@contextmanager
def partial_folder(zoo: Path, dataset: str, name: str) -> Iterator[Path]:
    """Lock the folder for the progress of one model's training, and remove the folder when the block succeeds.

    Raises:
        SaqEvalError: if another process has locked it.
    """
    folder = zoo / dataset / f".partial-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise SaqEvalError(f"{dataset}/{name} is being trained by another process, in {folder}") from None
    try:
        yield folder
        shutil.rmtree(folder)
    finally:
        lock.release()


def writable_zoo(zoo: str | os.PathLike | None) -> Path:
    """Return the zoo folder to write to: `zoo`, else `SAQ_EVAL_ZOO`, else the built-in zoo of a source checkout.

    The folder is created if it does not exist.

    Raises:
        SaqEvalError: if there is no such folder, or it cannot be written.
    """
    given = zoo or os.environ.get("SAQ_EVAL_ZOO")
    if not given and not (Path(__file__).parents[2] / "pyproject.toml").is_file():
        raise SaqEvalError("say with --zoo or SAQ_EVAL_ZOO which folder the model is to be written to")
    folder = user_path(given) if given else finding.builtin_zoo()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder):
            pass
    except OSError as error:
        raise SaqEvalError(f"the zoo folder {folder} cannot be written: {error.strerror}") from error
    return folder
