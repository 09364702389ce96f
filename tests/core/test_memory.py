"""Freed memory goes back to the system, and other C libraries are no error."""

import ctypes
import subprocess
import sys

import pytest

from saq_eval.core import memory

_PROGRAM = """
import torch
from saq_eval.core.memory import give_back

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

some = [torch.ones(100_000) for _ in range(400)]  # 160 MB, in pieces that the heap keeps
last = torch.ones(100_000)
before = resident()
del some
give_back()
print(before - resident())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_freed_memory_goes_back():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 100e6


def test_another_library_is_no_error(monkeypatch):
    def none(_):
        raise OSError

    memory._trim.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", none)
    memory.give_back()
    monkeypatch.undo()
    memory._trim.cache_clear()
