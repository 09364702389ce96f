"""Evidence that somebody marked: mask pictures, or boxes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from torch import Tensor

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.paths import is_folder, user_path
from saq_eval.data.boxes import Marked, read_coco, read_voc
from saq_eval.data.classes import folded
from saq_eval.data.folder import FolderSource, files_digest, list_files
from saq_eval.data.geometry import Geometry, filled
from saq_eval.data.images import Dataset, Images, digest_of
from saq_eval.data.lazy import Evidence, LazyImages, Shape, lazily
from saq_eval.data.pictures import read_mask


class MaskFiles(Evidence):
    """One mask picture for each place that has one: `names` are relative to `root`."""

    def __init__(self, root: Path, names: Mapping[int, str], pictures: Mapping[int, str]) -> None:
        self.root, self.names, self.pictures = root, dict(names), dict(pictures)

    def read(self, place: int, shape: Shape, geometry: Geometry | None) -> Tensor | None:
        if place not in self.names:
            return None
        mask = read_mask(self.root / self.names[place])
        if mask.shape[1:] != shape[1:]:
            raise SaqEvalError(
                f"the mask {self.root / self.names[place]} has {mask.shape[2]}x{mask.shape[1]} pixels and its picture "
                f"{self.pictures[place]} {shape[2]}x{shape[1]}: a mask has its picture's size"
            )
        return mask if geometry is None else geometry.of_masks(mask.unsqueeze(0))[0]

    def digest(self, places: Sequence[int]) -> str:
        files = [self.names[place] for place in places if place in self.names]
        return digest_of(files_digest(self.root, files), repr([place in self.names for place in places]))


class BoxEvidence(Evidence):
    """The union of boxes, for each place that has some."""

    def __init__(self, marked: Mapping[int, Marked], pictures: Mapping[int, str], source: str) -> None:
        self.marked, self.pictures, self.source = dict(marked), dict(pictures), source

    def read(self, place: int, shape: Shape, geometry: Geometry | None) -> Tensor | None:
        marked = self.marked.get(place)
        if marked is None:
            return None
        height, width = shape[1:]
        if marked.size not in (None, (height, width)):
            raise SaqEvalError(
                f"{self.source}: the boxes of {self.pictures[place]} are for {marked.size[1]}x{marked.size[0]} pixels, "
                f"and the picture has {width}x{height}"
            )
        if geometry is None:
            return filled(marked.boxes, height, width)
        return filled(geometry.of_boxes(marked.boxes, height, width), geometry.side, geometry.side)

    def digest(self, places: Sequence[int]) -> str:
        return digest_of(repr([self.marked.get(place) for place in places]))


def with_masks(images: Images, masks: str | os.PathLike | None) -> Images:
    """Return images with other masks.

    Args:
        masks: "none"; "otsu", the object in the image (see `foreground_mask`); a folder with one PNG for each picture,
            under its relative name (`cat/0001.png` for `cat/0001.jpg`), in which any pixel but 0 is evidence; `None`
            leaves the images as they are. A picture without a file has no mask.

    Raises:
        SaqEvalError: no such folder, or a folder with no mask for any picture.
    """
    if masks is None:
        return images
    word = os.fspath(masks)  # the command line makes a path of every text
    if word in ("none", "otsu"):
        return _without_evidence(images, foreground=word == "otsu")
    root = user_path(masks)
    if not is_folder(root):
        raise SaqEvalError(
            f"{root}: masks are 'none', 'otsu' or a folder with a PNG for each picture; this is no folder"
        )
    lazy = lazily(images)
    root = _of_split(root, lazy)
    files = {_stem(name): name for name in list_files(root, "", {".png"})[0]}
    pictures = _names(lazy)
    found = {place: files[_stem(name)] for place, name in pictures.items() if _stem(name) in files}
    if not found:
        example = _stem(next(iter(pictures.values()))) + ".png"
        raise SaqEvalError(f"{root}: none of its {len(files)} PNG files has a picture's name, such as {example}")
    return replace(lazy, evidence=MaskFiles(root, found, pictures), evidence_by="given")


def with_boxes(images: Images, boxes: str | os.PathLike) -> Images:
    """Return images whose masks are boxes; several boxes of one picture are united.

    If every class of the images is a category of the boxes (case and separators are ignored), only the boxes of an
    image's own class count; else all of its boxes do. A picture without such a box has no mask. A pixel is evidence if
    its centre lies in a box.

    Args:
        boxes: a COCO JSON file, whose `file_name` is a picture's relative name or the name of one file only; or a folder
            with Pascal VOC XML files, one for each picture, under its relative name or the name of one file only.

    Raises:
        SaqEvalError: a file that cannot be read, or no box for any picture.
    """
    path = user_path(boxes)
    lazy = lazily(images)
    marked = read_voc(_of_split(path, lazy)) if is_folder(path) else read_coco(path)
    pictures = _names(lazy)
    found = {place: marked[key] for place, key in _matched(pictures, marked).items()}
    own = {
        place: lazy.class_names[label] for place, label in zip(lazy.places.tolist(), lazy.labels.tolist(), strict=True)
    }
    categories = {folded(c) for m in marked.values() for c in m.categories if c is not None}
    if {folded(name) for name in own.values()} <= categories:
        found = {place: _of_class(m, own[place]) for place, m in found.items()}
    found = {place: m for place, m in found.items() if m.boxes}
    if not found:
        raise SaqEvalError(
            f"{path}: none of its {len(marked)} pictures with boxes is one of {images.name}'s, such as "
            f"{next(iter(pictures.values()))}, or none has a box of the picture's class"
        )
    return replace(lazy, evidence=BoxEvidence(found, pictures, str(path)), evidence_by="given")


def _without_evidence(images: Images, *, foreground: bool) -> Images:
    if isinstance(images, Dataset):
        return replace(images, evidence=None, foreground=foreground)
    return replace(lazily(images), evidence=None, foreground=foreground)


def _of_split(root: Path, images: LazyImages) -> Path:
    """Return the folder in `root` that is called like the pictures' split folder, if it is there, else `root`."""
    if isinstance(images.source, FolderSource):
        name = images.source.root.name
        if name in ("train", "test", "val") and name not in images.class_names and (root / name).is_dir():
            return root / name
    return root


def _names(images: LazyImages) -> dict[int, str]:
    """Return what each place's picture is called."""
    return dict(zip(images.places.tolist(), images.names_of(range(len(images))), strict=True))


def _stem(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    return str(path.with_suffix("") if path.name else path)  # a file of boxes may name a picture "."


def _of_class(marked: Marked, wanted: str) -> Marked:
    kept = [place for place, c in enumerate(marked.categories) if c is not None and folded(c) == folded(wanted)]
    return replace(
        marked,
        boxes=tuple(marked.boxes[place] for place in kept),
        categories=tuple(marked.categories[place] for place in kept),
    )


def _matched(pictures: Mapping[int, str], marked: Iterable[str]) -> dict[int, str]:
    """Return the key of the boxes of each place: of the same name without its suffix, or of the same file name.

    A file name counts only if one picture and one key have it.
    """
    by_stem = {_stem(key): key for key in marked}
    keys, places = defaultdict(list), defaultdict(list)
    for stem, key in by_stem.items():
        keys[PurePosixPath(stem).name].append(key)
    for place, name in pictures.items():
        places[PurePosixPath(_stem(name)).name].append(place)
    found = {}
    for place, name in pictures.items():
        stem = _stem(name)
        last = PurePosixPath(stem).name
        if stem in by_stem:
            found[place] = by_stem[stem]
        elif len(keys[last]) == len(places[last]) == 1:
            found[place] = keys[last][0]
    return found
