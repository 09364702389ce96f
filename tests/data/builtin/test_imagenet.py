"""ImageNet's folders, with pictures that are made here."""

import pytest
import torch

from saq_eval import SaqEvalError, load_dataset
from saq_eval.data import open_images
from saq_eval.data.geometry import Geometry
from tests.data.writing import noise, write


@pytest.fixture
def root(tmp_path):
    for place, wnid in enumerate(("n01440764", "n02007558")):
        write(tmp_path / "imagenet" / "val" / wnid / "a.JPEG", noise(40, 30 + place, seed=place))
    return tmp_path


def test_classes_are_folders_or_have_the_names_of_torchvisions_meta_file(root):
    images = load_dataset("imagenet", "test", root)
    assert images.class_names == ("n01440764", "n02007558") and images.labels.tolist() == [0, 1]
    words = {"n01440764": ("tench", "Tinca tinca"), "n01443537": ("goldfish",), "n02007558": ("flamingo",)}
    torch.save((words, ["n01440764"]), root / "imagenet" / "meta.bin")
    images = open_images("imagenet", "test", root, geometry=Geometry(32, 28))
    assert images.class_names == ("tench", "goldfish", "flamingo") and images.labels.tolist() == [0, 2]
    assert images.read([0, 1]).shape == (2, 3, 28, 28)
    write(root / "imagenet" / "val" / "n99999999" / "a.JPEG", noise(4, 4))
    with pytest.raises(SaqEvalError, match="the folder n99999999 is no class of .*meta.bin"):
        load_dataset("imagenet", "test", root)
    (root / "imagenet" / "meta.bin").write_bytes(b"none")
    with pytest.raises(SaqEvalError, match="meta.bin: cannot be read as ImageNet's names"):
        load_dataset("imagenet", "test", root)


def test_where_the_files_must_lie_is_said(tmp_path):
    with pytest.raises(SaqEvalError, match="no folder .*imagenet/val, and ImageNet cannot be downloaded .*n01440764"):
        load_dataset("imagenet", "test", tmp_path)
