"""Pictures in folders: one folder per class, perhaps below folders of the splits."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.paths import check_file, check_name, is_folder, user_path
from saq_eval.data.geometry import Geometry
from saq_eval.data.images import Split
from saq_eval.data.lazy import LazyImages, Shape, Source, in_threads
from saq_eval.data.pictures import MOST_BYTES, SUFFIXES, prove_readable, read_header, read_picture

_END = 4096  # bytes at each end of a file that tell it from others
_SMALL = 128 * 128  # pixels of a picture for which threads cost more than they save


class FolderSource(Source):
    """Picture files below a folder. What pickles is the folder and the files' names.

    Attributes:
        root: the folder that the names are relative to.
        names: the files, sorted, with "/" between folders.
        ignored: the number of hidden files and of files that are no pictures.
    """

    def __init__(self, root: Path, names: Sequence[str], ignored: int = 0) -> None:
        self.root, self.names, self.ignored = root, tuple(names), ignored

    @cached_property
    def threads(self) -> int:
        _, height, width = self.shape(0)
        return 1 if height * width <= _SMALL else min(8, os.cpu_count() or 1)

    def path(self, place: int) -> Path:
        """Return a picture's file."""
        return self.root / self.names[place]

    def name(self, place: int) -> str:
        return self.names[place]

    @cached_property
    def channels(self) -> int:
        """3 if any picture has colours, else 1. Headers are read until one has; files that have none are passed over."""
        return 3 if any(map(self._has_colours, range(len(self.names)))) else 1

    def _has_colours(self, place: int) -> bool:
        try:
            return read_header(self.path(place)).colour
        except SaqEvalError:  # it is named when it is read, or by `check_readable`
            return False

    def shape(self, place: int) -> Shape:
        header = read_header(self.path(place))
        return self.channels, header.height, header.width

    def read(self, places: Sequence[int], geometry: Geometry | None) -> Iterable[Tensor]:
        channels, source = self.channels, str(self.root)

        def read_one(place: int) -> Tensor:
            return read_picture(self.path(place), channels, geometry, source=source)

        return in_threads(self.threads, read_one, places)

    def check(self, place: int, geometry: Geometry | None) -> Shape:
        header = prove_readable(self.path(place))
        if geometry is None:
            return self.channels, header.height, header.width
        try:
            geometry.corner(header.height, header.width)
        except SaqEvalError as error:
            raise SaqEvalError(f"{self.path(place)}: {error}") from error
        return self.channels, geometry.side, geometry.side

    def digest(self, places: Sequence[int]) -> str:
        return files_digest(self.root, [self.names[place] for place in places]) + str(self.channels)


def open_folder(path: str | os.PathLike, split: Split, *, name: str | None = None) -> LazyImages:
    """Open pictures of JPEG, PNG, WebP or BMP in folders; only the folders are read, no picture.

    The split is `path/train` for "train" and `path/test`, else `path/val`, for "test". If there is none of the three,
    the classes are in `path` itself, and that is the test split. Each folder in it is a class, in alphabetical order;
    its pictures may be in folders below. Hidden files and files that are no pictures are left out.

    An image's index is derived from its file's name, relative to the split: it stays when other pictures come or go.

    Args:
        name: the dataset's name; by default the folder's.

    Raises:
        SaqEvalError: a path that is no folder, a split that is not there, a class without a picture, or no class.
    """
    root = user_path(path)
    if not is_folder(root):
        raise SaqEvalError(f"{root}: there is no such folder of pictures, with one folder per class in it")
    name = Path(os.path.abspath(root)).name if name is None else name
    try:
        check_name("dataset", name)
    except SaqEvalError as error:
        raise SaqEvalError(f"{root}: {error}: rename the folder, or make a link of another name to it") from error
    folder = _split_folder(root, split)
    classes = sorted(entry.name for entry in _entries(folder) if entry.is_dir() and not entry.name.startswith("."))
    names: list[str] = []
    labels: list[int] = []
    ignored = 0
    for label, class_name in enumerate(classes):
        found, others = list_files(folder, class_name, SUFFIXES)
        if not found:
            raise SaqEvalError(
                f"{folder / class_name}: the class has no picture ({', '.join(sorted(SUFFIXES))}; {others} other files): "
                "put pictures into it, or remove it"
            )
        names += found
        labels += [label] * len(found)
        ignored += others
    if not names:
        loose = sum(Path(entry.name).suffix.lower() in SUFFIXES for entry in _entries(folder))
        raise SaqEvalError(
            f"{folder}: there is no folder of a class with pictures in it, as in {folder / 'cat' / '0001.jpg'}"
            + (f"; {loose} pictures are in no class" if loose else "")
        )
    source = FolderSource(folder, names, ignored)
    return LazyImages(name, split, torch.tensor(labels), tuple(classes), identities(names), source)


def _split_folder(root: Path, split: Split) -> Path:
    if split not in ("train", "test"):
        raise SaqEvalError(f"a dataset's split is 'train' or 'test', not {in_short(split)}")
    there = [name for name in ("train", "test", "val") if (root / name).is_dir()]
    wanted = ("train",) if split == "train" else ("test", "val")
    found = next((name for name in wanted if name in there), None)
    if found:
        return root / found
    if split == "test" and not there:
        return root
    raise SaqEvalError(
        f"{root}: there is no {split} split: it would be in {' or '.join(str(root / name) for name in wanted)}"
    )


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise SaqEvalError(f"{folder}: the folder cannot be read: {error.strerror}") from error


def list_files(root: Path, below: str, suffixes: Iterable[str]) -> tuple[list[str], int]:
    """Return the files with one of the suffixes in a folder and all folders below, and the number of other files.

    Links are followed. A folder that several links lead to, as in a loop, is looked through once, under the name that comes
    first.

    Args:
        root: the folder that the returned names are relative to.
        below: the folder in `root` to look through; "" for all.
        suffixes: in lower case, such as ".png"; case is ignored.

    Returns:
        Names with "/" between folders, sorted.
    """
    wanted, found, others, seen = tuple(suffixes), [], 0, {_identity(root / below)}
    for folder, folders, files in os.walk(root / below, followlinks=True):
        visible = {name: _identity(Path(folder, name)) for name in sorted(folders) if not name.startswith(".")}
        folders[:] = []
        for name, identity in visible.items():
            if identity not in seen:
                folders.append(name)
                seen.add(identity)
        relative = Path(folder).relative_to(root).as_posix()
        prefix = "" if relative == "." else f"{relative}/"
        for name in files:
            if name.startswith(".") or not name.lower().endswith(wanted):
                others += 1
            else:
                found.append(prefix + name)
    return sorted(found), others


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what is equal for two names of one folder; `None` if the folder cannot be looked at."""
    try:
        about = folder.stat()
    except OSError:
        return None
    return about.st_dev, about.st_ino


def identities(names: Sequence[str]) -> Tensor:
    """Return a number for each name, derived from the name alone: int64 (n,), unique, 0 to 2^53 − 1.

    Every number of this size can be written in JSON and read by JavaScript. If two names of a million have the same
    number, which is a matter of 1 in 10,000, the second gets another one.
    """
    taken: dict[int, None] = {}  # in order
    for name in names:
        tries = 0
        while (number := _number(f"{name}\0{tries}")) in taken:
            tries += 1
        taken[number] = None
    return torch.tensor(list(taken), dtype=torch.int64)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()) >> 11


def files_digest(root: Path, names: Sequence[str]) -> str:
    """Return a hash of files' names, sizes, and first and last 4 KiB: 32 hexadecimal digits.

    Times are left out, since a copy of the files is the same data. Compressed formats end with check sums or with codes
    that depend on all before, so the ends tell one picture from another; files without compression (BMP) are read whole.

    Raises:
        SaqEvalError: a file that cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in names:
        path = root / name
        check_file(path, "cannot be read", MOST_BYTES)
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
                if size <= 2 * _END or name.lower().endswith(".bmp"):
                    while part := file.read(2**20):
                        digest.update(part)
                else:
                    digest.update(file.read(_END))
                    file.seek(-_END, os.SEEK_END)
                    digest.update(file.read())
        except OSError as error:
            raise SaqEvalError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()
