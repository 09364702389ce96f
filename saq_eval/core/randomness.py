"""Random numbers that depend on what they are for, not on the order of calls."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator

import numpy as np
import torch

from saq_eval.core.errors import SaqEvalError, in_short


def check_seed(seed: int) -> None:
    """Raise `SaqEvalError` unless a seed is a whole number from 0 to 2^32 − 1, the range that all generators accept."""
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise SaqEvalError(f"a seed is a whole number from 0 to {2**32 - 1}, not {in_short(seed)}")


@contextlib.contextmanager
def deterministic(threads: int | None = None) -> Iterator[None]:
    """Make torch give the same result every time: cuDNN in full float32 (no TF32), and a fixed number of CPU threads.

    Args:
        threads: the number of CPU threads; by default the number that torch uses already.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)


def derived_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed, 0 to 2^32 − 1, for one purpose: equal arguments give equal seeds, others give unrelated seeds.

    Example: `derived_seed(0, "smoothgrad", 17)` for the noise of SmoothGrad on image 17.
    """
    keys = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in purpose]
    return int(np.random.SeedSequence([seed, *keys]).generate_state(1)[0])


@contextlib.contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed the global generators of torch and NumPy, which libraries use, and restore their states afterwards."""
    numpy_state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
