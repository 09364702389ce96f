"""The choice of the images that a report shows, with their maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from saq_eval.analysis import statistics
from saq_eval.analysis.results import Results
from saq_eval.evaluation.cells import Cell
from saq_eval.evaluation.grid import Grid

PER_GROUP = 6


def choose_images(grid: Grid) -> dict[str, list[int]]:
    """Return groups of images by name, as positions in the sample.

    "worst changed" and "best kept" are the images whose maps are least and most similar to the baseline's, on average
    over quantized networks, methods and similarities. "misclassified only when quantized" are images that the baseline
    classifies correctly and at least one quantized network does not. Each class has a group with its first image.
    """
    sample = grid.settings.sample
    labels = sample.labels.numpy()
    groups: dict[str, list[int]] = {}
    quantized = [s for s in grid.subjects if s.role == "model" and not s.is_baseline and not s.is_fine_tuned]
    likeness = [
        (1 if scorer.metric.higher_is_better else -1) * grid.scores(s, explainer.label, scorer.label)
        for s in quantized
        for explainer in grid.settings.explainers
        for scorer in grid.settings.scorers
        if scorer.metric.category == "similarity"
    ]
    if likeness:
        alike = statistics.mean_of(likeness)
        order = [int(place) for place in np.argsort(alike, kind="stable") if not np.isnan(alike[place])]
        if order:
            groups["worst changed"], groups["best kept"] = order[:PER_GROUP], order[::-1][:PER_GROUP]
    lost = np.zeros(len(labels), dtype=bool)
    for subject in quantized:
        lost |= (grid.predictions[subject.name] != labels) & (grid.predictions[subject.baseline] == labels)
    if lost.any():
        groups["misclassified only when quantized"] = np.flatnonzero(lost)[:PER_GROUP].tolist()
    for label in np.unique(labels):
        groups[sample.class_names[label]] = [int(np.flatnonzero(labels == label)[0])]
    return groups


def gallery_of(results: Results, groups: dict[str, list[int]]) -> dict[str, Any]:
    """Return a report's gallery: the chosen images, networks' maps and predictions, and SSIM to the baseline's maps.

    Of networks that differ only in the seed, only those with the first baseline's seed are shown, because all of them
    would not fit on a page.

    Args:
        groups: see `choose_images`.

    Returns:
        The arguments of `saq_eval.reporting.Gallery.of`.
    """
    grid = results.grid
    sample = grid.settings.sample
    seeds = {name: network.seed for name, network in results.models.items()}
    first = next(s for s in grid.subjects if s.is_baseline)
    shown = {name: s for name, s in grid.by_name.items() if seeds[s.baseline] == seeds[first.name]}
    positions = np.array(sorted({place for places in groups.values() for place in places}))
    row_of = {int(position): row for row, position in enumerate(positions)}
    maps, ssim = {}, {}
    for name, subject in shown.items():
        for explainer in grid.settings.methods_of(subject.role):
            key = (name, explainer.label)
            if grid.degenerate(subject, explainer.label) is None:
                continue
            maps[key] = np.array(grid.maps(name, explainer.label)[positions])
            if Cell(subject, explainer.label, "SSIM") in grid.cells:
                ssim[key] = grid.scores(subject, explainer.label, "SSIM")[positions]
    return dict(
        images=sample.images.numpy()[positions],
        indices=sample.indices.numpy()[positions],
        files=sample.file_names(positions),
        labels=sample.labels.numpy()[positions],
        class_names=sample.class_names,
        predictions={name: grid.predictions[name][positions] for name in shown},
        groups={group: [row_of[place] for place in places] for group, places in groups.items()},
        maps=maps,
        ssim=ssim,
    )
