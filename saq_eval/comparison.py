"""The comparison: a grid of models × methods × metrics over the same images, and its result."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import platform
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from saq_eval import statistics
from saq_eval.attribution import METHODS, explain
from saq_eval.datasets import Dataset, load_dataset
from saq_eval.devices import pick_device
from saq_eval.errors import SaqEvalError, unknown_name
from saq_eval.metrics import METRICS, Task, is_degenerate
from saq_eval.paths import user_path
from saq_eval.quantization.costs import layer_costs
from saq_eval.randomness import check_seed, deterministic
from saq_eval.reporting import write_report
from saq_eval.reporting.gallery import Gallery
from saq_eval.reporting.output import check_writable
from saq_eval.training.loop import accuracy, predict
from saq_eval.zoo import Model, check_reads, find_models, open_model
from saq_eval.zoo.cards import Card

_MODEL_COLUMNS = ["dataset", "model", "scheme", "weight_bits", "activation_bits", "training", "seed"]


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    Attributes:
        scores: one row per model × method × metric × image; the score is NaN where it is undefined.
        summary: one row per model × method × metric: mean over images, 95 % interval, and the
            difference to the baseline model, paired by image.
        models: one row per model: accuracy, size at its bit width.
        run: the configuration, seeds, versions, weight hashes and wall times.
        gallery: a few images with every model's maps.
    """

    scores: pd.DataFrame
    summary: pd.DataFrame
    models: pd.DataFrame
    run: dict[str, Any]
    gallery: Gallery

    def overview(self) -> pd.DataFrame:
        """Return a table for people: per model its accuracy, size, and each metric's mean over methods, as text."""
        means = self.summary.groupby(["model", "metric"])["mean"].mean()
        table = pd.DataFrame(
            {
                "model": self.models["model"],
                "accuracy %": [f"{100 * value:.2f}" for value in self.models["accuracy"]],
                "KiB": [f"{value:.0f}" for value in self.models["size_kib"]],
            }
        )
        for metric in dict.fromkeys(self.summary["metric"]):
            table[metric] = [f"{means[model, metric]:.3f}" for model in table["model"]]
        return table

    def write(self, output: str | os.PathLike) -> list[Path]:
        """Write `scores.csv`, `summary.csv`, `models.csv`, `report.html` and `run.json` into a folder, each of them whole.

        Raises:
            SaqEvalError: if the folder cannot be written.
        """
        return write_report(user_path(output), self.scores, self.summary, self.models, self.run, self.gallery)


def compare(
    dataset: str,
    *,
    models: Sequence[str] | None = None,
    baseline: str | None = None,
    methods: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    samples: int = 64,
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    data_root: str | os.PathLike | None = None,
    zoo: str | os.PathLike | None = None,
    trust_code: bool = False,
    output: str | os.PathLike | None = None,
    progress: bool = True,
) -> Comparison:
    """Compare the saliency maps of the zoo's models on one dataset.

    Every model explains the same test images, stratified by class, for the same class: the label.

    Args:
        dataset: a registered name.
        models: names or shell patterns; by default every model with seed 0.
        baseline: the model that all are compared with; by default each model's full-precision
            parent, which has the same architecture, training and seed. Baselines are always part of the comparison.
        methods, metrics: registered names; by default all.
        samples: test images.
        seed: of the choice of images, of methods and metrics that draw, and of the bootstrap.
        batch_size: images in a chunk.
        device: "cpu", "cuda" or "auto".
        data_root: see `saq_eval.load_dataset`.
        zoo: a folder beside the built-in zoo.
        trust_code: whether a card may name code outside this package to build its network with.
        output: a folder to write the result to; see `Comparison.write`.
        progress: show a progress bar where the output is a terminal.

    Raises:
        SaqEvalError: an unknown name, a count out of range, a file that cannot be read or an output
            folder that cannot be written; nothing has been computed or written then.
    """
    clock = _Clock()
    with clock("loading"):
        method_names = _distinct(METHODS, methods)
        metric_names = _distinct(METRICS, metrics)
        if batch_size < 1:
            raise SaqEvalError(f"batch_size is at least 1, not {batch_size}")
        check_seed(seed)
        torch_device = pick_device(device)
        all_models = find_models(dataset, ["*"], zoo)
        if models is None:
            chosen = [(card, folder) for card, folder in all_models if card.seed == 0]
        else:
            chosen = find_models(dataset, list(models), zoo)
        if not chosen:
            raise SaqEvalError("at least one model is needed")
        entries, baseline_of = _with_baselines(dataset, chosen, baseline, all_models)
        test_set = load_dataset(dataset, "test", data_root)
        subset = test_set.sample(samples, seed)
        loaded = {card.name: open_model(card, folder, trust_code=trust_code) for card, folder in entries}
        for model in loaded.values():
            check_reads(model.card.name, model.network, test_set)
        if output is not None:
            check_writable(user_path(output))

    grid = _Grid(subset, method_names, metric_names, seed, batch_size, torch_device)
    baselines_first = sorted(loaded, key=lambda name: name not in baseline_of.values())
    bar = tqdm(total=len(loaded) * len(method_names), unit="map set", disable=None if progress else True)
    with bar, deterministic():
        for name in baselines_first:
            grid.evaluate(name, loaded[name].network, baseline_of[name], test_set, clock, bar)

    with clock("statistics"):
        scores = _scores(loaded, grid)
        summary = _summary(loaded, baseline_of, grid)
    run = {
        "command": _command(dataset, models, baseline, method_names, metric_names, samples, seed, batch_size, device),
        "dataset": dataset,
        "samples": samples,
        "test_images": len(test_set),
        "image_indices": subset.indices.tolist(),
        "target": "label",
        "seed": seed,
        "batch_size": batch_size,
        "device": torch_device.type,
        "threads": torch.get_num_threads(),
        "methods": {
            name: {"reference": METHODS[name].reference, "description": METHODS[name].description}
            for name in method_names
        },
        "metrics": {
            name: {
                "reference": METRICS[name].reference,
                "settings": METRICS[name].settings(tuple(subset.images.shape[1:])),
            }
            for name in metric_names
        },
        "statistics": {"bootstrap_resamples": statistics.RESAMPLES, "confidence": statistics.CONFIDENCE},
        "models": {
            name: {"weights_sha256": model.card.weights_sha256, "baseline": baseline_of[name]}
            for name, model in loaded.items()
        },
        "degenerate_maps": {name: grid.degenerate[name] for name in loaded},
        "versions": _versions(),
        "wall_seconds": clock.seconds,
    }
    result = Comparison(scores, summary, _models(loaded, baseline_of, grid), run, grid.gallery)
    if output is not None:
        result.write(output)
    return result


class _Grid:
    """The cells of a comparison, filled model by model.

    Attributes:
        cells: by (model, method, metric), the images' scores, float64 (n,).
        chances: by (model, method, metric), the mean chance level, where the metric has one.
        predictions: by model, the predicted classes, int64 (n,).
        accuracies: by model, on the whole test set, 0 to 1.
        degenerate: by model and method, the number of degenerate maps.
        gallery: the maps to show.
    """

    def __init__(
        self,
        sample: Dataset,
        methods: list[str],
        metrics: list[str],
        seed: int,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self.sample, self.methods, self.metrics = sample, methods, metrics
        self.seed, self.batch_size, self.device = seed, batch_size, device
        self.cells: dict[tuple[str, str, str], np.ndarray] = {}
        self.chances: dict[tuple[str, str, str], float] = {}
        self.predictions: dict[str, np.ndarray] = {}
        self.accuracies: dict[str, float] = {}
        self.degenerate: dict[str, dict[str, int]] = {}
        self.gallery = Gallery.of(sample)
        self._masks = sample.masks().numpy()
        self._baseline_maps: dict[tuple[str, str], np.ndarray] = {}

    def evaluate(
        self, model: str, network: nn.Module, baseline: str, test_set: Dataset, clock: _Clock, bar: tqdm
    ) -> None:
        """Fill a model's cells; its baseline, unless it is its own, comes first."""
        network = network.to(self.device)
        images, targets = self.sample.images.to(self.device), self.sample.labels.to(self.device)
        indices = self.sample.indices.numpy()
        self.degenerate[model] = {}
        with clock("prediction"):
            self.accuracies[model] = accuracy(network, test_set)
            self.predictions[model] = predict(network, self.sample.images, self.batch_size).argmax(dim=1).numpy()
        for method in self.methods:
            bar.set_description(f"{model} {method}")
            with clock("attribution"):
                maps = explain(
                    method, network, images, targets, indices=indices, seed=self.seed, batch_size=self.batch_size
                ).numpy()
            self.gallery.add(model, method, maps)
            self.degenerate[model][method] = int(is_degenerate(maps).sum())
            if model == baseline:
                self._baseline_maps[model, method] = maps
            task = Task(
                network=network,
                images=self.sample.images.numpy(),
                targets=self.sample.labels.numpy(),
                masks=self._masks,
                maps=maps,
                baseline_maps=self._baseline_maps[baseline, method],
                indices=indices,
                seed=self.seed,
                batch_size=self.batch_size,
                device=self.device.type,
            )
            for metric in self.metrics:
                with clock(METRICS[metric].category):
                    self.cells[model, method, metric] = METRICS[metric].score(task)
                    if METRICS[metric].chance is not None:
                        chance = METRICS[metric].chance(task)
                        self.chances[model, method, metric] = statistics.defined_mean(chance)
            bar.update()
        network.cpu()

    def in_order_of(self, models: Iterable[str]) -> Iterator[tuple[tuple[str, str, str], np.ndarray]]:
        """Yield the cells, models in the given order, methods and metrics in theirs."""
        for cell in itertools.product(models, self.methods, self.metrics):
            yield cell, self.cells[cell]


@dataclass
class _Clock:
    """Adds up wall time by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - start, 3)


def _distinct(registry: Any, names: Sequence[str] | None) -> list[str]:
    """Check names against a registry and drop repetitions; none means all."""
    names = list(dict.fromkeys(registry if names is None else names))
    for name in names:
        registry[name]
    if not names:
        raise SaqEvalError(f"at least one {registry.kind} is needed; valid: {', '.join(registry)}")
    return names


def _with_baselines(
    dataset: str, chosen: list[tuple[Card, Path]], baseline: str | None, all_models: list[tuple[Card, Path]]
) -> tuple[list[tuple[Card, Path]], dict[str, str]]:
    """Find each chosen model's baseline.

    Returns:
        The chosen models with all baselines, in the zoo's order, and each one's baseline by name.
    """
    known = {card.name: card for card, _ in all_models}
    if baseline is not None and baseline not in known:
        raise unknown_name(f"{dataset} model", baseline, known)
    baseline_of = {}
    for card, _ in chosen:
        counterpart = baseline or (card.name if card.scheme.is_full_precision else card.parent)
        if counterpart not in known:
            raise SaqEvalError(
                f"the zoo has no full-precision parent {counterpart!r} of {dataset}/{card.name} to compare it with; "
                "name a baseline model"
            )
        baseline_of[card.name] = counterpart
    for name in set(baseline_of.values()):
        baseline_of[name] = name
    entries = [(card, folder) for card, folder in all_models if card.name in baseline_of]
    return entries, {card.name: baseline_of[card.name] for card, _ in entries}


def _describe(model: Model) -> dict[str, Any]:
    """Return the columns that say which model a row is about, `_MODEL_COLUMNS`; bit widths are the hidden layers'."""
    card = model.card
    values = (
        card.dataset,
        card.name,
        card.scheme.name,
        card.scheme.hidden_bits("weight_bits"),
        card.scheme.hidden_bits("activation_bits"),
        card.training,
        card.seed,
    )
    return dict(zip(_MODEL_COLUMNS, values, strict=True))


def _scores(loaded: dict[str, Model], grid: _Grid) -> pd.DataFrame:
    blocks = []
    for (name, method, metric), values in grid.in_order_of(loaded):
        block = {
            **_describe(loaded[name]),
            "method": method,
            "metric": metric,
            "category": METRICS[metric].category,
            "sample": grid.sample.indices.numpy(),
            "label": grid.sample.labels.numpy(),
            "prediction": grid.predictions[name],
            "score": values,
        }
        blocks.append(pd.DataFrame(block))
    return pd.concat(blocks, ignore_index=True)


def _summary(loaded: dict[str, Model], baseline_of: dict[str, str], grid: _Grid) -> pd.DataFrame:
    rows = []
    for (name, method, metric), values in grid.in_order_of(loaded):
        difference = values - grid.cells[baseline_of[name], method, metric]
        mean, low, high = statistics.mean_interval(values, grid.seed)
        delta, delta_low, delta_high = statistics.mean_interval(difference, grid.seed)
        rows.append(
            {
                **_describe(loaded[name]),
                "method": method,
                "metric": metric,
                "category": METRICS[metric].category,
                "higher_is_better": METRICS[metric].higher_is_better,
                "n": int((~np.isnan(values)).sum()),
                "mean": mean,
                "ci_low": low,
                "ci_high": high,
                "baseline": baseline_of[name],
                "delta": delta,
                "delta_ci_low": delta_low,
                "delta_ci_high": delta_high,
                "chance": grid.chances.get((name, method, metric), np.nan),
            }
        )
    return pd.DataFrame(rows)


def _models(loaded: dict[str, Model], baseline_of: dict[str, str], grid: _Grid) -> pd.DataFrame:
    rows = []
    for name, model in loaded.items():
        rows.append(
            {
                **_describe(model),
                "first_last_bits": model.card.scheme.ends.weight_bits,
                "accuracy": grid.accuracies[name],
                "baseline": baseline_of[name],
                "accuracy_delta": grid.accuracies[name] - grid.accuracies[baseline_of[name]],
                "parameters": model.parameters,
                "size_kib": model.ideal_bytes / 1024,
                "file_kib": model.file_bytes / 1024,
                "compression_ratio": 4 * model.parameters / model.ideal_bytes,
                "bops": sum(
                    layer.bops for layer in layer_costs(model.frozen, model.card.scheme, grid.sample.images[:1])
                ),
            }
        )
    return pd.DataFrame(rows)


def _command(
    dataset: str,
    models: Sequence[str] | None,
    baseline: str | None,
    methods: list[str],
    metrics: list[str],
    samples: int,
    seed: int,
    batch_size: int,
    device: str,
) -> str:
    """Return the command line that repeats a run; where data and zoo lie is the reader's business."""
    options = {
        "dataset": dataset,
        "models": None if models is None else ",".join(models),
        "baseline": baseline,
        "methods": ",".join(methods),
        "metrics": ",".join(metrics),
        "samples": samples,
        "seed": seed,
        "batch-size": batch_size,
        "device": device,
    }
    parts = [part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))]
    return shlex.join(["saq-eval", "compare", *parts])


def _versions() -> dict[str, str]:
    packages = ("saq_eval", "torch", "torchvision", "captum", "quantus", "scikit-image", "scipy", "numpy", "pandas")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
