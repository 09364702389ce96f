"""What a side of the benchmark computes, and the seconds of its stages."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

BETWEEN = "|"  # in the names of arrays: network|method|metric


@dataclass
class Answer:
    """A side's results.

    Attributes:
        maps: by network and method, float32 (n, h, w).
        scores: by network, method and metric, float64 (n,).
        stages: seconds of processor time by stage: "maps by METHOD", a metric's label, or a kind of passes.
        passes: the number of images passed forward, and forward and backward; only the bound counts them.
    """

    maps: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    scores: dict[tuple[str, str, str], np.ndarray] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    passes: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the processor time of a block to a stage."""
        start = time.process_time()
        try:
            yield
        finally:
            self.add(name, time.process_time() - start)

    def add(self, name: str, seconds: float) -> None:
        self.stages[name] = self.stages.get(name, 0.0) + seconds

    def save(self, path: Path) -> None:
        """Write maps and scores to an .npz file."""
        arrays: dict[str, Any] = {
            BETWEEN.join(key): values for key, values in (*self.maps.items(), *self.scores.items())
        }
        np.savez(path, **arrays)


def read_arrays(path: Path) -> tuple[dict[tuple[str, ...], np.ndarray], dict[tuple[str, ...], np.ndarray]]:
    """Return the maps and the scores of a file that `Answer.save` wrote."""
    with np.load(path) as file:
        by_key = {tuple(name.split(BETWEEN)): file[name] for name in file.files}
    return {k: v for k, v in by_key.items() if len(k) == 2}, {k: v for k, v in by_key.items() if len(k) == 3}
