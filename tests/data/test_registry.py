import pkgutil

import pytest
import torch

from saq_eval import SaqEvalError, load_dataset, register_dataset
from saq_eval.data import DATASETS, builtin
from tests.data.made import made


def test_unknown_dataset_names_the_nearest():
    with pytest.raises(SaqEvalError, match="unknown dataset 'fashion-mnist'; did you mean 'fashionmnist'"):
        load_dataset("fashion-mnist")


def test_unknown_split():
    with pytest.raises(SaqEvalError, match="'train' or 'test', not 'validation'"):
        load_dataset("digits", "validation")


def missing_files(split, data_root):
    return open(data_root / "nothing.npz")


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (missing_files, "'mine' cannot be loaded from .*: FileNotFoundError: .*nothing.npz"),
        (lambda split, data_root: {}["images"], "'mine' cannot be loaded from .*: KeyError: 'images'"),
        (
            lambda split, data_root: [1, 2],
            "the loader of the dataset 'mine' returns a saq_eval.Dataset or other Images, not ",
        ),
        (lambda split, data_root: made(split="train"), "was asked for its test set and returned 'mine', train"),
        (lambda split, data_root: made(name="other"), "was asked for its test set and returned 'other', test"),
        (lambda split, data_root: made(labels=torch.tensor([1, 2, 2])), "mine test set: labels lie between 0 and 1"),
    ],
)
def test_loaders_that_fail_are_told_in_a_sentence(load, message, monkeypatch, tmp_path):
    monkeypatch.setitem(DATASETS._entries, "mine", load)
    with pytest.raises(SaqEvalError, match=message):
        load_dataset("mine", "test", tmp_path)


def test_every_file_of_built_in_datasets_is_found():
    files = {f"{builtin.__name__}.{module.name}" for module in pkgutil.iter_modules(builtin.__path__)}
    assert {load.__module__ for load in DATASETS.values()} == files

    assert list(DATASETS) == [
        *("cifar10", "cifar100", "digits", "imagenet", "mnist", "fashionmnist", "planted", "stl10", "svhn"),
    ]


def test_a_dataset_is_one_decorated_function(monkeypatch, tmp_path):
    monkeypatch.setattr(DATASETS, "_entries", dict(DATASETS._entries))
    asked = []

    @register_dataset("mine")
    def load(split, data_root):
        asked.append((split, data_root))
        return made(split=split)

    assert load_dataset("mine", "train", tmp_path).split == "train"
    monkeypatch.setenv("SAQ_EVAL_DATA_ROOT", "~/data")
    monkeypatch.setenv("HOME", str(tmp_path))
    load_dataset("mine")
    assert asked == [("train", tmp_path), ("test", tmp_path / "data")]
    with pytest.raises(SaqEvalError, match="the dataset 'mine' is registered already"):
        register_dataset("mine")(load)
