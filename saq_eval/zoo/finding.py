"""Finding models: the zoo folders, and the cards in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.paths import is_folder, user_path
from saq_eval.core.plugins import load_plugins
from saq_eval.data import DATASETS, dataset_name
from saq_eval.zoo.cards import CARD, Card, read_card
from saq_eval.zoo.outside import in_brackets, unknown_model

_REGISTERED_ZOOS: list[Path] = []


def register_zoo(folder: str | os.PathLike) -> None:
    """Add a zoo folder, for example that of an installed package, to the folders that are searched."""
    _REGISTERED_ZOOS.append(Path(folder))


def zoo_folders(zoo: str | os.PathLike | None = None) -> list[Path]:
    """Return the folders that are searched: the built-in zoo, registered ones, and `zoo` (else `SAQ_EVAL_ZOO`) if given.

    Raises:
        SaqEvalError: if a folder does not exist.
    """
    load_plugins()
    given = zoo or os.environ.get("SAQ_EVAL_ZOO")
    folders = [builtin_zoo()]
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


def builtin_zoo() -> Path:
    """Return the folder of the zoo that comes with the package."""
    package = Path(__file__).parent.parent
    installed = package / "model_zoo"  # a wheel carries the zoo inside the package
    return installed if installed.is_dir() else package.parent / "model_zoo"


def find_models(
    dataset: str | None = None, patterns: Sequence[str] = ("*",), zoo: str | os.PathLike | None = None
) -> list[tuple[Card, Path]]:
    """Return the cards and folders of the zoo's models.

    They are sorted by dataset, architecture, training, seed and descending bit width.

    Args:
        dataset: only models of this dataset, a name or "folder:PATH"; `None` for all datasets.
        patterns: names or shell patterns; a model is listed if one of them matches.
        zoo: a folder that is searched in addition to the built-in zoo; see `zoo_folders`.

    Raises:
        SaqEvalError: a malformed card, an unknown dataset, a pattern that matches nothing, an empty zoo, or one
            name in two zoos.
    """
    folders = zoo_folders(zoo)
    given, dataset = dataset, None if dataset is None else dataset_name(dataset)
    if dataset is not None and dataset == given and not any(_is_in(folder, dataset) for folder in folders):
        DATASETS[dataset]  # raises for a name that is neither a data set's nor a folder's in a zoo
    found: dict[tuple[str, str], tuple[Card, Path]] = {}
    for root in folders:
        for path in sorted(root.glob(f"{'*' if dataset is None else escape(dataset)}/*/{CARD}")):
            card = read_card(path)
            key = (card.dataset, card.name)
            if key in found:
                raise SaqEvalError(f"{card.dataset}/{card.name} is in two zoos: {found[key][1]} and {path.parent}")
            found[key] = (card, path.parent)
    if not found:
        looked = ", ".join(str(folder) for folder in folders)
        said = in_brackets(*patterns)
        raise SaqEvalError(f"the zoo holds no {dataset + ' ' if dataset else ''}model{said}; looked in {looked}")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for _, name in found):
            raise unknown_model(f"{dataset} model" if dataset else "model", pattern, [name for _, name in found])
    chosen = [entry for (_, name), entry in found.items() if any(fnmatchcase(name, p) for p in patterns)]
    return sorted(chosen, key=lambda entry: _order(entry[0]))


def _is_in(folder: Path, dataset: str) -> bool:
    """Tell whether a zoo folder has models of a dataset; a path such as "../digits" is no dataset's name."""
    return dataset != "" and dataset == Path(dataset).name and is_folder(folder / dataset)


def _order(card: Card) -> tuple:
    bits = card.scheme.later or card.scheme.default
    width = (
        card.scheme.default.weight_bits + bits.weight_bits,
        card.scheme.default.activation_bits + bits.activation_bits,
    )
    about = card.dataset, card.architecture.name, card.training != "standard", card.seed
    return *about, *(-w for w in width), card.scheme.fine_tuned, card.name


def find_model(dataset: str, name: str, zoo: str | os.PathLike | None = None) -> tuple[Card, Path]:
    """Return one model's card and folder; raises as `find_models` does, and if `name` is a pattern."""
    for card, folder in find_models(dataset, [name], zoo):
        if card.name == name:
            return card, folder
    every = [card.name for card, _ in find_models(dataset, ["*"], zoo)]
    raise unknown_model(f"{dataset_name(dataset)} model", name, every)
