"""The values of a graph's nodes for all calibration images, chunk by chunk, in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

MOST_BYTES = 512 * 2**20
CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True, eq=False)
class Kept:
    """A tensor that a `Store` keeps, in memory or in a file."""

    nbytes: int
    tensor: Tensor | None = None
    path: Path | None = None

    def get(self) -> Tensor:
        """Return the tensor; it must not be changed."""
        if self.tensor is not None:
            return self.tensor
        assert self.path is not None
        return torch.load(self.path, weights_only=True)


class Store:
    """Keeps tensors in memory while they take at most `most_bytes` together, and others in temporary files.

    It is a context manager, which removes the files.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.held_bytes = 0
        self._folder = tempfile.TemporaryDirectory(prefix="saq_eval-calibration-")
        self._written = 0

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def keep(self, tensor: Tensor) -> Kept:
        """Keep a tensor until it is released."""
        if self.held_bytes + tensor.nbytes <= self.most_bytes:
            self.held_bytes += tensor.nbytes
            return Kept(tensor.nbytes, tensor=tensor)
        self._written += 1
        path = Path(self._folder.name) / f"{self._written}.pt"
        torch.save(tensor.clone(), path)  # a part of a larger tensor would be saved with all of it
        return Kept(tensor.nbytes, path=path)

    def release(self, chunks: Sequence[Kept]) -> None:
        """Forget tensors that are needed no more."""
        for kept in chunks:
            if kept.path is not None:
                kept.path.unlink()
            else:
                self.held_bytes -= kept.nbytes


def chunks_of(images: Tensor) -> tuple[Tensor, ...]:
    """Split images (n, c, h, w) into chunks of about `CHUNK_BYTES`, of at least one image each."""
    return images.split(max(1, CHUNK_BYTES // max(1, images[0].nbytes)))
