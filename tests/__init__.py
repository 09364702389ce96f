"""Tests, one file for each module of `saq_eval`, in folders as there; those in `validation` take minutes."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the repository
BUILTIN = ROOT / "model_zoo"

# Processes that share the tests have one thread each, as have the processes that these start. It is said here, which is
# imported first: NumPy's library of linear algebra asks when it is loaded.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
