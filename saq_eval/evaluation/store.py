"""Maps on disk: one file per network × method, read by memory mapping."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from saq_eval.core.errors import SaqEvalError


@dataclass(frozen=True)
class MapKey:
    """Everything that maps depend on, except the explained classes. Stored maps are reused only if all of it is equal.

    Attributes:
        dataset: the dataset's name.
        model: the network's name.
        identity: the network's identity, a hash of its weights and of how they are used.
        method: the method's label.
        parameters: all of the method's parameters.
        seed: the seed of random methods.
        images: a checksum of the images and their indices, and of the background if the method needs one.
        version: the versions of saq_eval, of the packages that compute maps, and of the method's code.
    """

    dataset: str
    model: str
    identity: str
    method: str
    parameters: dict[str, Any]
    seed: int
    images: str
    version: str


def checksum(*arrays: np.ndarray) -> str:
    """Return a checksum of arrays' contents, 8 hexadecimal digits for each."""
    return "-".join(f"{zlib.crc32(np.ascontiguousarray(array).tobytes()):08x}" for array in arrays)


class MapStore:
    """A folder of maps, `<model>/<method>.safetensors`, each with its key and the explained classes.

    A file holds `maps`, float32 (n, h, w), with signs as `saq_eval.explain` returns them, `targets` and
    `indices`, int64 (n,); its metadata holds the key.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.computed = 0

    def path(self, model: str, method: str) -> Path:
        """Return the path of a network's maps by a method."""
        return self.folder / model / f"{method.replace(':', '@')}.safetensors"

    def fetch(
        self, key: MapKey, targets: np.ndarray, indices: np.ndarray, compute: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Return maps, memory-mapped. If none are stored with the same key and classes, compute and store them.

        Args:
            key: what the maps depend on, except the classes.
            targets: int64 (n,), the explained classes.
            indices: int64 (n,), the images' positions in the test set.
            compute: returns the maps, float32 (n, h, w).

        Raises:
            SaqEvalError: a file that cannot be read or written.
        """
        path = self.path(key.model, key.method)
        written = json.dumps(asdict(key), sort_keys=True)
        stored = self._stored(path, written, targets)
        if stored is not None:
            return stored
        maps = compute()
        self.computed += 1
        content = save({"maps": maps, "targets": targets, "indices": indices}, metadata={"key": written})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
            try:
                partial.write_bytes(content)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        except OSError as error:
            raise SaqEvalError(f"the maps {path} cannot be written: {error.strerror}") from error
        return read_maps(path)

    def _stored(self, path: Path, key: str, targets: np.ndarray) -> np.ndarray | None:
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                same = (file.metadata() or {}).get("key") == key
                same = same and np.array_equal(file.get_tensor("targets"), targets)
            return read_maps(path) if same else None
        except (OSError, SafetensorError) as error:
            raise SaqEvalError(f"the maps {path} cannot be read: {error}; delete the file") from error


def read_maps(path: Path) -> np.ndarray:
    """Return the maps of a file, memory-mapped, read-only: float32 (n, h, w)."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        about = json.loads(file.read(header_bytes))["maps"]
    start = 8 + header_bytes + about["data_offsets"][0]
    return np.memmap(path, dtype="<f4", mode="r", offset=start, shape=tuple(about["shape"]))
