"""Writing a comparison's maps under the names of networks and methods, for other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from saq_eval.core.errors import CannotWrite
from saq_eval.evaluation.grid import Grid
from saq_eval.evaluation.store.files import write_tensors


def write_maps(grid: Grid, folder: Path) -> None:
    """Write the maps of models and controls to files `<network>/<method>.safetensors`.

    A file holds `maps`, float32 (n, h, w), with signs as `saq_eval.explain` returns them, `targets` and `indices`, int64 (n,).
    In its name, "@" stands for the ":" of a method with parameters.

    Raises:
        CannotWrite: if a file cannot be written.
    """
    indices = grid.settings.sample.indices.numpy()
    for name, subject in grid.by_name.items():
        for explainer in grid.settings.methods_of(subject.role):
            if grid.degenerate(subject, explainer.label) is None:  # it cannot explain the network
                continue
            maps = np.ascontiguousarray(grid.maps(name, explainer.label))
            arrays = {"maps": maps, "targets": np.ascontiguousarray(grid.targets[subject]), "indices": indices}
            path = folder / name / f"{explainer.label.replace(':', '@')}.safetensors"
            try:
                write_tensors(path, arrays)
            except OSError as error:
                raise CannotWrite(path, error) from error
