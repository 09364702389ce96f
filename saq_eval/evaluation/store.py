"""Maps on disk: one file per network × method, read through memory mapping."""

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
    """Everything that maps depend on; stored maps are taken for others only where all of it is the same.

    Attributes:
        dataset: its name.
        model: the network's name.
        identity: what tells the network from others of its name: a hash of its weights and what computes with them.
        method: the method's label.
        parameters: all of the method's parameters.
        seed: of random methods.
        images: a checksum of the images and their indices, and of the background where the method needs one.
        version: of saq_eval, of the packages that compute maps, and of the method's code.
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
    """A folder of maps, `<model>/<method>.safetensors`, each with its key and the classes explained.

    A file holds `maps`, float32 (n, h, w), with signs as `saq_eval.explain` returns them, `targets` and
    `indices`, int64 (n,); its metadata holds the key.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.computed = 0

    def path(self, model: str, method: str) -> Path:
        """Return where a network's maps by a method are kept."""
        return self.folder / model / f"{method.replace(':', '@')}.safetensors"

    def fetch(
        self, key: MapKey, targets: np.ndarray, indices: np.ndarray, compute: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """Return maps, memory-mapped: those stored under the same key for the same classes, or computed and stored now.

        Args:
            key: what they depend on, beside the classes.
            targets: int64 (n,), the classes explained.
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
