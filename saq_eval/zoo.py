"""The model zoo: find, load, verify and train models. The files are `<zoo>/<dataset>/<name>/`.

A model is a folder with `card.yaml` and `model.safetensors` (its frozen form, weights as packed
integer codes). Full-precision models also keep `training_form.safetensors`, from which quantized
children start.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn
from tqdm.auto import tqdm

from saq_eval.architectures import ARCHITECTURES
from saq_eval.cards import ArchitectureCard, Card, Normalize, read_card, write_card
from saq_eval.datasets import DATASETS, Dataset, load_dataset
from saq_eval.errors import SaqEvalError, unknown_name
from saq_eval.paths import check_name, user_path
from saq_eval.quantization import Scheme, freeze, load_scheme, quantize
from saq_eval.quantization.packing import pack, unpack
from saq_eval.randomness import check_seed, deterministic
from saq_eval.training.loop import accuracy, fit, steps_per_epoch
from saq_eval.training.recipes import Recipe, default_recipe
from saq_eval.training.saliency_guided import SaliencyGuided

CARD, WEIGHTS, TRAINING_FORM = "card.yaml", "model.safetensors", "training_form.safetensors"


@dataclass(frozen=True)
class Model:
    """A loaded zoo model.

    Attributes:
        card: its card.
        network: its frozen form, in eval mode: float32 pixels (n, c, h, w) in [0, 1] -> logits (n, classes).
        weights_bytes: the size of its weights at their bit width: packed codes, scales, biases and clips.
    """

    card: Card
    network: nn.Module
    weights_bytes: int

    @property
    def parameters(self) -> int:
        """The number of weights, biases and clips."""
        return sum(parameter.numel() for parameter in self.network.parameters())


def zoo_folders(zoo: str | os.PathLike | None = None) -> list[Path]:
    """Return the folders that are searched: the built-in zoo, and `zoo` (else `SAQ_EVAL_ZOO`) if given.

    Raises:
        SaqEvalError: if the given folder does not exist.
    """
    given = zoo or os.environ.get("SAQ_EVAL_ZOO")
    folders = [_builtin_zoo()]
    if given:
        folder = user_path(given)
        try:
            exists = folder.is_dir()
        except OSError as error:
            raise SaqEvalError(f"the zoo folder {folder} cannot be read: {error.strerror}") from error
        if not exists:
            raise SaqEvalError(f"the zoo folder {folder} does not exist")
        if folder.resolve() != folders[0].resolve():
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


def load_model(dataset: str, name: str, zoo: str | os.PathLike | None = None) -> Model:
    """Load one model of the zoo in its frozen form, after checking its weights' hash.

    Raises:
        SaqEvalError: an unknown name, a malformed card, or a weights file that is unreadable, does
            not fit or has another hash than its card says.
    """
    ((card, folder),) = find_models(dataset, [name], zoo)
    return open_model(card, folder)


def open_model(card: Card, folder: Path) -> Model:
    """Load the model of a card that `find_models` returned; raises as `load_model` does."""
    path = folder / WEIGHTS
    tensors = _read_weights(path, card.weights_sha256)
    try:
        network = freeze(quantize(build_network(card.architecture, seed=0), card.scheme))
        unpack(network, tensors)
    except SaqEvalError as error:
        raise SaqEvalError(f"{path}: {error}") from error
    network = network.to(memory_format=torch.channels_last)
    if not card.preprocessing.is_identity:
        network = nn.Sequential(Normalize(card.preprocessing), network).eval()
    return Model(card, network, sum(tensor.nbytes for tensor in tensors.values()))


def build_network(architecture: ArchitectureCard, seed: int) -> nn.Module:
    """Build an architecture with weights drawn from `seed`, leaving torch's global generator as it was.

    Raises:
        SaqEvalError: an unknown architecture, or arguments that it does not take.
    """
    build = ARCHITECTURES[architecture.name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            return build(**architecture.arguments)
        except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
            raise SaqEvalError(
                f"architecture {architecture.name!r} cannot be built with the arguments {architecture.arguments}: {error}"
            ) from error


def _read_weights(path: Path, sha256: str) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SaqEvalError(f"{path}: the weights cannot be read: {error.strerror}") from error
    actual = _sha256(content)
    if actual != sha256:
        raise SaqEvalError(f"{path}: the weights were changed: SHA-256 is {actual}, the card says {sha256}")
    try:
        return load_tensors(content)
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise SaqEvalError(f"{path}: no valid safetensors file: {error}") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def verify_model(card: Card, folder: Path, test_set: Dataset) -> float:
    """Recompute the hashes of a model's files and its test accuracy.

    Returns:
        The accuracy, 0 to 1.

    Raises:
        SaqEvalError: if a hash differs, or the accuracy by more than 0.05 points (rounding of another processor).
    """
    if card.training_form_sha256 is not None:
        _read_weights(folder / TRAINING_FORM, card.training_form_sha256)
    model = open_model(card, folder)
    check_reads(model, test_set)
    measured = accuracy(model.network, test_set)
    if abs(measured - card.test_accuracy) > 5e-4:
        raise SaqEvalError(
            f"{folder / CARD}: test_accuracy: is {card.test_accuracy:.4f}, but the model reaches {measured:.4f}"
        )
    return measured


def check_reads(model: Model, dataset: Dataset) -> None:
    """Raise `SaqEvalError` unless a model reads a dataset's images and has an output for each of its classes."""
    shape = tuple(dataset.images.shape[1:])
    try:
        outputs = model.network(dataset.images[:1]).shape
    except RuntimeError as error:
        raise SaqEvalError(f"{model.card.name} cannot read images of shape {shape}: {error}") from error
    if len(outputs) != 2 or outputs[1] < len(dataset.class_names):
        raise SaqEvalError(
            f"{model.card.name} has outputs of shape {tuple(outputs)} for an image; {dataset.name} has "
            f"{len(dataset.class_names)} classes"
        )


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
    overwrite: bool = False,
    progress: bool = True,
) -> Card:
    """Train one network and write it to a zoo.

    A quantized network starts from its full-precision parent with the same architecture, training
    and seed, which must be in the zoo already.

    Args:
        saliency_guided: true for the default settings of saliency-guided training.
        parent: the parent's name; by default `<architecture>-fp32[-sgt][-s<seed>]`.
        name: by default `<architecture>-<scheme>[-sgt][-s<seed>]`.
        recipe: by default the dataset's in `training/recipes.yaml`; its `saliency_guided` is replaced.
        zoo: the folder to write to, created where missing; by default `SAQ_EVAL_ZOO`, else the
            built-in zoo of a source checkout.
        overwrite: replace a model of that name.

    Raises:
        SaqEvalError: an unknown name, a missing parent, a name that is taken, a folder that cannot be written.
    """
    scheme = load_scheme(scheme)
    if saliency_guided is True:
        saliency_guided = SaliencyGuided()
    suffix = ("-sgt" if saliency_guided else "") + (f"-s{seed}" if seed else "")
    name = name or f"{architecture}-{scheme.name}{suffix}"
    check_name("model", name)
    if scheme.is_full_precision and parent:
        raise SaqEvalError(f"a full-precision network has no parent, but {parent!r} was given")
    check_seed(seed)
    DATASETS[dataset], ARCHITECTURES[architecture]
    target = _writable_zoo(zoo)
    for folder in {target, *zoo_folders(zoo)}:
        if (folder / dataset / name).exists() and not (overwrite and folder == target):
            raise SaqEvalError(f"{folder / dataset / name} exists already; choose another name, or overwrite it there")
    recipe = recipe or default_recipe(dataset, quantized=not scheme.is_full_precision)
    recipe = replace(recipe, saliency_guided=saliency_guided or None)
    torch_device = pick_device(device)

    built = ArchitectureCard(architecture, arguments or {})
    network = build_network(built, seed)
    if not scheme.is_full_precision:
        parent = parent or f"{architecture}-fp32{suffix}"
        load_training_form(network, dataset, parent, zoo)
    network = quantize(network, scheme)
    train_set, test_set = (load_dataset(dataset, split, data_root) for split in ("train", "test"))
    steps = steps_per_epoch(train_set, recipe) * recipe.epochs
    bar = tqdm(total=steps, desc=f"{dataset}/{name}", unit="step", disable=None if progress else True)
    with torch.random.fork_rng(), deterministic(), bar:
        torch.manual_seed(seed)
        history = fit(network, train_set, recipe, seed, torch_device, bar.update)

    network = network.cpu()
    frozen = freeze(network)
    files = {WEIGHTS: save_tensors(pack(frozen))}
    if scheme.is_full_precision:
        files[TRAINING_FORM] = save_tensors({n: t.contiguous() for n, t in network.state_dict().items()})
    card = Card(
        name=name,
        dataset=dataset,
        architecture=built,
        scheme=scheme,
        seed=seed,
        parent=parent,
        recipe=recipe,
        test_accuracy=accuracy(frozen, test_set),
        weights_sha256=_sha256(files[WEIGHTS]),
        training_form_sha256=_sha256(files[TRAINING_FORM]) if TRAINING_FORM in files else None,
        history=tuple(history),
        versions={package: importlib.metadata.version(package) for package in ("saq_eval", "torch")},
    )
    write_model(target, card, files)
    return card


def load_training_form(network: nn.Module, dataset: str, name: str, zoo: str | os.PathLike | None = None) -> None:
    """Load a full-precision zoo model's weights, batch norm unfolded, into a network of its architecture (in place).

    Raises:
        SaqEvalError: an unknown name, a model that kept no training form, or one of another architecture.
    """
    ((card, folder),) = find_models(dataset, [name], zoo)
    path = folder / TRAINING_FORM
    if card.training_form_sha256 is None:
        raise SaqEvalError(f"{folder} keeps no {TRAINING_FORM}, so no quantized network can start from it")
    tensors = _read_weights(path, card.training_form_sha256)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise SaqEvalError(f"{path} does not fit the architecture: {' '.join(str(error).split())}") from error


def write_model(zoo: Path, card: Card, files: Mapping[str, bytes]) -> None:
    """Write a model's folder, its card and the files of weights, whole or not at all; one of that name is replaced."""
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


def pick_device(device: str) -> torch.device:
    """Return the torch device for "cpu", "cuda" or "auto" (a GPU where there is one); raises `SaqEvalError`."""
    if device not in ("cpu", "cuda", "auto"):
        raise unknown_name("device", device, ("cpu", "cuda", "auto"))
    if device == "cuda" and not torch.cuda.is_available():
        raise SaqEvalError("device 'cuda' was asked for, but torch finds no CUDA device; 'cpu' and 'auto' work")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def _writable_zoo(zoo: str | os.PathLike | None) -> Path:
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
