"""Options that several commands share, and functions that turn their texts into values."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.evaluation.plan import options

_SAYS = {name: option.metadata["says"] for name, option in options().items()}

DatasetOption = Annotated[str, typer.Option(help=_SAYS["dataset"])]
SizeOption = Annotated[int | None, typer.Option(help=_SAYS["size"])]
ClassesOption = Annotated[Path | None, typer.Option(help=_SAYS["classes"])]
CropOption = Annotated[int | None, typer.Option(help=_SAYS["crop"])]
ZooOption = Annotated[Path | None, typer.Option(help=_SAYS["zoo"])]
DataRootOption = Annotated[Path | None, typer.Option(help=_SAYS["data_root"])]
ArgumentsOption = Annotated[
    str, typer.Option(help="Keyword arguments of the architecture, as JSON or YAML: '{width: 16}'.")
]
TrustOption = Annotated[bool, typer.Option("--trust-code", help=_SAYS["trust_code"])]
ModelOption = Annotated[
    list[str] | None,
    typer.Option(help="A network outside the zoo, NAME=SOURCE; may be repeated. `saq-eval sources` says which."),
]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or auto.")]
OnlyDatasetOption = Annotated[str | None, typer.Option(help="Only models of this dataset.")]
TargetZooOption = Annotated[Path | None, typer.Option(help="The zoo folder to write to; else SAQ_EVAL_ZOO.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")]


def names(given: Iterable[str] | None) -> list[str]:
    """Return the names in comma-separated lists."""
    return [name.strip() for part in given or () for name in part.split(",") if name.strip()]


def named_source(text: str) -> str:
    """Return the text of `--model`; raises `SaqEvalError` unless it has the form NAME=SOURCE."""
    name, equals, source = (part.strip() for part in text.partition("="))
    if not (name and equals and source) or ":" in name:  # which a source has, whose own "=" it then was
        raise SaqEvalError(
            f"--model takes NAME=SOURCE, as in fp32=torchvision:resnet18@weights.safetensors, not {text!r}; a model of the "
            "zoo is named by --models"
        )
    return f"{name}={source}"


def numbers(text: str) -> list[float]:
    """Return the numbers in a comma-separated list; raises `SaqEvalError` if one is none."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SaqEvalError(f"numbers are separated by commas, as in 0.5,0.5,0.5, not {text!r}") from None


def arguments_of(text: str) -> dict[str, Any]:
    """Return the mapping in the text of `--arguments`; raises `SaqEvalError` if it is no mapping."""
    from saq_eval.core.yaml_data import plain_data

    wanted = f"--arguments is a mapping from names to values, such as '{{width: 16}}', not {in_short(text)}"
    try:
        arguments = plain_data(text)  # JSON is a part of YAML
    except SaqEvalError as error:
        raise SaqEvalError(f"{wanted}: {error}") from error
    if not isinstance(arguments, dict) or not all(isinstance(name, str) for name in arguments):
        raise SaqEvalError(wanted)
    return arguments
