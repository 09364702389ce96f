"""Start a side in a process of its own, and measure it; describe the machine.

The process that starts the sides imports nothing large before they have ended. On Linux, the peak memory that is stated
of a process is never below that of the process that started it.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed.study import Side, Study

ROOT = Path(__file__).resolve().parents[2]
ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
LIBRARIES = ("torch", "numpy", "captum", "quantus", "scikit-image", "scipy")


@dataclass(frozen=True)
class Measured:
    """What a side took.

    Attributes:
        side: its name.
        processor_s, wall_s: seconds of the work alone, without imports and loading.
        whole_processor_s: processor seconds of the whole process.
        peak_mib: the largest memory of the process, in MiB.
        gpu_peak_mib: the largest memory on the GPU that tensors took; `None` without one.
        stages: processor seconds by stage.
        passes: the images that were passed; of the bound alone.
    """

    side: Side
    processor_s: float
    wall_s: float
    whole_processor_s: float
    peak_mib: float
    gpu_peak_mib: float | None
    stages: dict[str, float]
    passes: dict[str, int]


def run_side(side: Side, study: Study, arrays: Path) -> Measured:
    """Do a side's work in a process of its own, on one thread; its maps and scores are written to `arrays`, an .npz file.

    Raises:
        SystemExit: if the process fails; its own message has been printed.
    """
    with tempfile.TemporaryDirectory(prefix="saq_eval-benchmark-") as folder:
        given, said = Path(folder) / "study.json", Path(folder) / "said"
        given.write_text(study.to_json(), encoding="utf-8")
        with said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.speed.side", side, given, arrays],
                stdout=output,
                env=os.environ
                | ONE_THREAD
                | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.getenv("PYTHONPATH")])])},
            )
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"the side {side!r} of the benchmark failed with exit code {process.returncode}")
        measured: dict[str, Any] = json.loads(said.read_text(encoding="utf-8").splitlines()[-1])
    per_mib = 2**20 if sys.platform == "darwin" else 2**10  # Linux counts KiB, macOS bytes
    return Measured(
        side, whole_processor_s=used.ru_utime + used.ru_stime, peak_mib=used.ru_maxrss / per_mib, **measured
    )


def best_of(side: Side, study: Study, arrays: Path, times: int) -> Measured:
    """Return the run of a side that took the least processor time; on a GPU, the least wall time."""
    key = "processor_s" if study.device == "cpu" else "wall_s"
    return min((run_side(side, study, arrays) for _ in range(times)), key=lambda measured: getattr(measured, key))


def machine(device: str) -> dict[str, Any]:
    """Describe the machine: processor, cores, memory, GPU and versions; no names of hosts, users or folders."""
    described = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
    }
    if device == "cuda":
        described["gpu"] = _said_by("import torch; print(torch.cuda.get_device_name())")
    described |= {name: importlib.metadata.version(name) for name in LIBRARIES}
    return described | {"saq_eval": _said_by("import saq_eval; print(saq_eval.__version__)")}


def size_of_test_set(dataset: str) -> int:
    """Return the number of a dataset's test images."""
    return int(_said_by(f"import saq_eval; print(len(saq_eval.load_dataset({dataset!r})))"))


def _said_by(code: str) -> str:
    """Return what a line of Python prints in a process of its own; torch would make this process large."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    return done.stdout.strip().splitlines()[-1]


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
