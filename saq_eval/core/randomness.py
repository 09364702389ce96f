"""Random numbers that depend on what they are for, not on the order of calls."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator

import numpy as np
import torch

from saq_eval.core.errors import SaqEvalError, in_short


def check_seed(seed: int) -> None:
    """Raise `SaqEvalError` unless a seed is a whole number from 0 to 2^32 − 1, which all generators take."""
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise SaqEvalError(f"a seed is a whole number from 0 to {2**32 - 1}, not {in_short(seed)}")


@contextlib.contextmanager
def deterministic(threads: int | None = None) -> Iterator[None]:
    """Let torch give the same result every time: cuDNN in full single precision (no TF32), a CPU with so many threads.

    Args:
        threads: by default as many as torch uses already.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)


def derived_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed, 0 to 2^32 − 1, for one purpose: the same for the same arguments, unrelated for others.

    Example: `derived_seed(0, "smoothgrad", 17)` for the noise of SmoothGrad on image 17.
    """
    keys = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in purpose]
    return int(np.random.SeedSequence([seed, *keys]).generate_state(1)[0])


@contextlib.contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed torch's and NumPy's global generators, which libraries draw from, and restore them afterwards."""
    numpy_state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpy_state)
