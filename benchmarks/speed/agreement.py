"""Whether the suite and the script give the same maps and scores.

Deterministic scores are compared image by image. The suite averages over the orders of tied pixels and the script takes one
order, so images where that order may change the script's score are left out and counted. Of random metrics the means over
the images are compared, beside the standard error of their difference, since the two sides draw differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.speed.answer import read_arrays
from benchmarks.speed.study import Study

if TYPE_CHECKING:
    from saq_eval.data.fills import Fill

EQUAL = 1e-4  # the largest difference of scores, or of maps over their largest magnitude, that are called equal
# Maps that differ by rounding may rank two pixels differently, which changes a score by a step.
SHARE = 0.99
SPREAD = 4.0  # standard errors within which means of random scores agree
MAPS = "maps by {}"


def agreement(study: Study, suite: Path, script: Path) -> pd.DataFrame:
    """Return a row for each method's maps and each metric; see `reports/benchmark/README.md`, which prints them.

    Columns:
        what: "maps by METHOD", or a metric's label.
        kind: "equal" if values are compared one by one, "mean" if means are.
        compared, left_out: the numbers of values that are and are not compared.
        difference: the largest difference, or that of the means.
        within: the share of values that are equal; or the standard error of the difference of the means.
        agrees: whether that share is at least `SHARE`, or the difference at most `SPREAD` standard errors.
    """
    from saq_eval import load_dataset
    from saq_eval.metrics.base import find_scorer

    (our_maps, ours), (their_maps, theirs) = read_arrays(suite), read_arrays(script)
    sample = load_dataset(study.dataset).sample(study.images, study.seed)
    images, masks = sample.images.numpy(), sample.masks().numpy()
    rows = []
    for method in study.methods:
        pairs = [(our_maps[name, method], their_maps[name, method]) for name in study.networks]
        differences = [np.abs(a - b).max(axis=(1, 2)) / np.maximum(np.abs(b).max(axis=(1, 2)), 1e-12) for a, b in pairs]
        rows.append(_equal(MAPS.format(method), np.concatenate(differences), left_out=0))
    for metric in study.metrics:
        keys = [(name, method, metric) for name in study.networks for method in study.methods]
        differences = [ours[key] - theirs[key] for key in keys]
        scorer = find_scorer(metric)
        if scorer.metric.random:
            rows.append(_means(metric, np.stack(differences)))
            continue
        fill = scorer.settings(sample.image_shape).get("fill")
        ties = [_ties(scorer.metric.name, fill, their_maps[key[:2]], images, masks) for key in keys]
        rows.append(_one_by_one(metric, differences, ties))
    return pd.DataFrame(rows)


def _ties(metric: str, fill: Fill | None, maps: np.ndarray, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Tell for which images the order of tied pixels may change the script's score: bool (n,)."""
    from saq_eval.metrics.hiding import changeable, order_matters
    from saq_eval.metrics.maps import read

    if fill is not None:
        return order_matters(read("signed maps", maps), changeable(images, fill))
    falling = -np.sort(-np.abs(maps.reshape(len(maps), -1)), axis=1)
    if metric == "PointingGame":
        return falling[:, 0] == falling[:, 1]
    if metric == "RelevanceRankAccuracy":
        rows, counts = np.arange(len(maps)), masks.reshape(len(masks), -1).sum(axis=1)
        last = np.clip(counts, 1, falling.shape[1] - 1)
        return (falling[rows, last - 1] == falling[rows, last]) | (falling[rows, last - 1] == 0)
    return np.zeros(len(maps), dtype=bool)


def _one_by_one(what: str, differences: Sequence[np.ndarray], ties: Sequence[np.ndarray]) -> dict[str, object]:
    every, tied = np.concatenate(differences), np.concatenate(ties)
    return _equal(what, every[~tied & np.isfinite(every)], left_out=int((tied | ~np.isfinite(every)).sum()))


def _equal(what: str, differences: np.ndarray, left_out: int) -> dict[str, object]:
    sizes = np.abs(differences)
    within = float((sizes <= EQUAL).mean()) if len(sizes) else np.nan
    return {
        "what": what,
        "kind": "equal",
        "compared": len(sizes),
        "left_out": left_out,
        "difference": float(sizes.max()) if len(sizes) else np.nan,
        "within": within,
        "agrees": within >= SHARE,
    }


def _means(what: str, differences: np.ndarray) -> dict[str, object]:
    """Compare means. Images draw independently; methods and networks need not, so each image counts once."""
    finite = np.isfinite(differences)
    counts = finite.sum(axis=0)
    by_image = np.where(finite, differences, 0).sum(axis=0)[counts > 0] / counts[counts > 0]
    error = float(by_image.std(ddof=1) / np.sqrt(len(by_image)))
    return {
        "what": what,
        "kind": "mean",
        "compared": int(finite.sum()),
        "left_out": int((~finite).sum()),
        "difference": float(by_image.mean()),
        "within": error,
        "agrees": bool(abs(by_image.mean()) <= SPREAD * error + EQUAL),
    }
