"""The model zoo: find, load, verify, write, add and remove models. The files are `<zoo>/<dataset>/<name>/`.

A model is a folder with `card.yaml` and `model.safetensors` (its frozen form, weights as packed
integer codes). Full-precision models also keep `training_form.safetensors`, from which quantized
children start.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import filelock
import safetensors
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, fx, nn

from saq_eval.architectures import find_architecture
from saq_eval.cards import ArchitectureCard, Card, Normalize, Preprocessing, read_card, write_card
from saq_eval.datasets import DATASETS, Dataset, load_dataset
from saq_eval.errors import SaqEvalError, unknown_name
from saq_eval.paths import check_name, user_path
from saq_eval.plugins import load_plugins
from saq_eval.quantization import Scheme, freeze, load_scheme, quantize
from saq_eval.quantization.costs import layer_costs
from saq_eval.quantization.packing import pack, unpack
from saq_eval.training.loop import accuracy

CARD, WEIGHTS, TRAINING_FORM = "card.yaml", "model.safetensors", "training_form.safetensors"


@dataclass(frozen=True)
class Model:
    """A loaded zoo model.

    Attributes:
        card: its card.
        network: its frozen form, in eval mode: float32 pixels (n, c, h, w) in [0, 1] -> logits (n, classes).
        frozen: the same without the preprocessing in front.
        ideal_bytes: the size of its tensors at their bit width: packed codes, scales, biases and clips.
        file_bytes: the size of the file that they are stored in.
    """

    card: Card
    network: nn.Module
    frozen: fx.GraphModule
    ideal_bytes: int
    file_bytes: int

    @property
    def parameters(self) -> int:
        """The number of weights, biases and clips."""
        return sum(parameter.numel() for parameter in self.network.parameters())


_REGISTERED_ZOOS: list[Path] = []


def register_zoo(folder: str | os.PathLike) -> None:
    """Add a zoo folder, such as one that an installed package brings, to those that are searched."""
    _REGISTERED_ZOOS.append(Path(folder))


def zoo_folders(zoo: str | os.PathLike | None = None) -> list[Path]:
    """Return the folders that are searched: the built-in zoo, registered ones, and `zoo` (else `SAQ_EVAL_ZOO`) if given.

    Raises:
        SaqEvalError: if a folder does not exist.
    """
    load_plugins()
    given = zoo or os.environ.get("SAQ_EVAL_ZOO")
    folders = [_builtin_zoo()]
    for folder in (*_REGISTERED_ZOOS, *([user_path(given)] if given else [])):
        try:
            exists = folder.is_dir()
        except OSError as error:
            raise SaqEvalError(f"the zoo folder {folder} cannot be read: {error.strerror}") from error
        if not exists:
            raise SaqEvalError(f"the zoo folder {folder} does not exist")
        if not any(folder.resolve() == known.resolve() for known in folders):
            folders.append(folder)
    return folders


def _builtin_zoo() -> Path:
    package = Path(__file__).parent
    installed = package / "model_zoo"  # a wheel carries the zoo inside the package
    return installed if installed.is_dir() else package.parent / "model_zoo"


def find_models(
    dataset: str | None = None, patterns: Sequence[str] = ("*",), zoo: str | os.PathLike | None = None
) -> list[tuple[Card, Path]]:
    """Return the cards and folders of the zoo's models, sorted by dataset, training, seed and falling bit width.

    Args:
        dataset: only models of this dataset; none for all.
        patterns: names or shell patterns; a model is listed if one matches.
        zoo: a folder beside the built-in zoo; see `zoo_folders`.

    Raises:
        SaqEvalError: a malformed card, an unknown dataset, a pattern that matches nothing, an empty zoo, or one
            name in two zoos.
    """
    if dataset is not None:
        DATASETS[dataset]
    found: dict[tuple[str, str], tuple[Card, Path]] = {}
    for root in zoo_folders(zoo):
        for path in sorted(root.glob(f"{dataset or '*'}/*/{CARD}")):
            card = read_card(path)
            key = (card.dataset, card.name)
            if key in found:
                raise SaqEvalError(f"{card.dataset}/{card.name} is in two zoos: {found[key][1]} and {path.parent}")
            found[key] = (card, path.parent)
    if not found:
        folders = ", ".join(str(folder) for folder in zoo_folders(zoo))
        raise SaqEvalError(f"the zoo holds no {dataset + ' ' if dataset else ''}model; looked in {folders}")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for _, name in found):
            raise unknown_name(f"{dataset} model" if dataset else "model", pattern, [name for _, name in found])
    chosen = [entry for (_, name), entry in found.items() if any(fnmatchcase(name, p) for p in patterns)]
    return sorted(chosen, key=lambda entry: _order(entry[0]))


def _order(card: Card) -> tuple:
    bits = card.scheme.later or card.scheme.default
    width = (
        card.scheme.default.weight_bits + bits.weight_bits,
        card.scheme.default.activation_bits + bits.activation_bits,
    )
    return card.dataset, card.architecture.name, card.training != "standard", card.seed, *(-w for w in width), card.name


def find_model(dataset: str, name: str, zoo: str | os.PathLike | None = None) -> tuple[Card, Path]:
    """Return one model's card and folder; raises as `find_models` does, also where `name` is a pattern."""
    for card, folder in find_models(dataset, ["*"], zoo):
        if card.name == name:
            return card, folder
    raise unknown_name(f"{dataset} model", name, [card.name for card, _ in find_models(dataset, ["*"], zoo)])


def load_model(dataset: str, name: str, zoo: str | os.PathLike | None = None, *, trust_code: bool = False) -> Model:
    """Load one model of the zoo in its frozen form, after checking its weights' hash.

    Args:
        zoo: a folder beside the built-in zoo; see `zoo_folders`.
        trust_code: whether a card may name code outside this package to build its network with.

    Raises:
        SaqEvalError: an unknown name, a malformed card, code that is not trusted, or a weights file that
            is unreadable, does not fit or has another hash than its card says.
    """
    return open_model(*find_model(dataset, name, zoo), trust_code=trust_code)


def open_model(card: Card, folder: Path, *, trust_code: bool = False) -> Model:
    """Load the model of a card that `find_models` returned; raises as `load_model` does."""
    path = folder / WEIGHTS
    tensors = _read_weights(path, card.weights_sha256)
    try:
        frozen = freeze(quantize(build_network(card.architecture, seed=0, trust_code=trust_code), card.scheme))
        unpack(frozen, tensors)
    except SaqEvalError as error:
        raise SaqEvalError(f"{path}: {error}") from error
    return Model(
        card,
        with_preprocessing(frozen, card.preprocessing),
        frozen,
        ideal_bytes=sum(tensor.nbytes for tensor in tensors.values()),
        file_bytes=path.stat().st_size,
    )


def with_preprocessing(network: nn.Module, preprocessing: Preprocessing) -> nn.Module:
    """Return a network that reads pixels in [0, 1]."""
    return network if preprocessing.is_identity else nn.Sequential(Normalize(preprocessing), network).eval()


def build_network(architecture: ArchitectureCard, seed: int, *, trust_code: bool = False) -> nn.Module:
    """Build an architecture with weights drawn from `seed`, leaving torch's global generator as it was.

    Raises:
        SaqEvalError: an unknown architecture, code that is not trusted, or arguments that it does not take.
    """
    build = find_architecture(architecture.name, trust_code=trust_code)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            network = build(**architecture.arguments)
        except Exception as error:  # whatever its code raises on arguments that it cannot use
            raise SaqEvalError(
                f"architecture {architecture.name!r} cannot be built with the arguments {architecture.arguments}: {error}"
            ) from error
    if not isinstance(network, nn.Module):
        raise SaqEvalError(f"architecture {architecture.name!r} builds no nn.Module but {type(network).__name__}")
    return network


def _read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    content = _read_bytes(path)
    actual = _sha256(content)
    if actual != sha256:
        raise SaqEvalError(f"{path}: the weights were changed: SHA-256 is {actual}, the card says {sha256}")
    return _parse_weights(content, path)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SaqEvalError(f"{path}: the weights cannot be read: {error.strerror}") from error


def _parse_weights(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return load_tensors(content)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise SaqEvalError(
            f"{path}: no valid safetensors file: {error}; write one with safetensors.torch.save_file(network.state_dict(), …)"
        ) from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def verify_model(card: Card, folder: Path, test_set: Dataset, *, trust_code: bool = False) -> float:
    """Recompute what a card says of its files: their hashes, the test accuracy, size and bit operations.

    Returns:
        The accuracy, 0 to 1.

    Raises:
        SaqEvalError: if one differs; the accuracy, by more than 0.05 points (rounding of another processor).
    """
    if card.training_form_sha256 is not None:
        _read_weights(folder / TRAINING_FORM, card.training_form_sha256)
    model = open_model(card, folder, trust_code=trust_code)
    check_reads(card.name, model.network, test_set)
    measured = measure(card, model.frozen, test_set)
    if abs(measured.test_accuracy - card.test_accuracy) > 5e-4:
        raise SaqEvalError(
            f"{folder / CARD}: test_accuracy: is {card.test_accuracy:.4f}, but the model reaches "
            f"{measured.test_accuracy:.4f}"
        )
    for name in ("ideal_bytes", "bops"):
        if getattr(card, name) != getattr(measured, name):
            raise SaqEvalError(f"{folder / CARD}: {name}: is {getattr(card, name)}, not {getattr(measured, name)}")
    return measured.test_accuracy


def measure(card: Card, frozen: fx.GraphModule, test_set: Dataset) -> Card:
    """Return a card with what is measured of its frozen network filled in: test accuracy, size and bit operations."""
    return replace(
        card,
        test_accuracy=accuracy(with_preprocessing(frozen, card.preprocessing), test_set),
        ideal_bytes=sum(tensor.nbytes for tensor in pack(frozen).values()),
        bops=sum(layer.bops for layer in layer_costs(frozen, card.scheme, test_set.images[:1])),
    )


def check_reads(name: str, network: nn.Module, dataset: Dataset) -> None:
    """Raise `SaqEvalError` unless a network reads a dataset's images and has an output for each of its classes."""
    shape = tuple(dataset.images.shape[1:])
    try:
        outputs = network(dataset.images[:1]).shape
    except RuntimeError as error:
        raise SaqEvalError(f"{name} cannot read images of shape {shape}: {error}") from error
    if len(outputs) != 2 or outputs[1] < len(dataset.class_names):
        raise SaqEvalError(
            f"{name} has outputs of shape {tuple(outputs)} for an image; {dataset.name} has "
            f"{len(dataset.class_names)} classes"
        )


def load_training_form(card: Card, folder: Path, *, trust_code: bool = False) -> nn.Module:
    """Return a model's training form: a full-precision network with batch norm unfolded, or a quantized one's latent weights.

    Args:
        card, folder: as `find_models` returns them.
        trust_code: see `load_model`.

    Raises:
        SaqEvalError: a model that kept no training form, or a file that is unreadable, was changed or does not fit.
    """
    path = folder / TRAINING_FORM
    if card.training_form_sha256 is None:
        raise SaqEvalError(f"{folder} keeps no {TRAINING_FORM}, so nothing can start from it")
    tensors = _read_weights(path, card.training_form_sha256)
    return _training_form(card.architecture, card.scheme, tensors, path, trust_code=trust_code)


def _training_form(
    architecture: ArchitectureCard, scheme: Scheme, tensors: Mapping[str, Tensor], source: Path, *, trust_code: bool
) -> nn.Module:
    """Build a network in training form from a state dict in which every tensor fits and none is missing or left over."""
    network = build_network(architecture, seed=0, trust_code=trust_code)
    if not scheme.is_full_precision:
        network = quantize(network, scheme)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise SaqEvalError(f"{source} does not fit the architecture: {' '.join(str(error).split())}") from error
    return network


def write_model(zoo: Path, draft: Card, frozen: nn.Module, training_form: nn.Module | None) -> Card:
    """Write a model's folder, whole or not at all; a model of that name is replaced.

    Args:
        zoo: the zoo's folder.
        draft: its card, whose hashes are filled in here.
        frozen: the network in frozen form.
        training_form: the network in training form, where that is to be kept.

    Returns:
        The card as written.
    """
    files = {WEIGHTS: save_tensors(pack(frozen))}
    if training_form is not None:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in training_form.state_dict().items()}
        files[TRAINING_FORM] = save_tensors(state)
    card = replace(
        draft,
        weights_sha256=_sha256(files[WEIGHTS]),
        training_form_sha256=_sha256(files[TRAINING_FORM]) if TRAINING_FORM in files else None,
    )
    folder = zoo / card.dataset / card.name
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
    """Bring a network that was trained elsewhere into a zoo.

    It is built, its weights are loaded strictly, it is frozen, and its accuracy is measured on the
    dataset's test images; its card says that it was trained elsewhere.

    Args:
        dataset: a registered name.
        name: the model's name in the zoo.
        weights: a safetensors file with the state dict of the network or, with a scheme other than
            "fp32", of its `quantize`d twin in training form.
        architecture: a registered name, or "module:function", whose code is imported and run.
        arguments: the keyword arguments that it is built with.
        scheme: what it was quantized by.
        preprocessing: what the network expects to be done to pixels in [0, 1].
        parent: the full-precision model in the zoo that a quantized one is to be compared with.
        seed: the seed that it was trained with, if that is known.
        zoo: the folder to write to; by default `SAQ_EVAL_ZOO`, else the built-in zoo of a source checkout.
        overwrite: replace a model of that name.

    Raises:
        SaqEvalError: an unknown name, a file that is unreadable or does not fit, a network that does not
            read the dataset's images, a name that is taken, a folder that cannot be written.
    """
    scheme = load_scheme(scheme)
    check_name("model", name)
    if scheme.is_full_precision and parent:
        raise SaqEvalError(f"a full-precision network has no parent, but {parent!r} was given")
    if parent:
        find_model(dataset, parent, zoo)
    test_set = load_dataset(dataset, "test", data_root)
    target = writable_zoo(zoo)
    check_free(target, dataset, name, zoo, overwrite)
    path = user_path(weights)
    built = ArchitectureCard(architecture, dict(arguments or {}))
    network = _training_form(built, scheme, _parse_weights(_read_bytes(path), path), path, trust_code=True).eval()
    card = Card(
        name=name,
        dataset=dataset,
        architecture=built,
        scheme=scheme,
        seed=seed,
        parent=parent,
        recipe=None,
        image_shape=tuple(test_set.images.shape[1:]),
        test_accuracy=0.0,
        ideal_bytes=0,
        bops=0,
        weights_sha256="0" * 64,
        preprocessing=preprocessing or Preprocessing(),
    )
    frozen = freeze(network)
    check_reads(name, with_preprocessing(frozen, card.preprocessing), test_set)
    return write_model(target, measure(card, frozen, test_set), frozen, network if scheme.is_full_precision else None)


def remove_model(dataset: str, name: str, zoo: str | os.PathLike | None = None) -> Path:
    """Delete a model of a user's zoo, `zoo` or `SAQ_EVAL_ZOO`, and return the folder that it was in.

    Raises:
        SaqEvalError: an unknown name, a model of another zoo, or the parent of models that remain.
    """
    card, folder = find_model(dataset, name, zoo)
    given = zoo or os.environ.get("SAQ_EVAL_ZOO")
    if not given or user_path(given).resolve() not in folder.resolve().parents or _builtin_zoo() in folder.parents:
        raise SaqEvalError(f"{folder} is not in a zoo of your own (--zoo or SAQ_EVAL_ZOO), so it is not removed")
    children = [other.name for other, _ in find_models(dataset, ["*"], zoo) if other.parent == card.name]
    if children:
        raise SaqEvalError(f"{card.name} is the parent of {', '.join(children)}; remove these first")
    shutil.rmtree(folder)
    return folder


def check_free(target: Path, dataset: str, name: str, zoo: str | os.PathLike | None, overwrite: bool) -> None:
    """Raise `SaqEvalError` if a model of that name is in a zoo already, other than in `target` to be overwritten."""
    for folder in {target, *zoo_folders(zoo)}:
        if (folder / dataset / name).exists() and not (overwrite and folder == target):
            raise SaqEvalError(f"{folder / dataset / name} exists already; choose another name, or overwrite it there")


@contextmanager
def partial_folder(zoo: Path, dataset: str, name: str) -> Iterator[Path]:
    """Hold the folder in which the progress of one model's training is kept, which goes away when the block succeeds.

    Raises:
        SaqEvalError: if another process holds it.
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


def pick_device(device: str) -> torch.device:
    """Return the torch device for "cpu", "cuda" or "auto" (a GPU where there is one); raises `SaqEvalError`."""
    if device not in ("cpu", "cuda", "auto"):
        raise unknown_name("device", device, ("cpu", "cuda", "auto"))
    if device == "cuda" and not torch.cuda.is_available():
        raise SaqEvalError("device 'cuda' was asked for, but torch finds no CUDA device; 'cpu' and 'auto' work")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def writable_zoo(zoo: str | os.PathLike | None) -> Path:
    """Return the zoo folder to write to, created where missing: `zoo`, else `SAQ_EVAL_ZOO`, else a checkout's own.

    Raises:
        SaqEvalError: if there is none, or it cannot be written.
    """
    given = zoo or os.environ.get("SAQ_EVAL_ZOO")
    if not given and not (Path(__file__).parent.parent / "pyproject.toml").is_file():
        raise SaqEvalError("say with --zoo or SAQ_EVAL_ZOO which folder the model is to be written to")
    folder = user_path(given) if given else _builtin_zoo()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder):
            pass
    except OSError as error:
        raise SaqEvalError(f"the zoo folder {folder} cannot be written: {error.strerror}") from error
    return folder
