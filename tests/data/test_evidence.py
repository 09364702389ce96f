"""Masks and boxes: matched with their pictures, and moved with them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from saq_eval import SaqEvalError, load_dataset
from saq_eval.data.evidence import with_boxes, with_masks
from saq_eval.data.folder import open_folder
from saq_eval.data.geometry import Geometry
from saq_eval.data.lazy import check_readable, with_geometry
from saq_eval.data.masks import NOT_ASKED_FOR
from tests.data.made import made
from tests.data.writing import pets, write


@pytest.fixture
def images(tmp_path):
    """Three cats and three dogs of 8 × 6 pixels."""
    return open_folder(pets(tmp_path / "pets"), "test")


def marked(height=6, width=8):
    mask = np.zeros((height, width), dtype=np.uint8)
    mask[1:4, 2:7] = 3
    return mask


@pytest.mark.parametrize("word", ["none", "otsu"])
def test_the_words_are_words_as_paths_too(images, word):
    """The command line makes a path of what `--masks` says."""
    assert (
        with_masks(images, Path(word)).in_memory().mask_record() == with_masks(images, word).in_memory().mask_record()
    )


def test_a_mask_has_its_pictures_name(images, tmp_path):
    write(tmp_path / "masks" / "cat" / "0001.png", marked())
    write(tmp_path / "masks" / "dog" / "0000.png", 255 - marked())
    given = with_masks(images, tmp_path / "masks")
    expected = torch.from_numpy(marked() > 0)
    assert torch.equal(given.read_evidence([1])[0, 0], expected)
    assert given.read_evidence([3]).all() and not given.read_evidence([0, 2, 4, 5]).any()
    record = given.in_memory().mask_record()
    assert (record["kind"], record["images"], record["without"]) == ("given", 2, 4) and "not given" in record["reason"]
    square = with_geometry(given, Geometry(6)).read_evidence([1])
    assert torch.equal(square[0, 0], expected[:, 1:7])
    assert torch.equal(with_masks(with_geometry(images, Geometry(6)), tmp_path / "masks").read_evidence([1]), square)
    before = given.fingerprint
    write(tmp_path / "masks" / "cat" / "0001.png", marked() * 0)
    assert given.fingerprint != before != images.fingerprint


def test_masks_may_be_in_folders_of_the_splits(tmp_path):
    images = open_folder(pets(tmp_path / "pets" / "val").parent, "test")
    write(tmp_path / "masks" / "val" / "cat" / "0000.png", marked())
    assert with_masks(images, tmp_path / "masks").read_evidence([0]).any()


def test_a_mask_of_another_size_is_named(images, tmp_path):
    path = write(tmp_path / "masks" / "cat" / "0001.png", marked(5))
    given = with_masks(images, str(tmp_path / "masks"))
    check_readable(given, [0, 2])
    for fails in (lambda: check_readable(given), lambda: given.read_evidence([1])):
        with pytest.raises(SaqEvalError, match=f"the mask {path} has 8x5 pixels and its picture cat/0001.png 8x6"):
            fails()


def test_masks_that_fit_no_picture_are_refused(images, tmp_path):
    write(tmp_path / "masks" / "0001.png", marked())
    with pytest.raises(SaqEvalError, match="none of its 1 PNG files has a picture's name, such as cat/0000.png"):
        with_masks(images, tmp_path / "masks")
    with pytest.raises(SaqEvalError, match="nothing: masks are 'none', 'otsu' or a folder"):
        with_masks(images, tmp_path / "nothing")


def test_masks_can_be_done_without(images):
    none = {"kind": "none", "images": 0, "without": 6, "reason": NOT_ASKED_FOR}
    assert with_masks(images, "none").in_memory().mask_record() == none
    planted = load_dataset("planted").subset(range(6))
    assert with_masks(planted, "none").mask_record() == none and not with_masks(planted, "none").masks().any()
    assert with_masks(planted, "otsu").mask_record()["kind"] == "Otsu"
    assert planted.mask_record()["kind"] == "known" and with_masks(planted, None) is planted


def test_the_foreground_of_colour_images_is_not_taken_unless_it_is_asked_for():
    drawn = torch.zeros(3, 3, 16, 16)
    drawn[:, :, 4:9, 3:12] = 0.7
    assert made(images=drawn).mask_record()["kind"] == "none"
    assert with_masks(made(images=drawn), "otsu").mask_record()["kind"] == "Otsu"


def coco(path, file_names, categories=("cat", "dog"), **about):
    """Write boxes: each picture has a cat's on the left and a dog's on the right."""
    boxes = {1: [0, 0, 2, 6], 2: [6, 0, 2, 6]}
    about = {
        "images": [{"id": n, "file_name": name, **about} for n, name in enumerate(file_names)],
        "annotations": [
            {"image_id": n, "category_id": c, "bbox": box} for n in range(len(file_names)) for c, box in boxes.items()
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(categories, start=1)],
    }
    path.write_text(json.dumps(about))
    return path


def columns(images, position):
    """Return the columns of an image that are evidence in all rows."""
    return images.read_evidence([position])[0, 0].all(dim=0).nonzero().flatten().tolist()


def test_only_boxes_of_an_images_own_class_count(images, tmp_path):
    given = with_boxes(images, coco(tmp_path / "boxes.json", ["cat/0001.jpg", "dog/0000.png"]))
    assert columns(given, 1) == [0, 1] and columns(given, 3) == [6, 7] and not given.read_evidence([0]).any()
    assert given.in_memory().mask_record()["images"] == 2
    check_readable(given)


def test_all_boxes_count_if_their_categories_are_not_the_classes(images, tmp_path):
    given = with_boxes(images, coco(tmp_path / "boxes.json", ["cat/0001.png"], ("animal", "dog")))
    assert columns(given, 1) == [0, 1, 6, 7]
    assert columns(with_geometry(given, Geometry(6)), 1) == [0, 5]


def test_a_file_name_is_enough_if_only_one_picture_has_it(tmp_path):
    root = pets(tmp_path / "pets", count=1)
    (root / "dog" / "0000.png").rename(root / "dog" / "rex.png")
    images = open_folder(root, "test")
    assert columns(with_boxes(images, coco(tmp_path / "boxes.json", ["photos/rex.jpg"])), 1) == [6, 7]
    pets(tmp_path / "pets", count=1)  # now both classes have a picture 0000
    with pytest.raises(
        SaqEvalError, match="boxes.json: none of its 1 pictures with boxes is one of pets's, such as cat"
    ):
        with_boxes(open_folder(root, "test"), coco(tmp_path / "boxes.json", ["0000.png"]))


def test_boxes_for_another_size_are_named(images, tmp_path):
    given = with_boxes(images, coco(tmp_path / "boxes.json", ["cat/0001.png"], width=80, height=60))
    with pytest.raises(SaqEvalError, match="the boxes of cat/0001.png are for 80x60 pixels, and the picture has 8x6"):
        check_readable(given)


def test_voc_boxes_have_their_pictures_names(images, tmp_path):
    box = "<bndbox><xmin>3</xmin><ymin>1</ymin><xmax>4</xmax><ymax>6</ymax></bndbox>"
    (tmp_path / "boxes" / "dog").mkdir(parents=True)
    path = tmp_path / "boxes" / "dog" / "0002.xml"
    path.write_text(f"<annotation><object><name>Dog</name>{box}</object></annotation>")
    given = with_boxes(images, tmp_path / "boxes")
    assert columns(given, 5) == [2, 3] and given.fingerprint != images.fingerprint


def test_evidence_in_memory_moves_with_the_images():
    evidence = torch.zeros(3, 1, 4, 5, dtype=torch.bool)
    evidence[:, :, 1:3, 1:4] = True
    moved = with_geometry(made(evidence=evidence, evidence_by="known"), Geometry(crop=2))
    assert moved.read_evidence([0, 2]).all() and moved.in_memory().mask_record()["kind"] == "known"
    assert replace(moved, evidence=None).read_evidence([0]) is None
