"""Tests, one file for each module of `saq_eval`, in folders as there; those in `validation` take minutes."""

from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the repository
BUILTIN = ROOT / "model_zoo"
