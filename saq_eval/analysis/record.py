"""The record of a run, `run.json`: what was asked for and found, and all that it takes to repeat it."""

from __future__ import annotations

import importlib.metadata
import platform
from typing import Any

import numpy as np

from saq_eval.analysis import statistics
from saq_eval.analysis.results import Results
from saq_eval.attribution import Explainer
from saq_eval.evaluation.setup import Setup
from saq_eval.metrics import Scorer

SCHEMA = 2  # of the record; raised when a field is renamed or goes away


def record_of(setup: Setup, results: Results, headline: list[str], seconds: dict[str, float]) -> dict[str, Any]:
    """Return the record of a run as plain data.

    Args:
        headline: the sentences that the report begins with.
        seconds: by stage, added up over the workers; "elapsed", as a clock on the wall says.
    """
    plan, grid = setup.plan, results.grid
    shape = setup.settings.sample.image_shape
    return {
        "schema": SCHEMA,
        "command": plan.command(),
        "plan": plan.said(),
        "headline": headline,
        "dataset": plan.dataset,
        "study": setup.study,
        "missing": setup.missing,  # models of the study that the zoo does not hold
        "samples": plan.samples,
        "test_images": len(setup.test_set),
        "image_indices": setup.settings.sample.indices.tolist(),
        "masks": setup.masks,  # of the sample, for localisation
        "target": plan.target,
        "seed": plan.seed,
        "batch_size": plan.batch_size,
        "workers": plan.workers,
        "device": setup.settings.device,
        "methods": {e.label: _method(e) for e in setup.settings.methods_of("model")},
        "metrics": {scorer.label: _metric(scorer, shape) for scorer in setup.settings.scorers},
        # What interpretability is measured by: of each method, the metrics that tell trained networks from untrained.
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
            }
            for subject in setup.subjects
            if subject.role != "retrained"
        },
        "retrained": setup.retrained,
        "maps": {
            "kept": plan.save_maps,
            "computed": sum(maps.computed for maps in grid.explained.values()),
            "read": sum(not maps.computed for maps in grid.explained.values()),
        },
        "versions": _versions(),
        "wall_seconds": seconds,
    }


def _method(explainer: Explainer) -> dict[str, Any]:
    method = explainer.method
    return {
        "name": method.name,
        "parameters": explainer.parameters,
        "sign": method.sign,
        "family": method.family,
        "passes": explainer.passes,
        "description": method.description,
        "settings": explainer.settings,
        "reference": method.reference,
    }


def _metric(scorer: Scorer, shape: tuple[int, int, int]) -> dict[str, Any]:
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
