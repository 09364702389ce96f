"""How a plan is said: as plain data, and as the command that repeats the run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

from saq_eval.evaluation.plan import Plan, is_zoo_name, options

_UNSAID = ("data_root", "zoo", "output", "progress", "executor", "scheduler", "store", "fresh", "join")


def said(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain data, by field, in the form that `--config` reads.

    Fields that are `None` or false are left out, and so are those that depend on the machine (`_UNSAID`). An object that was
    given in Python is stated by its name or kind, in angle brackets, which `--config` refuses.
    """
    given = {name: getattr(plan, name) for name in options() if name not in _UNSAID}
    given["formats"] = None if list(plan.formats) == ["csv"] else plan.formats
    given["dataset"] = _text(plan.dataset)
    if isinstance(plan.models, Mapping):
        given["models"] = [
            name if is_zoo_name(name, value) else f"{name}={_text(value)}" for name, value in plan.models.items()
        ]
    for name in ("methods", "metrics"):
        given[name] = None if given[name] is None else [_text(each) for each in given[name]]
    plain = {name: str(value) if isinstance(value, os.PathLike) else value for name, value in given.items()}
    return {name: value for name, value in plain.items() if value is not None and value is not False}


def command(plan: Plan) -> str:
    """Return the command line that repeats the run, or a call in Python if objects were given; see `said`."""
    given = said(plan)
    if plan.is_of_objects:
        dataset = given.pop("dataset")
        return f"saq_eval.compare({', '.join([dataset, *(f'{name}={value!r}' for name, value in given.items())])})"
    parts = ["saq-eval", "compare"]
    for outside in [model for model in given.get("models", ()) if "=" in model]:
        given["models"] = [model for model in given["models"] if model != outside]
        parts += ["--model", outside]
    for name, value in given.items():
        if value == []:
            continue
        parts.append(f"--{name.replace('_', '-')}")
        if value is not True:
            parts.append(",".join(map(str, value)) if isinstance(value, list) else str(value))
    return shlex.join(parts)


def _text(given: Any) -> str:
    """Return a text, or an object's name or kind in angle brackets."""
    if isinstance(given, str):
        return given
    name = getattr(given, "__name__", None)
    return f"<{name if isinstance(name, str) else type(given).__name__}>"
