"""What a comparison is asked to do: one checked dataclass, from which every way to ask is derived.

The keyword arguments of `saq_eval.compare`, the options of `saq-eval compare`, the file that `--config` reads, the plan in
`run.json` and the command that repeats a run are all made from the fields of `Plan`. So a new option is one field.
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from saq_eval.core.errors import SaqEvalError, in_short, unknown_name

Target = Literal["label", "predicted", "baseline"]
Group = Literal["what", "how measured", "how run", "where from", "where to"]
MARGIN = 0.2  # in standard deviations: a small effect, by Cohen's convention


def _of(group: Group, says: str, kind: Literal["names", "specs", "switch", ""] = "") -> dict[str, Any]:
    """Return a field's metadata.

    Args:
        group: what the field decides on.
        says: what the command line's help says of it.
        kind: "names" for a list of names, "specs" for one of names with parameters, "switch" for yes or no.
    """
    return {"group": group, "says": says, "kind": kind}


_SPECS = "Comma-separated names, with parameters as in {}, or quick, standard (default) or full."


@dataclass(frozen=True)
class Plan:
    """What is compared, how it is measured, how it is run, where it comes from and where it goes.

    Attributes:
        dataset: a registered name.
        study: "paper" or a file: which models, over all seeds that the zoo holds, methods, metrics and samples;
            each can still be given.
        models: names or shell patterns; by default every model with seed 0.
        baseline: the model that all are compared with; by default each model's full-precision
            parent, which has the same architecture, training and seed. Baselines are always part of the comparison, and so
            is, where the zoo has it, the parent trained on in full precision by the quantized model's recipe: what
            changes up to there is not the bits' doing.
        methods: registered names, with parameters where wanted ("integrated_gradients:n_steps=64"), or the
            names of sets, "quick", "standard" (by default) or "full".
        metrics: likewise ("PixelFlipping:fill=blur"), with sets of the same names.
        target: the class explained: the image's "label", the class "predicted" by each model itself, or the
            class predicted by each model's "baseline". Similarity always compares maps of one class: where a
            model predicts another class than its baseline, the baseline explains the model's class for it.
        samples: test images; by default the study's, or 64.
        seed: of the choice of images, of methods and metrics that draw, of random weights, and of the statistics.
        margin: differences within so many standard deviations of the baseline's scores count as negligible.
        batch_size: images that may pass a network at once.
        workers: processes that share the work; results are the same for any number.
        device: "cpu", "cuda" or "auto".
        progress: show a progress bar where the output is a terminal.
        data_root: see `saq_eval.load_dataset`.
        zoo: a folder beside the built-in zoo.
        trust_code: whether a card may name code outside this package to build its network with.
        output: a folder to write the result to; see `Comparison.write`.
        save_maps: keep the maps in the output folder's `maps`, as they are computed, and take from there those
            that an earlier run left of the same networks, methods, parameters, images, classes and seed: so maps
            can be scored anew without being computed anew, and an interrupted run goes on.
        formats: beside CSV, what else is written: "parquet", "json", "markdown", "latex".
    """

    dataset: str = field(metadata=_of("what", "digits, mnist, fashionmnist or planted."))
    _: KW_ONLY
    study: str | Path | None = field(
        default=None,
        metadata=_of("what", "`paper` or a .yaml file: which models, over all seeds, methods and metrics."),
    )
    models: Sequence[str] | None = field(
        default=None,
        metadata=_of("what", "Names or patterns, comma-separated; may be repeated; by default all of seed 0.", "names"),
    )
    baseline: str | None = field(
        default=None,
        metadata=_of("what", "Compare all with this model instead of each one's fp32 counterpart."),
    )
    methods: Sequence[str] | None = field(
        default=None,
        metadata=_of("how measured", _SPECS.format("integrated_gradients:n_steps=64,fill=blur"), "specs"),
    )
    metrics: Sequence[str] | None = field(
        default=None,
        metadata=_of("how measured", _SPECS.format("FaithfulnessCorrelation:nr_runs=100,subset_size=64"), "specs"),
    )
    target: Target = field(
        default="label",
        metadata=_of("how measured", "The class explained: label (default), predicted, or the baseline's prediction."),
    )
    samples: int | None = field(
        default=None,
        metadata=_of("how measured", "Test images, stratified by class; 64 by default."),
    )
    seed: int = field(
        default=0,
        metadata=_of("how measured", "Of the images and of what draws at random; 0 by default."),
    )
    margin: float = field(
        default=MARGIN,
        metadata=_of(
            "how measured", "Differences within so many standard deviations count as negligible; 0.2 by default."
        ),
    )
    batch_size: int = field(
        default=64,
        metadata=_of("how run", "Images that may pass a network at once; 64 by default."),
    )
    workers: int = field(
        default=1,
        metadata=_of("how run", "Processes that share the work; by default one for each processor core."),
    )
    device: str = field(default="auto", metadata=_of("how run", "cpu, cuda or auto (default)."))
    progress: bool = field(default=True, metadata=_of("how run", ""))
    data_root: str | os.PathLike | None = field(
        default=None,
        metadata=_of("where from", "Folder of the dataset files; else SAQ_EVAL_DATA_ROOT, else the user cache."),
    )
    zoo: str | os.PathLike | None = field(
        default=None,
        metadata=_of("where from", "A zoo folder beside the built-in one; else SAQ_EVAL_ZOO."),
    )
    trust_code: bool = field(
        default=False,
        metadata=_of("where from", "Run code outside saq_eval that a card names to build its network.", "switch"),
    )
    output: str | os.PathLike | None = field(
        default=None,
        metadata=_of("where to", "Folder of the report; by default reports/<dataset>."),
    )
    save_maps: bool = field(
        default=False,
        metadata=_of(
            "where to", "Keep the maps in the output folder, and take those that are there already.", "switch"
        ),
    )
    formats: Sequence[str] = field(
        default=("csv",),
        metadata=_of("where to", "Comma-separated, beside CSV: parquet, json, markdown, latex.", "names"),
    )

    def __post_init__(self) -> None:
        """Check what can be checked without reading a file.

        Raises:
            SaqEvalError: a value of the wrong kind or out of range.
        """
        # The command line makes its options from the fields, and does not wait for torch to do so.
        from saq_eval.core.devices import processor_cores
        from saq_eval.core.randomness import check_seed

        for each in fields(self):
            if each.metadata["kind"] in ("names", "specs"):
                given = _listed(each.name.removesuffix("s"), getattr(self, each.name))
                object.__setattr__(self, each.name, given)
        for name, most in (("samples", None), ("batch_size", 100_000), ("workers", max(16, processor_cores()))):
            value = getattr(self, name)
            if name == "samples" and value is None:
                continue
            if type(value) is not int:
                raise SaqEvalError(f"{name} is a whole number, not {in_short(value)}")
            if most is not None and not 1 <= value <= most:  # of samples, the test set's size is the limit
                raise SaqEvalError(f"{name} lies between 1 and {most}, not {value}")
        if not isinstance(self.margin, (int, float)) or not 0 < self.margin < math.inf:
            raise SaqEvalError(f"margin is above 0, in standard deviations, not {in_short(self.margin)}")
        if not isinstance(self.target, str) or self.target not in get_args(Target):
            raise unknown_name("target", self.target, get_args(Target))
        check_seed(self.seed)
        if self.save_maps and self.output is None:
            raise SaqEvalError("maps are kept in the output folder: name one, or save none")

    def said(self) -> dict[str, Any]:
        """Return the plan as plain data, by field, as `--config` reads it: without what is none or off.

        Where data and zoo lie and where the result goes is left to the reader, and so is how progress is shown.
        """
        given = {name: getattr(self, name) for name in options() if name not in _UNSAID}
        given["formats"] = None if list(self.formats) == ["csv"] else self.formats
        plain = {name: str(value) if isinstance(value, os.PathLike) else value for name, value in given.items()}
        return {name: value for name, value in plain.items() if value is not None and value is not False}

    def command(self) -> str:
        """Return the command line that repeats the run; see `said`."""
        parts = ["saq-eval", "compare"]
        for name, value in self.said().items():
            parts.append(f"--{name.replace('_', '-')}")
            if value is not True:
                parts.append(",".join(value) if isinstance(value, list) else str(value))
        return shlex.join(parts)


# What neither a plan nor its study says.
USUAL: dict[str, Any] = {"methods": ["standard"], "metrics": ["standard"], "samples": 64}
_UNSAID = ("data_root", "zoo", "output", "progress")


def options() -> dict[str, Field]:
    """Return the fields of a plan by name, in order."""
    return {each.name: each for each in fields(Plan)}


def _listed(kind: str, given: Collection[str] | Iterator[str] | str | None) -> list[str] | None:
    """Return the names of several things as a list, where one may stand by itself; none where none are given.

    Raises:
        SaqEvalError: for what is no name.
    """
    if given is None:
        return None
    several = isinstance(given, (Collection, Iterator)) and not isinstance(given, str)
    names: list[Any] = list(given) if several else [given]
    for name in names:
        if not isinstance(name, str):
            raise SaqEvalError(f"a {kind} is asked for by its name, not by {in_short(name)}")
    return names


def merge(*given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of several sources; the later ones, where they say something (not none), come first."""
    return {name: value for source in given for name, value in source.items() if value is not None}
