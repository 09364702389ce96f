import gzip
import urllib.request
from urllib.error import URLError

import pytest
import torch

from saq_eval import SaqEvalError, load_dataset


@pytest.mark.parametrize("name", ["mnist", "fashionmnist"])
def test_data_root(name, data_root, monkeypatch):
    test = load_dataset(name, "test", data_root)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert torch.bincount(test.labels).min() > 800
    monkeypatch.setenv("SAQ_EVAL_DATA_ROOT", data_root)
    assert torch.equal(load_dataset(name, "test").labels, test.labels)
    assert len(load_dataset(name, "train")) == 60_000


def test_fashionmnist_has_class_names(data_root):
    item = load_dataset("fashionmnist", "test", data_root)[0]
    assert (item.label, item.class_name) == (9, "Ankle boot")


def test_without_files_and_network_the_message_helps(tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(SaqEvalError) as error:
        load_dataset("fashionmnist", "test", tmp_path)
    message = str(error.value)
    assert "t10k-images-idx3-ubyte" in message
    assert str(tmp_path / "FashionMNIST" / "raw") in message
    assert not (tmp_path / "FashionMNIST").exists()
    assert "--data-root" in message and "SAQ_EVAL_DATA_ROOT" in message and "--dataset digits" in message


def test_damaged_files_are_named(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{stem}-ubyte").write_bytes(gzip.compress(b"not an IDX file"))
    with pytest.raises(SaqEvalError, match=r"mnist: could not read .* looked for .* in "):
        load_dataset("mnist", "test", tmp_path)
