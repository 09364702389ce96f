"""Boxes around objects: read from COCO's JSON and from Pascal VOC's XML."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.paths import check_file
from saq_eval.core.records import parse
from saq_eval.data.folder import list_files
from saq_eval.data.geometry import Box

_MOST_BYTES = 2 * 2**30  # of COCO JSON
_MOST_XML_BYTES = 16 * 2**20  # of the XML of one picture


@dataclass(frozen=True)
class Marked:
    """The boxes of one picture.

    Attributes:
        boxes: (left, top, right, bottom) in pixels of the upright picture, where pixel 0 reaches from 0 to 1.
        categories: what each box holds; `None` if that is not said.
        size: height and width of the picture that the boxes are for; `None` if that is not said.
    """

    boxes: tuple[Box, ...]
    categories: tuple[str | None, ...]
    size: tuple[int, int] | None = None


@dataclass
class _CocoImage:
    id: int | str
    file_name: str
    width: int | None = None
    height: int | None = None


@dataclass
class _CocoAnnotation:
    image_id: int | str
    bbox: tuple[float, float, float, float]
    category_id: int | str | None = None


@dataclass
class _CocoCategory:
    id: int | str
    name: str


@dataclass
class _Coco:
    images: list[_CocoImage]
    annotations: list[_CocoAnnotation]
    categories: list[_CocoCategory] | None = None


def read_coco(path: Path) -> dict[str, Marked]:
    """Return the boxes of a COCO JSON file, of the pictures that have some, by `file_name`.

    Raises:
        SaqEvalError: a file that cannot be read, is no COCO JSON, or has a box that is none.
    """
    check_file(path, "cannot be read as COCO JSON", _MOST_BYTES)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SaqEvalError(f"{path}: cannot be read as COCO JSON: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise SaqEvalError(f"{path}: COCO JSON holds images, annotations and categories, not {in_short(data)}")
    coco = parse(_Coco, data, path)
    names: dict[int | str | None, str] = {category.id: category.name for category in coco.categories or ()}
    boxes: dict[int | str, list[tuple[Box, str | None]]] = defaultdict(list)
    for annotation in coco.annotations:
        left, top, width, height = annotation.bbox
        box = _box(str(path), (left, top, left + width, top + height))
        boxes[annotation.image_id].append((box, names.get(annotation.category_id)))
    return {
        image.file_name: _marked(boxes[image.id], (image.height, image.width))
        for image in coco.images
        if boxes[image.id]
    }


def read_voc(root: Path) -> dict[str, Marked]:
    """Return the boxes of Pascal VOC's XML files in a folder and all folders below, by the files' relative names.

    VOC counts pixels from 1 and includes the last; the boxes that are returned do not.

    Raises:
        SaqEvalError: a file that cannot be read, is no such XML, or has a box that is none.
    """
    marked = {}
    for name in list_files(root, "", {".xml"})[0]:
        try:
            found, size = _voc_file(root / name)
        except SaqEvalError:
            raise
        except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:  # the last: an unknown encoding
            raise SaqEvalError(f"{root / name}: cannot be read as Pascal VOC XML: {error}") from error
        if found:
            marked[name] = _marked(found, size)
    return marked


def _voc_file(path: Path) -> tuple[list[tuple[Box, str | None]], tuple[float | None, float | None]]:
    check_file(path, "cannot be read as Pascal VOC XML", _MOST_XML_BYTES)
    # Expat reads no other file, and ends where entities grow too much.
    tree = ElementTree.parse(path).getroot()
    size = tree.find("size")
    found = []
    for thing in tree.iter("object"):
        left, top, right, bottom = (_number(thing, f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax"))
        found.append((_box(str(path), (left - 1, top - 1, right, bottom)), thing.findtext("name")))
    return found, (None, None) if size is None else (_number(size, "height"), _number(size, "width"))


def _number(element: ElementTree.Element, where: str) -> float:
    text = element.findtext(where)
    if text is None:
        raise ValueError(f"<{element.tag}> has no <{where}>")
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the <{where}> of an <{element.tag}> is {in_short(text)}")
    return number


def _box(source: str, box: Box) -> Box:
    if not all(map(math.isfinite, box)) or box[0] > box[2] or box[1] > box[3]:
        raise SaqEvalError(f"{source}: a box has a left and a top before its right and bottom, in pixels, not {box}")
    return box


def _marked(found: Sequence[tuple[Box, str | None]], size: tuple[float | None, float | None]) -> Marked:
    height, width = size
    known = None if not height or not width else (int(height), int(width))  # VOC files of some tools say 0
    return Marked(tuple(box for box, _ in found), tuple(category for _, category in found), known)
