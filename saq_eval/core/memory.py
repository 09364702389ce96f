"""Handing memory back to the system."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable


def give_back() -> None:
    """Hand memory that this process has freed back to the system, where the C library can.

    glibc keeps freed memory below its heap's top, for example of the copies that are made of a large network. In a
    comparison of vision transformers this is a gigabyte.
    """
    _trim()(0)


@functools.cache
def _trim() -> Callable[[int], object]:
    try:
        return ctypes.CDLL(None).malloc_trim  # glibc's own
    except (AttributeError, OSError, TypeError):  # other C libraries
        return lambda pad: None
