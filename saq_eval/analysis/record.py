"""The record of a run, `run.json`: the plan, the main results, and everything needed to repeat the run."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any, NotRequired, cast

import numpy as np
from typing_extensions import TypedDict

from saq_eval.analysis import statistics
from saq_eval.analysis.results import Results
from saq_eval.attribution import Explainer
from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.records import parse
from saq_eval.core.specs import stated
from saq_eval.data.masks import MaskRecord
from saq_eval.evaluation.saying import command, said
from saq_eval.evaluation.setup import Setup
from saq_eval.metrics import Scorer

SCHEMA = 2  # the record's version; raised when a field is renamed or removed


class RecordedMethod(TypedDict):
    """An attribution method, its parameters as used for the images' size, and its passes of the network per image."""

    name: str
    parameters: dict[str, Any]
    sign: str
    family: str
    passes: int
    description: str
    settings: str
    reference: str


class RecordedMetric(TypedDict):
    """A metric and all of its settings. An end of its range is `None` if it is infinite."""

    name: str
    category: str
    higher_is_better: bool
    range: list[float | None]
    description: str
    settings: dict[str, Any]
    reference: str


class RecordedNetwork(TypedDict):
    """A network's role in the comparison, the hash or seed of its weights, and how it reads images, if not as they are."""

    role: str
    weights_sha256: str
    baseline: str
    fine_tuned: str | None
    reads: NotRequired[list[str]]


class RecordedMaps(TypedDict):
    """Whether the maps were kept, and how many sets of maps were computed in this run or read from disk."""

    kept: bool
    computed: int
    read: int


class RecordedCells(TypedDict):
    """How many cells were computed in this run, and how many the store held."""

    computed: int
    stored: int


class RecordedFailure(TypedDict):
    """A cell that has failed, and why."""

    model: str
    method: str
    metric: str
    reason: str


class _Added(TypedDict, total=False):
    """Fields that records of earlier versions lack."""

    accuracy_on: int
    image_files: list[str]
    cells: RecordedCells
    failed: list[RecordedFailure]


class Record(_Added):
    """The fields of `run.json`.

    - `command` and `plan` are the request; `dataset` to `metrics` are the settings that followed from it.
    - `test_images` is the size of the test set, `accuracy_on` the number of its images that accuracy is
      measured on, by default all; `image_files` names the sample's files, if it is in files.
    - `batch_size` is the number of images that passed at once: that of the plan, or fewer if these did not fit into memory.
    - `cells` counts the cells, without those that were known to be holes, and `failed` lists those that have failed.
    - `headline` has the first sentences of the report.
    - `interpretability` has, by method, the metrics that separate trained networks from untrained ones. `statistics` has
      the constants of the tests.
    - `models` and, by baseline, `retrained` are the networks, with hashes of their weights. `missing` are the models of
      the study that the zoo does not hold.
    - `wall_seconds` is by stage, summed over the workers; its "elapsed" is the time that passed.
    """

    schema: int
    command: str
    plan: dict[str, Any]
    headline: list[str]
    dataset: str
    study: str | None
    missing: list[str]
    samples: int
    test_images: int
    image_indices: list[int]
    masks: MaskRecord
    target: str
    seed: int
    batch_size: int
    workers: int
    device: str
    methods: dict[str, RecordedMethod]
    metrics: dict[str, RecordedMetric]
    interpretability: dict[str, list[str]]
    statistics: dict[str, float]
    models: dict[str, RecordedNetwork]
    retrained: dict[str, dict[str, str]]
    maps: RecordedMaps
    versions: dict[str, str]
    wall_seconds: dict[str, float]


def check_record(data: Any, source: Path) -> Record:
    """Return plain data as a record.

    Raises:
        SaqEvalError: for a field that is missing or wrong; the message names the source and the field.
    """
    if not isinstance(data, dict):
        raise SaqEvalError(f"{source} is no record of a comparison")
    if data.get("schema") != SCHEMA:
        theirs = in_short(data.get("schema", 1))
        raise SaqEvalError(f"{source} was written by another version: its schema is {theirs}, and {SCHEMA} is read")
    parse(Record, data, source)
    return cast(Record, data)


def record_of(setup: Setup, results: Results, headline: list[str], seconds: dict[str, float]) -> Record:
    """Return the record of a run as plain data.

    Args:
        headline: the report's first sentences.
        seconds: by stage, summed over the workers; "elapsed" is the time that passed.
    """
    plan, grid = setup.plan, results.grid
    shape = setup.settings.sample.image_shape
    return {
        "schema": SCHEMA,
        "command": command(plan),
        "plan": said(plan),
        "headline": headline,
        "dataset": setup.test_set.name,
        "study": setup.study,
        "missing": setup.missing,
        "samples": len(setup.settings.sample),
        "test_images": len(setup.test_set),
        "accuracy_on": len(setup.measured),
        "image_indices": setup.settings.sample.indices.tolist(),
        "image_files": list(setup.settings.sample.files),
        "masks": setup.masks,
        "target": plan.target,
        "seed": plan.seed,
        "batch_size": grid.batch_size or setup.settings.batch_size,
        "workers": plan.workers,
        "device": setup.settings.device,
        "methods": {e.label: _method(e, shape) for e in setup.settings.methods_of("model")},
        "metrics": {scorer.label: _metric(scorer, shape) for scorer in setup.settings.scorers},
        "interpretability": {
            method: [scorer.label for scorer in results.composite.pairs.get(method, ())] for method in results.methods
        },
        "statistics": {
            "confidence": statistics.CONFIDENCE,
            "level": statistics.LEVEL,
            "fewest_images": statistics.ENOUGH,
            "fewest_networks": statistics.NETWORKS,
            "margin": plan.margin,
            "same_maps": statistics.SAME_MAPS,
        },
        "models": {
            subject.name: {
                "role": subject.role,
                "weights_sha256": setup.networks[subject.name].weights,
                "baseline": subject.baseline,
                "fine_tuned": subject.fine_tuned or None,
                "reads": list(setup.networks[subject.name].reads),
            }
            for subject in setup.subjects
            if subject.role != "retrained"
        },
        "retrained": setup.retrained,
        "cells": {"computed": grid.computed, "stored": grid.stored},
        "failed": [
            {"model": cell.subject.name, "method": cell.method, "metric": cell.metric, "reason": reason}
            for cell, reason in grid.failed.items()
        ],
        "maps": {
            "kept": plan.save_maps,
            "computed": sum(maps.computed for maps in grid.explained.values()),
            "read": sum(not maps.computed for maps in grid.explained.values()),
        },
        "versions": _versions(),
        "wall_seconds": seconds,
    }


def _method(explainer: Explainer, shape: tuple[int, int, int]) -> RecordedMethod:
    method, used = explainer.method, explainer.settings(shape)
    return {
        "name": method.name,
        "parameters": used,
        "sign": method.sign,
        "family": method.family,
        "passes": explainer.passes(shape),
        "description": method.description,
        "settings": stated(used),
        "reference": method.reference,
    }


def _metric(scorer: Scorer, shape: tuple[int, int, int]) -> RecordedMetric:
    metric = scorer.metric
    return {
        "name": metric.name,
        "category": metric.category,
        "higher_is_better": metric.higher_is_better,
        "range": [float(end) if np.isfinite(end) else None for end in metric.range],
        "description": metric.description,
        "settings": scorer.settings(shape),
        "reference": metric.reference,
    }


def _versions() -> dict[str, str]:
    packages = (
        *("saq_eval", "torch", "torchvision", "captum", "zennit", "quantus"),
        *("scikit-image", "pot", "scipy", "numpy", "pandas"),
    )
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
