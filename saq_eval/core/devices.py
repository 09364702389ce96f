"""The devices that networks compute on."""

from __future__ import annotations

import contextlib
from pathlib import Path

import loky
import torch
from filelock import BaseFileLock, FileLock, Timeout

from saq_eval.core.errors import SaqEvalError, unknown_name


def pick_device(device: str) -> torch.device:
    """Return the torch device for "cpu", "cuda" or "auto" (a GPU if torch finds one); raises `SaqEvalError`."""
    if device not in ("cpu", "cuda", "auto"):
        raise unknown_name("device", device, ("cpu", "cuda", "auto"))
    if device == "cuda" and not torch.cuda.is_available():
        raise SaqEvalError("device 'cuda' was asked for, but torch finds no CUDA device; 'cpu' and 'auto' work")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def processor_cores() -> int:
    """Return the number of processor cores that this process may use."""
    return loky.cpu_count()


def take_cuda_device(folder: Path) -> None:
    """Make "cuda" mean a device that no other process of a run computes on, for the rest of this process.

    Args:
        folder: a folder of the run on this machine, where a lock for each device shows that it is taken.
    """
    for index in range(device_count()):
        lock = FileLock(folder / f"cuda-{index}.lock")
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            _TAKEN.append(lock)  # until the process ends
            torch.cuda.set_device(index)
            return


_TAKEN: list[BaseFileLock] = []


def device_count() -> int:
    """Return the number of CUDA devices, at least 1."""
    return max(1, torch.cuda.device_count())
