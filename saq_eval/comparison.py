"""The comparison: a grid of models × methods × metrics over the same images, and its result."""

from __future__ import annotations

import importlib.metadata
import itertools
import os
import platform
import shlex
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from saq_eval import statistics
from saq_eval.attribution import CONTROLS, Explainer, explain, find_explainers
from saq_eval.attribution.background import background_images
from saq_eval.attribution.store import MapStore
from saq_eval.datasets import Dataset, load_dataset
from saq_eval.devices import pick_device
from saq_eval.errors import SaqEvalError, unknown_name
from saq_eval.grid import Clock, Grid, Settings, Subject, Target
from saq_eval.metrics import METRICS
from saq_eval.paths import user_path
from saq_eval.quantization.costs import layer_costs
from saq_eval.randomness import check_seed, derived_seed, deterministic
from saq_eval.reporting import write_report
from saq_eval.reporting.gallery import Gallery
from saq_eval.reporting.output import check_writable
from saq_eval.zoo import Model, check_reads, find_models, open_model, random_weights
from saq_eval.zoo.cards import Card

MAPS = "maps"  # the folder of the kept maps, in the output folder
RANDOM_WEIGHTS = "random weights"
_MODEL_COLUMNS = ["dataset", "model", "scheme", "weight_bits", "activation_bits", "training", "seed", "role"]
_CONTROL_COLUMNS = [
    *_MODEL_COLUMNS,
    *("method", "metric", "category", "higher_is_better", "control", "n", "mean", "control_mean"),
    *("difference", "ci_low", "ci_high", "verdict"),
]


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    The column `role` tells "model" from "control": the methods `random` and `edges`, and networks with
    random weights, one for each baseline.

    Attributes:
        scores: one row per network × method × metric × image; the score is NaN where it is undefined.
        summary: one row per network × method × metric: mean over images, 95 % interval, the difference to
            the baseline model, paired by image, and the number of degenerate maps.
        controls: one row per model × method × metric × control: the difference to the control's score,
            paired by image, and whether the metric tells the two apart ("better", "worse", "unclear"). A map by
            random weights passes for the baseline's, so it has no rows with other models but for similarity,
            which has none for baselines.
        models: one row per model: accuracy, size at its bit width, surrogate gap.
        run: the configuration, seeds, versions, weight hashes and wall times.
        gallery: a few images with every network's maps.
    """

    scores: pd.DataFrame
    summary: pd.DataFrame
    controls: pd.DataFrame
    models: pd.DataFrame
    run: dict[str, Any]
    gallery: Gallery

    def overview(self) -> pd.DataFrame:
        """Return a table for people: per model its accuracy, size, and each metric's mean over methods, as text."""
        means = self.summary[self.summary["role"] == "model"].groupby(["model", "metric"])["mean"].mean()
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
        """Write `scores.csv`, `summary.csv`, `controls.csv`, `models.csv`, `report.html` and `run.json`, each of them whole.

        Raises:
            SaqEvalError: if the folder cannot be written.
        """
        tables = {"scores": self.scores, "summary": self.summary, "controls": self.controls, "models": self.models}
        return write_report(user_path(output), tables, self.run, self.gallery)


def compare(
    dataset: str,
    *,
    models: Sequence[str] | None = None,
    baseline: str | None = None,
    methods: Sequence[str] = ("standard",),
    metrics: Sequence[str] | None = None,
    target: Target = "label",
    samples: int = 64,
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
    data_root: str | os.PathLike | None = None,
    zoo: str | os.PathLike | None = None,
    trust_code: bool = False,
    output: str | os.PathLike | None = None,
    save_maps: bool = False,
    progress: bool = True,
) -> Comparison:
    """Compare the saliency maps of the zoo's models on one dataset.

    Every model explains the same test images, stratified by class. Beside the methods asked for, two
    controls that know nothing of the network are scored, noise and the image's edges; beside the
    models, their architecture with random weights.

    Args:
        dataset: a registered name.
        models: names or shell patterns; by default every model with seed 0.
        baseline: the model that all are compared with; by default each model's full-precision
            parent, which has the same architecture, training and seed. Baselines are always part of the comparison.
        methods: registered names, with parameters where wanted ("integrated_gradients:n_steps=64"), or the
            names of sets, "quick", "standard" or "full".
        metrics: registered names; by default all.
        target: the class explained: the image's "label", the class "predicted" by each model itself, or the
            class predicted by each model's "baseline". Similarity always compares maps of one class: where a
            model predicts another class than its baseline, the baseline explains the model's class for it.
        samples: test images.
        seed: of the choice of images, of methods and metrics that draw, of random weights, and of the bootstrap.
        batch_size: images that may pass a network at once.
        device: "cpu", "cuda" or "auto".
        data_root: see `saq_eval.load_dataset`.
        zoo: a folder beside the built-in zoo.
        trust_code: whether a card may name code outside this package to build its network with.
        output: a folder to write the result to; see `Comparison.write`.
        save_maps: keep the maps in the output folder's `maps`, as they are computed, and take from there those
            that an earlier run left of the same networks, methods, parameters, images, classes and seed: so maps
            can be scored anew without being computed anew, and an interrupted run goes on.
        progress: show a progress bar where the output is a terminal.

    Raises:
        SaqEvalError: an unknown name, a parameter or count out of range, a network that has a layer for which
            a method has no rule, a file that cannot be read or an output folder that cannot be written; nothing
            has been computed or written then.
    """
    clock = Clock()
    with clock("loading"):
        explainers = [explainer for explainer in find_explainers(methods) if explainer.label not in CONTROLS]
        if not explainers:
            raise SaqEvalError(
                f"{' and '.join(CONTROLS)} are part of every comparison: name a method to compare with them"
            )
        metric_names = _distinct(METRICS, metrics)
        if batch_size < 1:
            raise SaqEvalError(f"batch_size is at least 1, not {batch_size}")
        if target not in get_args(Target):
            raise unknown_name("target", target, get_args(Target))
        check_seed(seed)
        if save_maps and output is None:
            raise SaqEvalError("maps are kept in the output folder: name one, or save none")
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
        background = background_images(explainers, dataset, seed, data_root)
        loaded = {card.name: open_model(card, folder, trust_code=trust_code) for card, folder in entries}
        for model in loaded.values():
            check_reads(model.card.name, model.network, test_set)
        _check_explains(explainers, list(loaded.values()), subset, background)
        subjects = _subjects(loaded, baseline_of, seed, trust_code)
        if output is not None:
            check_writable(user_path(output))

    settings = Settings(explainers, metric_names, target, seed, batch_size, torch_device, background)
    keep = nullcontext(user_path(output) / MAPS) if save_maps else tempfile.TemporaryDirectory(prefix="saq_eval-")
    with keep as folder:
        grid = Grid(subset, test_set, settings, MapStore(Path(folder)))
        total = sum(len(settings.methods_of(subject.role)) for subject in subjects)
        bar = tqdm(total=total, unit="map set", disable=None if progress else True)
        with bar, deterministic():
            for subject in sorted(subjects, key=lambda subject: not subject.is_baseline):
                grid.evaluate(subject, clock, bar)
        grid.release()

    names = [subject.name for subject in subjects]
    about = _descriptions(loaded, subjects, seed)
    with clock("statistics"):
        scores = _scores(names, about, grid)
        summary = _summary(names, about, grid)
        controls = _controls(list(loaded), about, grid)
    run = {
        "command": _command(
            dataset, models, baseline, explainers, metric_names, target, samples, seed, batch_size, device, save_maps
        ),
        "dataset": dataset,
        "samples": samples,
        "test_images": len(test_set),
        "image_indices": subset.indices.tolist(),
        "target": target,
        "seed": seed,
        "batch_size": batch_size,
        "device": torch_device.type,
        "threads": torch.get_num_threads(),
        "methods": {explainer.label: _describe_method(explainer) for explainer in settings.methods_of("model")},
        "metrics": {
            name: {
                "reference": METRICS[name].reference,
                "settings": METRICS[name].settings(tuple(subset.images.shape[1:])),
            }
            for name in metric_names
        },
        "statistics": {"bootstrap_resamples": statistics.RESAMPLES, "confidence": statistics.CONFIDENCE},
        "models": {
            subject.name: {"role": subject.role, "weights_sha256": subject.weights, "baseline": subject.baseline}
            for subject in subjects
        },
        "maps": {"kept": save_maps, "computed": grid.store.computed, "read": grid.store.read},
        "versions": _versions(),
        "wall_seconds": clock.seconds,
    }
    result = Comparison(scores, summary, controls, _models(loaded, about, grid), run, grid.gallery)
    if output is not None:
        result.write(output)
    return result


def _check_explains(
    explainers: list[Explainer], models: list[Model], sample: Dataset, background: torch.Tensor | None
) -> None:
    """Raise `SaqEvalError` unless every method can explain an image of the first model, those that need known layers of all."""
    few = None if background is None else background[:1]
    for explainer, (place, model) in itertools.product(explainers, enumerate(models)):
        if place == 0 or explainer.method.family in ("rules", "class activation"):
            try:
                explain(explainer, model.network, sample.images[:1], sample.labels[:1], background=few)
            except SaqEvalError as error:
                raise SaqEvalError(f"{model.card.dataset}/{model.card.name}: {error}") from error


def _subjects(loaded: dict[str, Model], baseline_of: dict[str, str], seed: int, trust_code: bool) -> list[Subject]:
    """Return the models, in order, and behind them each baseline's architecture with random weights."""
    subjects = [
        Subject(name, model.network, model.card.weights_sha256, baseline_of[name]) for name, model in loaded.items()
    ]
    for name in dict.fromkeys(baseline_of.values()):
        weights_seed = derived_seed(seed, RANDOM_WEIGHTS, name)
        network = random_weights(loaded[name], weights_seed, trust_code=trust_code)
        subjects.append(Subject(f"{name} ({RANDOM_WEIGHTS})", network, f"seed {weights_seed}", name, "control"))
    return subjects


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


def _describe_method(explainer: Explainer) -> dict[str, Any]:
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


def _descriptions(loaded: dict[str, Model], subjects: list[Subject], seed: int) -> dict[str, dict[str, Any]]:
    """Return by network the columns that say which one a row is about, `_MODEL_COLUMNS`; bit widths are the hidden layers'."""
    about = {}
    for subject in subjects:
        card = loaded[subject.name if subject.role == "model" else subject.baseline].card
        values = (card.dataset, subject.name, "fp32", "32", "32", "none", seed, subject.role)
        if subject.role == "model":
            scheme = card.scheme
            bits = scheme.hidden_bits("weight_bits"), scheme.hidden_bits("activation_bits")
            values = (card.dataset, subject.name, scheme.name, *bits, card.training, card.seed, subject.role)
        about[subject.name] = dict(zip(_MODEL_COLUMNS, values, strict=True))
    return about


def _row(about: dict[str, Any], method: str, metric: str) -> dict[str, Any]:
    """Return the columns that every table of scores begins with."""
    role = "control" if method in CONTROLS else about["role"]
    return {**about, "role": role, "method": method, "metric": metric, "category": METRICS[metric].category}


def _scores(names: list[str], about: dict[str, dict[str, Any]], grid: Grid) -> pd.DataFrame:
    blocks = []
    for (name, method, metric), values in grid.in_order_of(names):
        block = {
            **_row(about[name], method, metric),
            "sample": grid.indices,
            "label": grid.sample.labels.numpy(),
            "prediction": grid.predictions[name],
            "target": grid.targets[name],
            "score": values,
        }
        blocks.append(pd.DataFrame(block))
    return pd.concat(blocks, ignore_index=True)


def _summary(names: list[str], about: dict[str, dict[str, Any]], grid: Grid) -> pd.DataFrame:
    rows = []
    seed = grid.settings.seed
    for (name, method, metric), values in grid.in_order_of(names):
        baseline = grid.subjects[name].baseline
        mean, low, high = statistics.mean_interval(values, seed)
        difference = values - grid.cells[baseline, method, metric]
        delta, delta_low, delta_high = statistics.mean_interval(difference, seed)
        rows.append(
            {
                **_row(about[name], method, metric),
                "higher_is_better": METRICS[metric].higher_is_better,
                "degenerate": grid.degenerate[name, method],
                "n": int((~np.isnan(values)).sum()),
                "mean": mean,
                "ci_low": low,
                "ci_high": high,
                "baseline": baseline,
                "delta": delta,
                "delta_ci_low": delta_low,
                "delta_ci_high": delta_high,
                "chance": grid.chances.get((name, method, metric), np.nan),
            }
        )
    return pd.DataFrame(rows)


def _controls(names: list[str], about: dict[str, dict[str, Any]], grid: Grid) -> pd.DataFrame:
    """Compare models' scores with the controls'.

    Maps by random weights are judged as explanations of a baseline, so they are compared with that
    baseline's. For similarity, a model's map is compared with the baseline's on one side, the control's
    with the baseline's on the other; a baseline's own would be 1.
    """
    rows = []
    for (name, method, metric), values in grid.in_order_of(names):
        if method in CONTROLS:
            continue
        baseline = grid.subjects[name].baseline
        if METRICS[metric].category == "similarity":
            if name == baseline:
                continue
            scores = {control: grid.controls[baseline, method, metric, control] for control in CONTROLS}
        else:
            scores = {control: grid.cells[name, control, metric] for control in CONTROLS}
        if METRICS[metric].category == "similarity" or name == baseline:
            scores[RANDOM_WEIGHTS] = grid.cells[grid.control_of(baseline), method, metric]
        for control, control_values in scores.items():
            difference = values - control_values
            mean, low, high = statistics.mean_interval(difference, grid.settings.seed)
            rows.append(
                {
                    **_row(about[name], method, metric),
                    "higher_is_better": METRICS[metric].higher_is_better,
                    "control": control,
                    "n": int((~np.isnan(difference)).sum()),
                    "mean": statistics.defined_mean(values),
                    "control_mean": statistics.defined_mean(control_values),
                    "difference": mean,
                    "ci_low": low,
                    "ci_high": high,
                    "verdict": statistics.direction(low, high, METRICS[metric].higher_is_better),
                }
            )
    return pd.DataFrame(rows, columns=_CONTROL_COLUMNS)


def _models(loaded: dict[str, Model], about: dict[str, dict[str, Any]], grid: Grid) -> pd.DataFrame:
    rows = []
    for name, model in loaded.items():
        baseline = grid.subjects[name].baseline
        rows.append(
            {
                **{key: value for key, value in about[name].items() if key != "role"},
                "first_last_bits": model.card.scheme.ends.weight_bits,
                "accuracy": grid.accuracies[name],
                "baseline": baseline,
                "accuracy_delta": grid.accuracies[name] - grid.accuracies[baseline],
                "parameters": model.parameters,
                "size_kib": model.ideal_bytes / 1024,
                "file_kib": model.file_bytes / 1024,
                "compression_ratio": 4 * model.parameters / model.ideal_bytes,
                "bops": sum(
                    layer.bops for layer in layer_costs(model.frozen, model.card.scheme, grid.sample.images[:1])
                ),
                "surrogate_gap": grid.surrogate_gaps[name],
            }
        )
    return pd.DataFrame(rows)


def _command(
    dataset: str,
    models: Sequence[str] | None,
    baseline: str | None,
    explainers: list[Explainer],
    metrics: list[str],
    target: str,
    samples: int,
    seed: int,
    batch_size: int,
    device: str,
    save_maps: bool,
) -> str:
    """Return the command line that repeats a run; where data and zoo lie is the reader's business."""
    options = {
        "dataset": dataset,
        "models": None if models is None else ",".join(models),
        "baseline": baseline,
        "methods": ",".join(explainer.label for explainer in explainers),
        "metrics": ",".join(metrics),
        "target": target,
        "samples": samples,
        "seed": seed,
        "batch-size": batch_size,
        "device": device,
    }
    parts = [part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))]
    parts += ["--save-maps"] if save_maps else []
    return shlex.join(["saq-eval", "compare", *parts])


def _versions() -> dict[str, str]:
    packages = (
        *(
            "saq_eval",
            "torch",
            "torchvision",
            "captum",
            "zennit",
            "quantus",
            "scikit-image",
            "scipy",
            "numpy",
            "pandas",
        ),
    )
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
