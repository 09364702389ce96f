"""The file that `--config` reads: a plan in YAML, or the record of an earlier run."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from typing_extensions import TypedDict

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.records import parse, read_yaml
from saq_eval.evaluation.plan import Plan, kinds

Named = str | dict[str, dict[str, str | int | float]]
_UNWRITTEN = ("progress", "trust_code")  # a file must not allow code to run or set how progress is shown


def _configuration() -> type:
    """Return the type of a file's content: the fields of a plan, all of them optional."""
    hints = typing.get_type_hints(Plan)
    written = {"names": list[str], "specs": list[Named], "numbers": list[float], "path": Path}
    types = {name: written.get(kind, hints[name]) for name, kind in kinds().items() if name not in _UNWRITTEN}
    types["dataset"] = str
    Configuration = TypedDict("Configuration", types, total=False)  # type: ignore[misc]  # made from the plan's fields
    Configuration.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]  # where Pydantic looks
    return Configuration


Configuration = _configuration()


def read_configuration(path: Path) -> dict[str, Any]:
    """Return keyword arguments of `saq_eval.compare` from a YAML file or from the `run.json` of an earlier run.

    The fields are those of `saq_eval.evaluation.plan.Plan`. All of them are optional:

    ```yaml
    dataset: fashionmnist
    models: [cnn-fp32, "cnn-w*"]
    methods:
      - saliency
      - integrated_gradients: {n_steps: 64, fill: blur}
    metrics: [standard, {FaithfulnessCorrelation: {nr_runs: 200}}]
    target: predicted
    samples: 256
    ```

    Paths in the file are relative to the working directory, as on the command line.

    Raises:
        SaqEvalError: a file that cannot be read, an unknown field or a value of the wrong kind.
    """
    data = read_yaml(path)  # JSON is YAML
    if isinstance(data, dict) and {"headline", "versions"} <= data.keys():
        if "plan" not in data:
            raise SaqEvalError(f"{path} was written by an earlier version: it does not say what was asked for")
        data = data["plan"]
    said: dict[str, Any] = dict(parse(Configuration, data, path))
    objects = [
        text for part in said.values() for text in (part if isinstance(part, list) else [part]) if _is_object(text)
    ]
    if objects:
        raise SaqEvalError(f"{path}: {objects[0]} was given as an object in Python; no file can name it")
    for name in ("methods", "metrics"):
        if name in said:
            said[name] = [_spec(name.removesuffix("s"), named) for named in said[name]]
    return said


def _is_object(text: Any) -> bool:
    """Tell whether a text stands for an object that was given in Python; see `Plan.said`."""
    return isinstance(text, str) and text.endswith(">") and (text.startswith("<") or "=<" in text)


def _spec(kind: str, named: Named) -> str:
    if isinstance(named, str):
        return named
    if len(named) != 1:
        raise SaqEvalError(f"a {kind} in the configuration is a name, or one name with its parameters, not {named}")
    ((name, parameters),) = named.items()
    return f"{name}:{','.join(f'{key}={value}' for key, value in parameters.items())}" if parameters else name
