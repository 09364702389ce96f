"""The configuration file of a comparison: the command line's options, written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import ConfigDict

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.records import read_record

Named = str | dict[str, dict[str, str | int | float]]


@dataclass(frozen=True)
class Configuration:
    """What a file such as this one says; the fields are the arguments of `saq_eval.compare`, and all may be left out.

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
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    dataset: str | None = None
    study: str | None = None
    models: list[str] | None = None
    baseline: str | None = None
    methods: list[Named] | None = None
    metrics: list[Named] | None = None
    target: str | None = None
    samples: int | None = None
    seed: int | None = None
    margin: float | None = None
    batch_size: int | None = None
    workers: int | None = None
    device: str | None = None
    data_root: Path | None = None
    zoo: Path | None = None
    output: Path | None = None
    formats: list[str] | None = None
    save_maps: bool | None = None

    def arguments(self) -> dict[str, Any]:
        """Return what the file says, as keyword arguments of `saq_eval.compare`."""
        said = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("methods", "metrics"):
            if said[name] is not None:
                said[name] = [_spec(name.removesuffix("s"), named) for named in said[name]]
        return {name: value for name, value in said.items() if value is not None}


def _spec(kind: str, named: Named) -> str:
    if isinstance(named, str):
        return named
    if len(named) != 1:
        raise SaqEvalError(f"a {kind} in the configuration is a name, or one name with its parameters, not {named}")
    ((name, parameters),) = named.items()
    return f"{name}:{','.join(f'{key}={value}' for key, value in parameters.items())}" if parameters else name


def read_configuration(path: Path) -> dict[str, Any]:
    """Return the keyword arguments of `saq_eval.compare` that a YAML file gives.

    Paths in it are relative to the working directory, as on the command line.

    Raises:
        SaqEvalError: a file that cannot be read, an unknown field or a value of the wrong kind.
    """
    return read_record(Configuration, path).arguments()


def merge(configured: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a file, overridden by those that are given (not none) on the command line."""
    return {**configured, **{name: value for name, value in given.items() if value is not None}}
