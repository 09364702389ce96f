"""Boxes in COCO's and in Pascal VOC's form."""

import json

import pytest

from saq_eval import SaqEvalError
from saq_eval.data.boxes import Marked, read_coco, read_voc

COCO = {
    "images": [{"id": 1, "file_name": "cat/a.jpg", "width": 8, "height": 6}, {"id": 2, "file_name": "b.jpg"}],
    "annotations": [
        {"id": 7, "image_id": 1, "category_id": 0, "bbox": [1, 2, 3.5, 4], "area": 14},
        {"id": 8, "image_id": 1, "category_id": 5, "bbox": [0, 0, 1, 1]},
    ],
    "categories": [{"id": 0, "name": "cat"}],
}
VOC = """<annotation><size><width>{width}</width><height>6</height></size>
<object><name>cat</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>4</xmax><ymax>5</ymax></bndbox></object></annotation>"""


def test_coco_has_corner_and_extent(tmp_path):
    (tmp_path / "boxes.json").write_text(json.dumps(COCO))
    boxes = ((1, 2, 4.5, 6), (0, 0, 1, 1))
    assert read_coco(tmp_path / "boxes.json") == {"cat/a.jpg": Marked(boxes, ("cat", None), (6, 8))}


def test_voc_counts_from_one_and_includes_the_last(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.xml").write_text(VOC.format(width=8))
    (tmp_path / "b.xml").write_text(VOC.format(width=0))
    (tmp_path / "empty.xml").write_text("<annotation></annotation>")
    box = ((1, 2, 4, 5),)
    assert read_voc(tmp_path) == {"b.xml": Marked(box, ("cat",)), "cat/a.xml": Marked(box, ("cat",), (6, 8))}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as COCO JSON"),
        ("[]", "COCO JSON holds images, annotations and categories"),
        ('{"images": []}', "annotations: field required"),
        ('{"images": [], "annotations": [{"image_id": 1, "bbox": [1, 2, 3]}]}', "annotations.0.bbox"),
        ('{"images": [], "annotations": [{"image_id": 1, "bbox": [1, 2, -3, 4]}]}', "a left and a top before"),
        ('{"images": [], "annotations": [{"image_id": 1, "bbox": [1, 2, NaN, 4]}]}', "a left and a top before"),
    ],
)
def test_what_is_no_coco_file_is_named(tmp_path, content, message):
    (tmp_path / "boxes.json").write_text(content)
    with pytest.raises(SaqEvalError, match=rf"boxes.json: .*{message}"):
        read_coco(tmp_path / "boxes.json")


@pytest.mark.parametrize("content", ["<annotation>", VOC.format(width="wide"), VOC.replace("xmin", "left")])
def test_what_is_no_voc_file_is_named(tmp_path, content):
    (tmp_path / "a.xml").write_text(content)
    with pytest.raises(SaqEvalError, match="a.xml: cannot be read as Pascal VOC XML"):
        read_voc(tmp_path)
