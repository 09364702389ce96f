"""The process of one side: `python -m benchmarks.speed.side SIDE STUDY.json ARRAYS.npz` prints its measurements as JSON.

Imports, loading and checking come before the clocks start: they are the same work for all, and not what is compared.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.answer import Answer
from benchmarks.speed.bound import bound
from benchmarks.speed.script import script
from benchmarks.speed.study import Study
from benchmarks.speed.suite import comparison, suite

Opened = AbstractContextManager[Callable[[], Answer]]
SIDES: dict[str, Callable[[Study], Opened]] = {
    "suite": suite,
    "script": script,
    "bound": bound,
    "comparison": comparison,
}


def measure(side: str, study: Study, arrays: Path) -> dict[str, Any]:
    """Do a side's work; return the seconds of the work alone, its stages, and on a GPU the peak of its memory in MiB."""
    torch.set_num_threads(1)
    on_gpu = study.device == "cuda"
    with SIDES[side](study) as work:
        if on_gpu:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        wall, processor = time.perf_counter(), _processor()
        answer = work()
        if on_gpu:
            torch.cuda.synchronize()
        taken = {"wall_s": time.perf_counter() - wall, "processor_s": _processor() - processor}
    answer.save(arrays)
    peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None
    return taken | {"gpu_peak_mib": peak, "stages": answer.stages, "passes": answer.passes}


def _processor() -> float:
    """Return the processor seconds of this process and of those that it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    name, given, target = sys.argv[1:]
    print(json.dumps(measure(name, Study.from_json(Path(given).read_text(encoding="utf-8")), Path(target))))
