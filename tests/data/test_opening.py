"""Images open whatever they are given as."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import saq_eval
from saq_eval import SaqEvalError
from saq_eval.data import Geometry, open_images
from tests.data.made import made
from tests.data.writing import pets, write


@pytest.fixture
def root(tmp_path):
    return pets(tmp_path / "pets")


def test_every_form_opens(root, digits):
    pixels, labels = torch.rand(4, 1, 5, 6), torch.tensor([0, 1, 1, 0])
    assert torch.equal(open_images("digits").images, digits.images)
    assert open_images(made(split="train")).split == "train" and open_images(digits) is digits
    for given in (f"folder:{root}", root):
        assert open_images(given).names_of([0]) == ["cat/0000.png"]
    for given in ((pixels, labels), (pixels.numpy(), labels.tolist()), TensorDataset(pixels, labels)):
        images = open_images(given, "train")
        assert images.split == "train" and torch.equal(images.read([2]), pixels[2:3])
        assert images.labels.tolist() == labels.tolist()


def test_anything_that_is_indexed_and_gives_image_and_label_is_a_data_set():
    class Own:
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return np.full((3, 4), index * 50, np.uint8), index

    assert open_images(Own()).read([1]).unique().tolist() == pytest.approx([50 / 255])


def test_a_table_of_hugging_face_opens():
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    table = datasets.Dataset.from_dict({"image": [np.zeros((4, 4, 3), np.uint8)], "label": [1]}, features=features)
    assert open_images(table).class_names == ("cat", "dog")


def test_all_that_is_asked_for_is_done_to_the_images(root, tmp_path):
    write(tmp_path / "masks" / "cat" / "0000.png", np.full((6, 8), 255, np.uint8))
    (tmp_path / "classes.txt").write_text("fish\ndog\ncat\n")
    images = open_images(root, geometry=Geometry(8, 5), masks=tmp_path / "masks", classes=tmp_path / "classes.txt")
    assert images.image_shape == (3, 5, 5) and images.labels.tolist() == [2, 2, 2, 1, 1, 1]
    sample = images.sample(6, seed=0)
    assert sample.masks().flatten(1).all(1).tolist() == [True, *[False] * 5] and sample.mask_record()["images"] == 1
    assert open_images("digits", geometry=Geometry(32)).read([0, 1]).shape == (2, 1, 32, 32)
    names = [f"digit {number}" for number in range(10)]
    assert open_images("digits", classes=names, masks="none").class_names == tuple(names)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ("folder:", {}, "'folder:' is followed by a path"),
        ("folder:/nothing/there", {}, "/nothing/there: there is no such folder"),
        ("digit", {}, "unknown dataset 'digit'; did you mean 'digits'"),
        (42, {}, "images are given as a dataset's name, .* not as 42"),
        (torch.rand(3, 1, 4, 4), {}, "not as a Tensor"),
        ([1, 2], {}, "not as .1, 2."),
        ("digits", {"split": "all"}, "'train' or 'test', not 'all'"),
        ("digits", {"geometry": 224}, r"such as Geometry\(size=224\), not 224"),
        ("digits", {"masks": "none", "boxes": "a.json"}, "are both given: give one of the two"),
    ],
)
def test_what_cannot_be_opened_is_named(given, options, message):
    with pytest.raises(SaqEvalError, match=message):
        open_images(given, **options)


def test_a_path_without_its_prefix_is_told_how_to_write_it(root):
    with pytest.raises(SaqEvalError, match=f"unknown dataset .*; for the pictures in this folder write folder:{root}"):
        open_images(str(root))


def test_opening_folders_needs_neither_torchvision_nor_hugging_face(root):

    code = f"""
import subprocess
import sys
from pathlib import Path
from saq_eval.data import open_images
open_images("folder:{root}").sample(2, 0)
assert not {{"torchvision", "datasets"}} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(saq_eval.__file__).parents[1])
