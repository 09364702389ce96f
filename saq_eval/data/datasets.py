"""Datasets: images in [0, 1], labels, class names and localisation masks.

A dataset is one registered function, `load(split, data_root) -> Dataset`; add one with `register_dataset`.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from platformdirs import user_cache_path
from skimage.filters import threshold_otsu
from skimage.transform import resize
from torch import Tensor

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.paths import user_path
from saq_eval.core.registry import Registry

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Item:
    """One labelled image.

    Attributes:
        image: float32 (channels, height, width) in [0, 1].
        label: the class index.
        class_name: the class's name.
        mask: bool (1, height, width), true on the evidence; see `Dataset.masks`.
    """

    image: Tensor
    label: int
    class_name: str
    mask: Tensor


@dataclass(frozen=True, repr=False)
class Dataset:
    """One split of a dataset, in memory.

    Attributes:
        name: the registered name.
        split: "train" or "test".
        images: float32 (n, channels, height, width) in [0, 1].
        labels: int64 (n,), class indices.
        class_names: one name per class index.
        indices: int64 (n,), each image's position in the full split.
        evidence: bool (n, 1, height, width), true on what decides the label; none where that is not known.
        evidence_by: whether the evidence is "known" by construction, or "given" by whoever marked it in the images.

    Raises:
        SaqEvalError: names the part that is not as said here: another type or shape, pixels outside [0, 1] or not
            finite, labels without a class, equal indices, no image.
    """

    name: str
    split: Split
    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    indices: Tensor
    evidence: Tensor | None = None
    evidence_by: Literal["known", "given"] = "given"

    def __post_init__(self) -> None:
        problem = next(self._problems(), None)
        if problem:
            raise SaqEvalError(f"{self.name} {self.split} set: {problem}")

    def _problems(self) -> Iterator[str]:
        """Yield what is wrong, each part looked at once those before it are right."""
        if self.split not in ("train", "test"):
            yield f"the split is 'train' or 'test', not {self.split!r}"
        images, labels, evidence = self.images, self.labels, self.evidence
        if not isinstance(images, Tensor) or images.dtype != torch.float32 or images.dim() != 4:
            yield f"images are a float32 tensor (n, channels, height, width), not {_kind(images)}"
        if not images.numel():
            yield f"there are no images: their shape is {tuple(images.shape)}"
        low, high = (float(bound) for bound in images.aminmax())  # one pass, and NaN if one pixel is
        if not (low >= 0 and high <= 1):
            yield f"pixels lie in [0, 1], not between {low:g} and {high:g}" + (
                "; divide by 255" if low >= 0 and 1 < high <= 255 else ""
            )
        for name, values in (("labels", labels), ("indices", self.indices)):
            if not isinstance(values, Tensor) or values.dtype != torch.int64 or values.shape != images.shape[:1]:
                yield f"{name} are an int64 tensor ({len(images)},), one per image, not {_kind(values)}"
        names = self.class_names
        if isinstance(names, str) or not all(isinstance(name, str) for name in names):
            yield f"class_names are texts, not {in_short(names)}"
        lowest, highest = int(labels.min()), int(labels.max())
        if lowest < 0 or highest >= len(names):
            yield (
                f"labels lie between 0 and {len(names) - 1}, the last of {len(names)} classes, "
                f"not between {lowest} and {highest}"
            )
        if len(self.indices.unique()) != len(images):
            yield "two images have the same index, from which random methods draw their noise"
        shape = (len(images), 1, *images.shape[2:])
        if evidence is not None and (
            not isinstance(evidence, Tensor) or evidence.dtype != torch.bool or evidence.shape != shape
        ):
            yield f"evidence is a bool tensor {shape}, not {_kind(evidence)}"
        if self.evidence_by not in ("known", "given"):
            yield f"evidence_by is 'known' or 'given', not {self.evidence_by!r}"

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        return f"Dataset({self.name} {self.split}: {len(self)} images {shape}, {len(self.class_names)} classes)"

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, position: int) -> Item:
        label = int(self.labels[position])
        return Item(self.images[position], label, self.class_names[label], self._mask(position))

    def __iter__(self) -> Iterator[Item]:
        return (self[position] for position in range(len(self)))

    def masks(self) -> Tensor:
        """Return where the evidence for the label is: bool (n, 1, height, width).

        It is the evidence, or else, as a guess, the object: see `foreground_mask`. A mask is empty where there is
        none, and localisation is not scored there.
        """
        return torch.stack([self._mask(position) for position in range(len(self))])

    def _mask(self, position: int) -> Tensor:
        return foreground_mask(self.images[position]) if self.evidence is None else self.evidence[position]

    def mask_record(self) -> dict[str, Any]:
        """Return which masks these images have: their kind ("known", "given", "Otsu"), how many, and why not all have one."""
        there = int(self.masks().flatten(1).any(dim=1).sum())
        reason = "" if there == len(self) else NO_FOREGROUND if self.evidence is None else "their evidence is empty"
        kind = "Otsu" if self.evidence is None else self.evidence_by
        return {"kind": kind if there else "none", "images": there, "without": len(self) - there, "reason": reason}

    def sample(self, count: int, seed: int) -> Dataset:
        """Return `count` images drawn without replacement, stratified by class, in the split's order.

        Classes get counts that differ from their share of the split by less than one image.

        Raises:
            SaqEvalError: if `count` is below 1 or above the size of the split.
        """
        if not 1 <= count <= len(self):
            raise SaqEvalError(
                f"samples must lie between 1 and {len(self)}, the size of the {self.name} {self.split} set, not {count}"
            )
        rng = np.random.default_rng(seed)
        # Each class gets the whole part of its share;
        # what is left goes to the classes with the largest remainders.
        classes, sizes = np.unique(self.labels.numpy(), return_counts=True)
        shares = sizes * count / len(self)
        counts = np.floor(shares).astype(int)
        counts[np.argsort(counts - shares, kind="stable")[: count - counts.sum()]] += 1
        rng = np.random.default_rng(seed)
        members = (np.flatnonzero(self.labels.numpy() == label) for label in classes)
        chosen = [rng.choice(m, size, replace=False) for m, size in zip(members, counts, strict=True)]
        return self.subset(np.sort(np.concatenate(chosen)))

    def subset(self, positions: np.ndarray) -> Dataset:
        """Return the images at `positions`, int (m,), in that order."""
        chosen = torch.as_tensor(positions)
        return replace(
            self,
            images=self.images[chosen],
            labels=self.labels[chosen],
            indices=self.indices[chosen],
            evidence=None if self.evidence is None else self.evidence[chosen],
        )


def _kind(value: Any) -> str:
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else in_short(value)


NO_FOREGROUND = "Otsu's threshold finds an object only in a grey picture with a dark border"


def foreground_mask(image: Tensor) -> Tensor:
    """Return where the object is: the pixels brighter than Otsu's threshold (Otsu 1979; scikit-image).

    Only a grey picture with a dark border is taken to show a bright object on a dark ground: its channels are equal,
    half of the pixels on its border are darker than 0.2, and two thirds of them do not exceed the threshold. The images of
    MNIST, FashionMNIST and the digits are such pictures. On photographs the threshold finds light, not objects.

    Args:
        image: float (channels, height, width) in [0, 1].

    Returns:
        bool (1, height, width); all false for another picture, and for a constant one, which shows no object.
    """
    grey = image[0].numpy()
    nothing = torch.zeros(1, *grey.shape, dtype=torch.bool)
    if not torch.equal(image, image[:1].expand_as(image)):
        return nothing
    threshold = threshold_otsu(grey)
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    if np.median(border) >= 0.2 or (border <= threshold).mean() < 2 / 3:
        return nothing
    return torch.from_numpy(grey > threshold).unsqueeze(0)


DATASETS: Registry[Callable[[Split, Path], Dataset]] = Registry("dataset")


def register_dataset(name: str) -> Callable[[Callable], Callable]:
    """Register the decorated function `(split, data_root) -> Dataset` under `name`."""
    return lambda load: DATASETS.add(name, load)


def load_dataset(name: str, split: Split = "test", data_root: str | os.PathLike | None = None) -> Dataset:
    """Load one split of a dataset.

    Args:
        name: a registered name (`saq-eval datasets` lists them).
        split: "train" or "test".
        data_root: folder of the dataset files, laid out as torchvision does
            (`<root>/FashionMNIST/raw/...`); else the environment variable `SAQ_EVAL_DATA_ROOT`, else
            the user's cache folder. Missing files are downloaded into it.

    Raises:
        SaqEvalError: unknown name, files that are neither there nor to be had, or a loader that fails or returns no
            such dataset.
    """
    load = DATASETS[name]
    if split not in ("train", "test"):
        raise SaqEvalError(f"a dataset's split is 'train' or 'test', not {split!r}")
    root = data_root or os.environ.get("SAQ_EVAL_DATA_ROOT") or user_cache_path("saq_eval") / "datasets"
    root = user_path(root)
    try:
        dataset = load(split, root)
    except SaqEvalError:
        raise
    except Exception as error:  # whatever a user's loader raises
        raise SaqEvalError(
            f"the dataset {name!r} cannot be loaded from {root}: {type(error).__name__}: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(dataset, Dataset):
        raise SaqEvalError(f"the loader of the dataset {name!r} returns a saq_eval.Dataset, not {in_short(dataset)}")
    if (dataset.name, dataset.split) != (name, split):
        raise SaqEvalError(
            f"the loader of the dataset {name!r} was asked for its {split} set and returned {dataset.name!r}, {dataset.split}"
        )
    return dataset


def _from_bytes(name: str, split: Split, images: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> Dataset:
    """Make a dataset of 8-bit grey images, uint8 (n, height, width)."""
    pixels = images.to(torch.float32).div(255).unsqueeze(1)
    return Dataset(name, split, pixels, labels.to(torch.int64), class_names, torch.arange(len(labels)))


@register_dataset("digits")
def _digits(split: Split, data_root: Path) -> Dataset:
    """scikit-learn's 1,797 scanned 8x8 digits, resized to 28x28 (bilinear, 8 bits); 360 of them are the test set."""
    # Imported here, as torchvision is below: either takes a second that a command line can do without.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    train, test = train_test_split(np.arange(len(bunch.target)), test_size=360, stratify=bunch.target, random_state=0)
    chosen = np.sort(train if split == "train" else test)
    small = bunch.images[chosen] / 16.0
    large = resize(small, (len(chosen), 28, 28), order=1)
    images = torch.from_numpy(np.rint(large * 255).astype(np.uint8))
    labels = torch.from_numpy(bunch.target[chosen])
    return _from_bytes("digits", split, images, labels, tuple(str(name) for name in bunch.target_names))


def _register_torchvision(name: str, class_in_torchvision: str, class_names: tuple[str, ...]) -> None:
    @register_dataset(name)
    def load(split: Split, data_root: Path) -> Dataset:
        from torchvision import datasets

        source = getattr(datasets, class_in_torchvision)
        folder = data_root / source.__name__ / "raw"
        missing = [path for path in (folder, folder.parent, data_root) if not os.path.exists(path)]
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # torchvision prints each mirror it tries
                raw = source(data_root, train=split == "train", download=True)
        except (OSError, RuntimeError, ValueError, AssertionError, EOFError) as error:
            for path in missing:  # what a failed download has created, if it is empty
                with contextlib.suppress(OSError):
                    path.rmdir()
            files = ", ".join(Path(archive).stem for archive, _ in source.resources)
            reason = str(error).strip().partition("\n")[0].rstrip(":") or type(error).__name__
            raise SaqEvalError(
                f"{name}: could not read or download its files ({reason}): looked for {files} in {folder}; "
                "set --data-root or SAQ_EVAL_DATA_ROOT to a folder that holds them, "
                "or use --dataset digits, which needs none"
            ) from error
        return _from_bytes(name, split, raw.data, raw.targets, class_names)


_register_torchvision("mnist", "MNIST", tuple("0123456789"))
_register_torchvision(
    "fashionmnist",
    "FashionMNIST",
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


# However two of them are laid on each other, at least 16 of their 36 lit cells lie on dark ones. None has a 2x2 square of
# lit cells, nor four in a row or column, as strokes have; none has a dark 2x2 square, so every part of it tells something.
_PATTERNS = """
    #.###. ###.## #.##.# #..### ..##..
    #...## .#..#. ..#.#. .#.#.. #..##.
    .#.#.# ...### .##... ..#..# #.##.#
    ...#.# .#.#.. ##..## .#..## ##....
    #.#... ...#.# #.##.# .#.##. .##.##
    ##.#.# #.#.## #....# #.##.# ..##.#

    #..#.# .##..# #.#.#. ##..#. #.##..
    ###..# #.##.# ..##.. #..##. .#...#
    #..#.# .#..#. ##.### #.##.. ..#.##
    .#..#. .#.#.# #....# .##..# ##.##.
    #.##.. #..#.. .###.# ##.#.. #..#.#
    #.#.#. #.###. #..#.. #...## .#.##.
"""


def _patches() -> np.ndarray:
    """Return the ten patterns, white on black, with a black frame of one pixel: uint8 (10, 8, 8)."""
    lit = [[list(row) for row in block.split()] for block in _PATTERNS.strip().split("\n\n")]
    patterns = (np.array(lit).reshape(2, 6, 5, 6) == "#").swapaxes(1, 2).reshape(10, 6, 6)
    return np.pad(patterns, ((0, 0), (1, 1), (1, 1))).astype(np.uint8) * 255


@register_dataset("planted")
def _planted(split: Split, data_root: Path) -> Dataset:
    """The digits with planted evidence: a patch, written in anywhere, is all that tells the label.

    A patch is one of ten patterns of 6x6 pixels, 18 of them white, in a black frame: 8x8 pixels, 8.2 % of
    the image, at one of the 441 places where it fits as a whole, drawn for each image. The labels are dealt
    out evenly within each class of digit, so that a digit says nothing of them. So it is known where an explanation
    should point, and need not be guessed from what people see in the image; the idea of objects pasted into
    scenes (Yang and Kim 2019, arXiv 1907.09701), without the scenes' own meaning.

    The test set has each test digit once, as it is but for the patch. The training set has four copies of each
    training digit, with patches, contrasts and clutter of their own, since a network that sees clean digits only
    has little reason to be blind to them: it gets the labels right and spreads half of its relevance over
    the strokes. The contrast is uniform in 0 … 1; a share of the pixels that is uniform in 0 … 0.3 becomes black or
    white. Image i shows digit i, modulo the size of that split of `digits`.
    """
    digits, rng = load_dataset("digits", split, data_root), np.random.default_rng(["train", "test"].index(split))
    shown = np.tile(np.arange(len(digits)), 4 if split == "train" else 1)
    count = len(shown)

    in_order = np.lexsort((rng.random(count), digits.labels.numpy()[shown]))  # by class of digit, at random within
    labels = np.empty(count, dtype=np.int64)
    labels[in_order] = np.arange(count) % 10

    images = digits.images.numpy()[shown, 0] * 255
    size = images.shape[1:]
    if split == "train":
        images *= rng.random((count, 1, 1), dtype=np.float32)
        hidden = rng.random((count, *size)) < rng.uniform(0, 0.3, (count, 1, 1))
        images[hidden] = 255 * rng.integers(0, 2, hidden.sum())
    images = np.rint(images).astype(np.uint8)

    patches = _patches()
    side = patches.shape[1]
    offsets = np.arange(size[0]) - rng.integers(0, size[0] - side + 1, (2, count, 1))
    down, across = (offsets >= 0) & (offsets < side)
    evidence = down[:, :, None] & across[:, None, :]
    images[evidence] = patches[labels].ravel()
    names = tuple(f"pattern {label}" for label in range(10))
    dataset = _from_bytes("planted", split, torch.from_numpy(images), torch.from_numpy(labels), names)
    return replace(dataset, evidence=torch.from_numpy(evidence).unsqueeze(1), evidence_by="known")
