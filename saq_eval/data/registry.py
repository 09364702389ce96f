"""Datasets by name. A dataset is one registered function: `load(split, data_root) -> Images`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.paths import user_path
from saq_eval.core.registry import Registry
from saq_eval.data.images import Images, Split

DATASETS: Registry[Callable[[Split, Path], Images]] = Registry("dataset")


def register_dataset(name: str) -> Callable[[Callable], Callable]:
    """Register the decorated function `(split, data_root) -> Images`, such as a `Dataset`, under `name`."""
    return lambda load: DATASETS.add(name, load)


def load_dataset(name: str, split: Split = "test", data_root: str | os.PathLike | None = None) -> Images:
    """Load one split of a dataset.

    Args:
        name: a registered name (`saq-eval datasets` lists them).
        split: "train" or "test".
        data_root: folder of the dataset files, laid out as by torchvision
            (`<root>/FashionMNIST/raw/...`); by default the environment variable `SAQ_EVAL_DATA_ROOT`, else
            the user's cache folder. Missing files are downloaded into it.

    Raises:
        SaqEvalError: an unknown name or split, missing files that cannot be downloaded, or a loader that fails or does
            not return the requested dataset.
    """
    load = DATASETS[name]
    if split not in ("train", "test"):
        raise SaqEvalError(f"a dataset's split is 'train' or 'test', not {split!r}")
    root = _data_root(data_root)
    try:
        dataset = load(split, root)
    except SaqEvalError:
        raise
    except Exception as error:  # a user's loader may raise anything
        raise SaqEvalError(
            f"the dataset {name!r} cannot be loaded from {root}: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(dataset, Images):
        raise SaqEvalError(
            f"the loader of the dataset {name!r} returns a saq_eval.Dataset or other Images, not {in_short(dataset)}"
        )
    if (dataset.name, dataset.split) != (name, split):
        raise SaqEvalError(
            f"the loader of the dataset {name!r} was asked for its {split} set and returned {dataset.name!r}, {dataset.split}"
        )
    return dataset


def _data_root(given: str | os.PathLike | None) -> Path:
    return user_path(given or os.environ.get("SAQ_EVAL_DATA_ROOT") or user_cache_path("saq_eval") / "datasets")
