"""Asking for a comparison: its plan's fields as a function's arguments, and where its store is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from saq_eval.core.paths import user_path
from saq_eval.evaluation.plan import Plan
from saq_eval.evaluation.store.store import STORE

P = ParamSpec("P")
R = TypeVar("R")


def asked_by(plan: Callable[P, Plan]) -> Callable[[Callable[[Plan], R]], Callable[P, R]]:
    """Make a function of a plan take the plan's fields as its arguments."""

    def wrap(function: Callable[[Plan], R]) -> Callable[P, R]:
        @functools.wraps(function)
        def asked(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                bound = inspect.signature(plan).bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            return function(plan(*bound.args, **bound.kwargs))

        asked.__signature__ = inspect.signature(plan).replace(  # type: ignore[attr-defined]  # what help() shows
            return_annotation=function.__annotations__["return"]
        )
        return asked

    return wrap


def store_of(plan: Plan) -> Path | None:
    """Return the folder of a comparison's store, which may not exist yet; `None` if it keeps none."""
    if plan.store is not None:
        return user_path(plan.store)
    return None if plan.output is None else user_path(plan.output) / STORE
