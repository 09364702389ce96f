"""The images and maps that the page shows. The caller chooses them. They are stored small, and without pickle."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saq_eval.core.errors import SaqEvalError

_MOST_BYTES = 2**30  # of a gallery that is read, unpacked
# What damaged files raise: a shape that takes all memory, an array in place of an archive, another compression.
_DAMAGED = (
    *(OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, MemoryError, RecursionError),
    *(NotImplementedError, zipfile.BadZipFile, zlib.error),
)
_TALLEST = 96  # pixels; larger pictures are shrunk, since people only look at them and do not measure in them


@dataclass(frozen=True, repr=False)
class Gallery:
    """A few images with all their maps, in whole numbers from 0 to 255.

    Attributes:
        images: uint8 (k, c, h, w); 255 stands for 1.
        indices: int (k,), the images' indices; see `saq_eval.data.Images`.
        labels: int (k,), positions in `class_names`.
        class_names: the names of all classes, by label.
        predictions: by model, int (k,), the predicted labels.
        groups: by group name, the positions of the group's images, 0 to k - 1, most important first.
        maps: by (model, method), uint8 (k, h, w): magnitudes over each map's own maximum, which is 255.
            A degenerate map (constant or not finite) is all 0.
        ssim: by (model, method), float32 (k,), SSIM to the baseline's map; NaN where it is undefined.
        files: the names of the images' files; empty if they are not in files.
    """

    images: np.ndarray
    indices: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    predictions: dict[str, np.ndarray]
    groups: dict[str, list[int]]
    maps: dict[tuple[str, str], np.ndarray]
    ssim: dict[tuple[str, str], np.ndarray]
    files: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Gallery({len(self.images)} images, {len(self.predictions)} networks, {len(self.maps)} maps)"

    @classmethod
    def of(
        cls,
        *,
        images: np.ndarray,
        indices: Sequence[int] | np.ndarray,
        labels: Sequence[int] | np.ndarray,
        class_names: Sequence[str],
        predictions: Mapping[str, np.ndarray],
        groups: Mapping[str, Sequence[int]],
        maps: Mapping[tuple[str, str], np.ndarray],
        ssim: Mapping[tuple[str, str], np.ndarray],
        files: Sequence[str] = (),
    ) -> Gallery:
        """Make a gallery from float images and maps, which are scaled to whole numbers.

        Args:
            images: float (k, c, h, w) in [0, 1]; one channel or three.
            maps: by (model, method), float (k, h, w), signed or not.

        Raises:
            SaqEvalError: if the parts do not fit together.
        """
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise SaqEvalError(f"a gallery's images are (k, 1 or 3, h, w), not {images.shape}")
        stride = -(-max(images.shape[2:]) // _TALLEST)
        gallery = cls(
            images=np.rint(np.clip(_shrink(images, stride), 0, 1) * 255).astype(np.uint8),
            indices=np.asarray(indices, dtype=np.int64),
            labels=np.asarray(labels, dtype=np.int64),
            class_names=tuple(class_names),
            predictions={model: np.asarray(values, dtype=np.int64) for model, values in predictions.items()},
            groups={name: [int(place) for place in places] for name, places in groups.items()},
            maps={key: levels(_shrink(np.abs(np.asarray(values)), stride)) for key, values in maps.items()},
            ssim={key: np.asarray(values, dtype=np.float32) for key, values in ssim.items()},
            files=tuple(files),
        )
        gallery._check()
        return gallery

    def _check(self) -> None:
        count, _, *size = self.images.shape
        for name, values in {"indices": self.indices, "labels": self.labels, **self.predictions}.items():
            if values.shape != (count,):
                raise SaqEvalError(f"the gallery's {name!r} has shape {values.shape}, with {count} images")
        for key, values in self.maps.items():
            if values.shape != (count, *size):
                raise SaqEvalError(f"the gallery's maps of {key} have shape {values.shape}, not {(count, *size)}")
        for key, values in self.ssim.items():
            if values.shape != (count,):
                raise SaqEvalError(f"the gallery's SSIM of {key} has shape {values.shape}, with {count} images")
        if self.files and len(self.files) != count:
            raise SaqEvalError(f"the gallery names {len(self.files)} files, with {count} images")
        for name, places in self.groups.items():
            if not all(0 <= place < count for place in places):
                raise SaqEvalError(f"the gallery's group {name!r} names places {places}, with {count} images")

    def first(self, count: int) -> Gallery:
        """Return a gallery of at most `count` images, taken from all groups in turn, most important first."""
        if count >= len(self.images):
            return self
        turns = max((len(places) for places in self.groups.values()), default=0)
        ranked = [places[turn] for turn in range(turns) for places in self.groups.values() if turn < len(places)]
        kept = sorted(list(dict.fromkeys([*ranked, *range(len(self.images))]))[:count])
        place_of = {old: new for new, old in enumerate(kept)}
        return Gallery(
            images=self.images[kept],
            indices=self.indices[kept],
            labels=self.labels[kept],
            class_names=self.class_names,
            predictions={model: values[kept] for model, values in self.predictions.items()},
            groups={name: [place_of[p] for p in places if p in place_of] for name, places in self.groups.items()},
            maps={key: values[kept] for key, values in self.maps.items()},
            ssim={key: values[kept] for key, values in self.ssim.items()},
            files=tuple(self.files[place] for place in kept) if self.files else (),
        )

    def write(self, path: Path) -> None:
        """Write one .npz file of plain arrays; equal galleries give equal bytes."""
        about = {
            "class_names": self.class_names,
            "predictions": list(self.predictions),
            "groups": self.groups,
            "maps": list(self.maps),
            "ssim": list(self.ssim),
        } | ({"files": self.files} if self.files else {})
        count, _, *size = self.images.shape
        np.savez_compressed(
            path,
            about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
            images=self.images,
            indices=self.indices,
            labels=self.labels,
            predictions=_stack(self.predictions, (count,), np.int64),
            maps=_stack(self.maps, (count, *size), np.uint8),
            ssim=_stack(self.ssim, (count,), np.float32),
        )

    @classmethod
    def read(cls, path: Path) -> Gallery:
        """Read a file that `write` wrote.

        Raises:
            SaqEvalError: if the file is missing or is not a gallery.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                unpacked = sum(entry.file_size for entry in file.zip.infolist())
                if unpacked > _MOST_BYTES:
                    raise ValueError(f"unpacked, it has {unpacked / 2**20:,.0f} MiB")
                parts: dict[str, Any] = {name: file[name] for name in file.files}
            about = json.loads(parts.pop("about").tobytes())
            keys = {name: [tuple(key) for key in about[name]] for name in ("maps", "ssim")}
            gallery = cls(
                images=parts["images"],
                indices=parts["indices"],
                labels=parts["labels"],
                class_names=tuple(about["class_names"]),
                predictions=dict(zip(about["predictions"], parts["predictions"], strict=True)),
                groups=about["groups"],
                maps=dict(zip(keys["maps"], parts["maps"], strict=True)),
                ssim=dict(zip(keys["ssim"], parts["ssim"], strict=True)),
                files=tuple(about.get("files", ())),
            )
        except _DAMAGED as error:
            raise SaqEvalError(f"{path} is no gallery of a comparison: {error}") from error
        gallery._check()
        return gallery


def levels(maps: np.ndarray) -> np.ndarray:
    """Return each map's magnitude over its own maximum, in whole numbers from 0 to 255; 0 for degenerate maps.

    Args:
        maps: float (k, h, w).
    """
    # Imported here, because the metrics take seconds to import, and a report from files does not need them.
    from saq_eval.metrics.maps import is_degenerate, read

    scaled = read("magnitudes", maps)
    scaled[is_degenerate(scaled)] = 0
    return np.rint(scaled * 255).astype(np.uint8)


def _shrink(pictures: np.ndarray, stride: int) -> np.ndarray:
    """Return the means of blocks of `stride` × `stride` pixels; remaining pixels at the edges are dropped."""
    if stride == 1:
        return pictures
    height, width = (side // stride for side in pictures.shape[-2:])
    cut = pictures[..., : height * stride, : width * stride]
    return cut.reshape(*pictures.shape[:-2], height, stride, width, stride).mean(axis=(-3, -1))


def _stack(values: Mapping[Any, np.ndarray], shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.stack([np.asarray(value, dtype) for value in values.values()]) if values else np.empty((0, *shape), dtype)
