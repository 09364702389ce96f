"""How the work of a comparison is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from saq_eval.evaluation.executors import Executor
from saq_eval.evaluation.store import Key

OnStep = Callable[[str, float], object]


@dataclass(frozen=True)
class How:
    """How the work of a comparison is done.

    Attributes:
        executor: what computes.
        fail_fast: whether the first cell that fails ends the run.
        part: (number, count): compute only the jobs of this part of so many, from 1; `None` for all.
        on_keys: called before anything is computed, with the keys of the entries that the run will use; perhaps several times.
    """

    executor: Executor
    fail_fast: bool = False
    part: tuple[int, int] | None = None
    on_keys: Callable[[list[Key]], object] = lambda keys: None
