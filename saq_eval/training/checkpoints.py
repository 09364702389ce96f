"""Checkpoints: the progress of training after each epoch, in a file, so that a killed run can be resumed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from saq_eval.core.errors import SaqEvalError
from saq_eval.training.precision import Precision


@dataclass(frozen=True)
class Epoch:
    """One finished pass over the training set: mean loss, and accuracy (0 to 1) on the augmented training images."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Checkpoint:
    """The file that keeps a training run's progress.

    Attributes:
        path: the file; its folder exists.
        identity: a text of all that the run depends on. A run is resumed only from a file with the same identity.
        precision: the precision that the run trains in; see `kept_precision`.
    """

    path: Path
    identity: str
    precision: Precision

    def save(self, stateful: Mapping[str, Any], history: list[Epoch]) -> None:
        """Write the states of `stateful`'s objects and the finished epochs; the file is replaced as a whole."""
        content = {
            "identity": self.identity,
            "precision": self.precision,
            "history": [asdict(epoch) for epoch in history],
            "states": {name: item.state_dict() for name, item in stateful.items()},
        }
        fresh = self.path.with_suffix(".new")
        torch.save(content, fresh)
        os.replace(fresh, self.path)

    def restore(self, stateful: Mapping[str, Any], device: torch.device) -> list[Epoch]:
        """Load the stored states into `stateful`'s objects and return the finished epochs; none if there is no file.

        Raises:
            SaqEvalError: if the file cannot be read, or belongs to a run with other settings.
        """
        if not self.path.exists():
            return []
        content = _read(self.path, device)
        if content["identity"] != self.identity:
            raise SaqEvalError(
                f"{self.path} keeps the progress of an unfinished run with other settings; remove the file, or overwrite"
            )
        for name, item in stateful.items():
            item.load_state_dict(content["states"][name])
        return [Epoch(**epoch) for epoch in content["history"]]


def kept_precision(path: Path) -> Precision | None:
    """Return an unfinished run's precision, in which it is resumed on any processor; `None` if there is no such run."""
    return _read(path, torch.device("cpu"))["precision"] if path.exists() else None


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        missing = {"identity", "precision", "history", "states"} - content.keys()
    except Exception as error:  # torch.load may raise many kinds of errors
        raise SaqEvalError(f"{path}: the progress of an earlier run cannot be read; remove the file") from error
    if missing:
        raise SaqEvalError(
            f"{path}: the progress of an earlier run lacks {', '.join(sorted(missing))}; remove the file"
        )
    return content
