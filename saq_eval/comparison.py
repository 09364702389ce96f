"""The comparison: a grid of models × methods × metrics over the same images, and its result."""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import os
import platform
import shlex
import tempfile
import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from saq_eval.analysis import findings, statistics
from saq_eval.analysis.interpretability import Composite
from saq_eval.analysis.selection import choose_images, gallery_of
from saq_eval.analysis.tables import RANDOM_WEIGHTS, Tables, check_keys, scorer_record
from saq_eval.analysis.wording import in_a_word
from saq_eval.attribution import CONTROLS, Explainer, explain, find_explainers
from saq_eval.attribution.background import background_images
from saq_eval.core.devices import pick_device, processor_cores
from saq_eval.core.errors import SaqEvalError, SaqEvalWarning, in_short, unknown_name
from saq_eval.core.paths import user_path
from saq_eval.core.randomness import check_seed, derived_seed
from saq_eval.data.datasets import Dataset, load_dataset
from saq_eval.evaluation.grid import Clock, Grid, Settings, Subject, Target
from saq_eval.metrics import find_scorers
from saq_eval.networks.inference import predict
from saq_eval.reporting import Gallery, write_report
from saq_eval.reporting.formats import check_formats
from saq_eval.reporting.notebook import Plots, notebook_summary
from saq_eval.reporting.output import check_writable
from saq_eval.studies.driver import StudyComparison, load_study
from saq_eval.zoo import Model, check_reads, find_models, open_model, random_weights
from saq_eval.zoo.cards import Card, is_fine_tuned_twin, twin

MAPS = "maps"  # the folder of the kept maps, in the output folder
_BAR = "{percentage:3.0f}% |{bar}| {elapsed} gone, {remaining} left, {desc}"
RETRAINED = 4  # networks of other seeds, where the zoo has them, that each baseline is set beside


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`: tables (pandas frames), and what they are about.

    The first columns say which network a row is about: `dataset`, `model`, `scheme`, `weight_bits`,
    `activation_bits`, `training`, `seed`, `role`. The role tells "model" from "control": the methods
    `random` and `edges`, and networks with random weights, one for each baseline.

    Attributes:
        scores: one row per network × method × metric × image; the score is NaN where it is undefined.
        summary: one row per network × method × metric: mean over images, and the difference to the baseline
            model, paired by image, with `p_value`, `p_adjusted`, `effect_size`, `margin` and `verdict`; see
            `saq_eval.analysis.statistics`. Similarities have their chance level, `corrected` for it, the `floor` that
            networks reach that differ from the baseline in the seed alone, and that of the network's own maps
            under tiny input `noise`; their difference is to the floor: "worse" says that the maps changed more
            than retraining changes them, "negligible" that they are the same. `scope` says whether a row speaks of this
            network or of the scheme, and `retraining` whether the difference is beyond the retraining band.
        effects: one row per group of networks that differ in the seed alone (`networks` with `training` names it) ×
            step (see `saq_eval.analysis.steps`) × method × metric, over all seeds.
        conditions: as the summary, over images on which both networks are right ("both right"), or agree ("agree").
        controls: one row per model × method × metric × control: the difference to the control's score,
            paired by image, and whether the metric tells the two apart ("better", "worse", "unclear"). A map by
            random weights passes for the baseline's, so it has no rows with other models but for similarity,
            which has none for baselines.
        curves: one row per network × method × curve metric × step: mean height with its interval.
        agreement: one row per pair of metrics: Kendall's τ of the models' ranks.
        robustness: one row per method: how well its maps survive quantization.
        models: one row per model: accuracy, flips and divergence of predictions, size at its bit width, surrogate gap.
        layers: one row per model and layer: bit widths, clip, size, operations.
        findings: one row per claim of the paper and group of networks; see `saq_eval.analysis.findings.answer`.
        run: the configuration, seeds, versions, weight hashes and times.
        gallery: a few images with every network's maps.
    """

    scores: pd.DataFrame
    summary: pd.DataFrame
    effects: pd.DataFrame
    conditions: pd.DataFrame
    controls: pd.DataFrame
    curves: pd.DataFrame
    agreement: pd.DataFrame
    robustness: pd.DataFrame
    models: pd.DataFrame
    layers: pd.DataFrame
    findings: pd.DataFrame
    run: dict[str, Any]
    gallery: Gallery

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The frames by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("run", "gallery")}

    def __repr__(self) -> str:
        """Say what was compared and what the tables hold, in a few lines."""
        run = self.run
        sizes = ", ".join(f"{name} {len(table)}" for name, table in self.tables.items())
        return "\n".join(
            [
                f"Comparison of {len(self.models)} networks on {run['samples']} images of {run['dataset']}, "
                f"by {len(run['methods'])} methods and {len(run['metrics'])} metrics",
                *run["headline"],
                f"Rows by table: {sizes}",
            ]
        )

    def overview(self) -> pd.DataFrame:
        """Return a table for people: per model its accuracy, size, and what is found of networks like it, as text."""
        table = pd.DataFrame(
            {
                "model": self.models["model"],
                "accuracy %": [f"{100 * value:.2f}" for value in self.models["accuracy"]],
                "flips %": [f"{100 * value:.2f}" for value in self.models["flips"]],
                "KiB": [f"{value:.0f}" for value in self.models["size_kib"]],
            }
        )
        asked = self.findings[self.findings["claim"].str.contains("lower precision|further training", regex=True)]
        for quantity in dict.fromkeys(asked["quantity"]):
            rows = asked[asked["quantity"] == quantity]
            said = {
                (row.group, training): in_a_word(row.verdict, row.delta, quantity)
                for row in rows[::-1].itertuples()  # of a network's steps the first, what bits do, is said
                for training in row.training.split(" and ")
            }
            table[quantity] = [
                said.get(key, "") for key in zip(self.models["networks"], self.models["training"], strict=True)
            ]
        similar = self.summary[(self.summary["role"] == "model") & (self.summary["category"] == "similarity")]
        for metric in list(dict.fromkeys(similar["metric"]))[:2]:
            means = similar[similar["metric"] == metric].groupby("model")[["mean", "floor"]].mean()
            table[metric] = [f"{means['mean'][model]:.3f}" for model in table["model"]]
            table[f"{metric} retrained"] = [f"{means['floor'][model]:.3f}" for model in table["model"]]
        return table

    def write(self, output: str | os.PathLike, formats: Sequence[str] = ("csv",)) -> list[Path]:
        """Write a CSV file for each table, `report.html`, `run.json` and the gallery, each of them whole.

        Args:
            output: the folder.
            formats: beside CSV, "parquet", "json", "markdown", "latex".

        Raises:
            SaqEvalError: an unknown format, or if the folder cannot be written.
        """
        return write_report(user_path(output), self.tables, self.run, self.gallery, formats)

    @property
    def plot(self) -> Plots:
        """The report's charts, as Plotly figures: `plot.tradeoff()`, `.effects()`, `.verdict_matrix()`, `.curves()`."""
        return Plots(self.tables, self.run, self.gallery)

    def _repr_html_(self) -> str:
        """Show the finding and the models in a notebook."""
        return notebook_summary(self.run["headline"], self.overview())


def compare(
    dataset: str,
    *,
    study: str | Path | None = None,
    models: Sequence[str] | None = None,
    baseline: str | None = None,
    methods: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    target: Target = "label",
    samples: int | None = None,
    seed: int = 0,
    margin: float = statistics.MARGIN,
    batch_size: int = 64,
    workers: int = 1,
    device: str = "auto",
    data_root: str | os.PathLike | None = None,
    zoo: str | os.PathLike | None = None,
    trust_code: bool = False,
    output: str | os.PathLike | None = None,
    formats: Sequence[str] = ("csv",),
    save_maps: bool = False,
    progress: bool = True,
) -> Comparison:
    """Compare the saliency maps of the zoo's models on one dataset.

    Every model explains the same test images, stratified by class. Beside the methods asked for, two
    controls that know nothing of the network are scored, noise and the image's edges; beside the
    models, their architecture with random weights.

    Args:
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
        samples: test images; 64 by default.
        seed: of the choice of images, of methods and metrics that draw, of random weights, and of the statistics.
        margin: differences within so many standard deviations of the baseline's scores count as negligible.
        batch_size: images that may pass a network at once.
        workers: processes that share the work; results are the same for any number.
        device: "cpu", "cuda" or "auto".
        data_root: see `saq_eval.load_dataset`.
        zoo: a folder beside the built-in zoo.
        trust_code: whether a card may name code outside this package to build its network with.
        output: a folder to write the result to; see `Comparison.write`.
        formats: beside CSV, what else is written: "parquet", "json", "markdown", "latex".
        save_maps: keep the maps in the output folder's `maps`, as they are computed, and take from there those
            that an earlier run left of the same networks, methods, parameters, images, classes and seed: so maps
            can be scored anew without being computed anew, and an interrupted run goes on.
        progress: show a progress bar where the output is a terminal.

    Raises:
        SaqEvalError: an unknown name, a parameter or count out of range, a network that has a layer for which
            a method has no rule, a file that cannot be read or an output folder that cannot be written; nothing
            has been computed or written then.
    """
    clock, start = Clock(), time.perf_counter()
    with clock("loading"):
        planned, names, missing = load_study(study) if study is not None else None, models, []
        if planned is not None:
            held = [card.name for card, _ in find_models(dataset, ["*"], zoo)]
            names = planned.compared(dataset, held) if models is None else models
            missing = [name for name in planned.wanted(dataset) if name not in held] if models is None else []
            usual = planned.comparison
        else:
            usual = StudyComparison()
        names, methods, metrics, formats = (
            listed(kind, default if given is None else given)
            for kind, given, default in (
                ("model", names, None),
                ("method", methods, usual.methods),
                ("metric", metrics, usual.metrics),
                ("format", formats, None),
            )
        )
        samples = usual.samples if samples is None else samples
        explainers = [e for e in find_explainers(methods) if e.label not in CONTROLS]
        if not explainers:
            raise SaqEvalError(
                f"{' and '.join(CONTROLS)} are part of every comparison: name a method to compare with them"
            )
        scorers = find_scorers(metrics)
        for name, value, most in (
            ("samples", samples, None),  # the test set's size is the limit
            ("batch_size", batch_size, 100_000),
            ("workers", workers, max(16, processor_cores())),
        ):
            if type(value) is not int:
                raise SaqEvalError(f"{name} is a whole number, not {in_short(value)}")
            if most is not None and not 1 <= value <= most:
                raise SaqEvalError(f"{name} lies between 1 and {most}, not {value}")
        if not isinstance(margin, (int, float)) or not 0 < margin < np.inf:
            raise SaqEvalError(f"margin is above 0, in standard deviations, not {in_short(margin)}")
        if not isinstance(target, str) or target not in get_args(Target):
            raise unknown_name("target", target, get_args(Target))
        check_seed(seed)
        if save_maps and output is None:
            raise SaqEvalError("maps are kept in the output folder: name one, or save none")
        torch_device = pick_device(device)
        if torch_device.type != "cpu" and workers > 1:
            raise SaqEvalError(f"several workers share a processor, not a {torch_device.type} device: use one")
        all_models = find_models(dataset, ["*"], zoo)
        if names is None:
            chosen = [(card, folder) for card, folder in all_models if card.seed == 0]
        else:
            chosen = find_models(dataset, names, zoo)
        if not chosen:
            raise SaqEvalError("at least one model is needed")
        entries, baseline_of, fine_tuned_of = _with_references(dataset, chosen, baseline, all_models)
        test_set = load_dataset(dataset, "test", data_root)
        subset = test_set.sample(samples, seed)
        shape = tuple(subset.images.shape[1:])
        masks = subset.mask_record()
        if not masks["images"] and any("masks" in scorer.metric.needs for scorer in scorers):
            warnings.warn(f"localisation is not scored: {masks['reason']}", SaqEvalWarning, stacklevel=2)
        metric_records = {scorer.label: scorer_record(scorer, shape) for scorer in scorers}
        background = background_images(explainers, dataset, seed, data_root)
        loaded = {card.name: open_model(card, folder, trust_code=trust_code) for card, folder in entries}
        for model in loaded.values():
            check_reads(model.card.name, model.network, test_set)
        _check_outputs(loaded, baseline_of, subset)
        _check_explains(explainers, list(loaded.values()), subset, background)
        subjects = _subjects(loaded, baseline_of, fine_tuned_of, seed, trust_code)
        subjects += _retrained(loaded, baseline_of, all_models, target, trust_code)
        check_formats(formats)
        if output is not None:
            check_writable(user_path(output))

    keep = nullcontext(user_path(output) / MAPS) if save_maps else tempfile.TemporaryDirectory(prefix="saq_eval-")
    with keep as folder:
        settings = Settings(subset, explainers, scorers, seed, batch_size, torch_device.type, background, Path(folder))
        grid = Grid(subjects, settings, test_set, target)
        total = sum(grid.cost(*cell) for wave in grid.plan() for cell in wave)
        # The bar runs in passes of the networks, so that the time it says is left is that of the whole grid.
        bar = tqdm(total=total, unit="pass", bar_format=_BAR, disable=None if progress else True)

        def on_cell(subject: Subject, explainer: Explainer) -> None:
            bar.set_description(f"{subject.name} {explainer.label}")
            bar.update(grid.cost(subject, explainer))

        with bar:
            grid.fill(workers, clock, on_cell)
        with clock("statistics"):
            composite = Composite.of(grid)
            tables = Tables(grid, loaded, composite, seed, margin).all()
            tables["findings"] = findings.answer(grid, loaded, composite, margin)
            check_keys(tables)
        seeds = {name: model.card.seed for name, model in loaded.items()}
        gallery = Gallery.of(**gallery_of(grid, choose_images(grid), seeds))
    hashes = {card.name: card.weights_sha256 for card, _ in all_models}
    run = {
        "command": _command(
            dataset=dataset,
            study=study,
            models=None if models is None else ",".join(names),
            baseline=baseline,
            methods=",".join(explainer.label for explainer in explainers),
            metrics=",".join(scorer.label for scorer in scorers),
            target=target,
            samples=samples,
            seed=seed,
            margin=margin,
            batch_size=batch_size,
            workers=workers,
            device=device,
            save_maps=save_maps,
            formats=",".join(formats) if tuple(formats) != ("csv",) else None,
            trust_code=trust_code,
        ),
        "headline": findings.headline(tables),
        "dataset": dataset,
        "study": planned.name if planned else None,
        "missing": missing,  # models of the study that the zoo does not hold
        "samples": samples,
        "test_images": len(test_set),
        "image_indices": subset.indices.tolist(),
        "masks": masks,  # of the sample, for localisation
        "target": target,
        "seed": seed,
        "batch_size": batch_size,
        "workers": workers,
        "device": torch_device.type,
        "methods": {explainer.label: _describe_method(explainer) for explainer in settings.methods_of("model")},
        "metrics": metric_records,
        # What interpretability is measured by: of each method, the metrics that tell trained networks from untrained.
        "interpretability": {
            explainer.label: [scorer.label for scorer in composite.pairs.get(explainer.label, ())]
            for explainer in explainers
        },
        "statistics": {
            "confidence": statistics.CONFIDENCE,
            "level": statistics.LEVEL,
            "fewest_images": statistics.ENOUGH,
            "fewest_networks": statistics.NETWORKS,
            "margin": margin,
            "same_maps": statistics.SAME_MAPS,
        },
        "models": {
            subject.name: {
                "role": subject.role,
                "weights_sha256": loaded[subject.name].card.weights_sha256
                if subject.role == "model"
                else f"seed {derived_seed(seed, RANDOM_WEIGHTS, subject.baseline)}",
                "baseline": subject.baseline,
                "fine_tuned": subject.fine_tuned or None,
            }
            for subject in subjects
            if subject.role != "retrained"
        },
        "retrained": {
            name: {s.name: hashes[s.name.partition(" (as ")[0]] for s in grid.retrained_of(name)}
            for name in dict.fromkeys(baseline_of.values())
        },
        "maps": {
            "kept": save_maps,
            "computed": sum(cell.computed for cell in grid.cells.values()),
            "read": sum(not cell.computed for cell in grid.cells.values()),
        },
        "versions": _versions(),
        # By stage, added up over the workers; elapsed, as a clock on the wall says.
        "wall_seconds": clock.seconds | {"elapsed": round(time.perf_counter() - start, 3)},
    }
    result = Comparison(**tables, run=run, gallery=gallery)
    if output is not None:
        result.write(output, formats)
    return result


def listed(kind: str, given: Sequence[str] | str | None) -> list[str] | None:
    """Return the names of several things as a list, where one may stand by itself; none where none are given.

    Raises:
        SaqEvalError: for what is no name.
    """
    if given is None:
        return None
    names = list(given) if isinstance(given, Iterable) and not isinstance(given, (str, nn.Module)) else [given]
    for name in names:
        if not isinstance(name, str):
            raise SaqEvalError(f"a {kind} is asked for by its name, not by {in_short(name)}")
    return names


def _check_outputs(loaded: dict[str, Model], baseline_of: dict[str, str], sample: Dataset) -> None:
    """Raise `SaqEvalError` unless every network has as many outputs as its baseline."""
    outputs = {name: predict(model.network, sample.images[:1]).shape[1] for name, model in loaded.items()}
    for name, count in outputs.items():
        if count != outputs[baseline_of[name]]:
            raise SaqEvalError(
                f"{name} has {count} outputs and its baseline {baseline_of[name]} {outputs[baseline_of[name]]}: "
                "their predictions cannot be compared"
            )


def _check_explains(
    explainers: list[Explainer], models: list[Model], sample: Dataset, background: torch.Tensor | None
) -> None:
    """Raise `SaqEvalError` unless every method can explain images of the first model, those that need known layers of all."""
    few = None if background is None else background[:1]
    for explainer, (place, model) in itertools.product(explainers, enumerate(models)):
        if place == 0 or explainer.method.family in ("rules", "class activation"):
            try:
                explain(explainer, model.network, sample.images[:2], sample.labels[:2], background=few)
            except SaqEvalError as error:
                raise SaqEvalError(f"{model.card.dataset}/{model.card.name}: {error}") from error


def _subjects(
    loaded: dict[str, Model],
    baseline_of: dict[str, str],
    fine_tuned_of: dict[str, str],
    seed: int,
    trust_code: bool,
) -> list[Subject]:
    """Return the models, in order, and behind them each baseline's architecture with random weights."""
    subjects = [
        Subject(name, model.network, _identity(model.card), baseline_of[name], fine_tuned=fine_tuned_of.get(name, ""))
        for name, model in loaded.items()
    ]
    for name in dict.fromkeys(baseline_of.values()):
        weights_seed = derived_seed(seed, RANDOM_WEIGHTS, name)
        network = random_weights(loaded[name], weights_seed, trust_code=trust_code)
        identity = f"{_identity(loaded[name].card)}, random weights of seed {weights_seed}"
        subjects.append(Subject(f"{name} ({RANDOM_WEIGHTS})", network, identity, name, "control"))
    return subjects


def _identity(card: Card) -> str:
    """Return what tells a network from others: a hash of its weights and of all that is computed with them."""
    parts = (card.weights_sha256, card.architecture, card.scheme, card.preprocessing)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _retrained(
    loaded: dict[str, Model],
    baseline_of: dict[str, str],
    all_models: list[tuple[Card, Path]],
    target: Target,
    trust_code: bool,
) -> list[Subject]:
    """Return for each baseline the networks that differ from it in nothing but the seed.

    Of the other baselines all, so that each pair of them is there; of the rest of the zoo's, up to four in all.
    """
    subjects = []
    for name in dict.fromkeys(baseline_of.values()):
        own = loaded[name].card
        same = [(c, folder) for c, folder in all_models if c.seed != own.seed and twin(c) == twin(own)]
        same.sort(key=lambda entry: (baseline_of.get(entry[0].name) != entry[0].name, entry[0].seed))
        compared = sum(baseline_of.get(card.name) == card.name for card, _ in same)
        for card, folder in same[: max(RETRAINED, compared)]:
            model = loaded.get(card.name) or open_model(card, folder, trust_code=trust_code)
            # It explains the baseline's classes: under another policy than labels, not those that it explains itself.
            alias = card.name if target == "label" else f"{card.name} (as {name})"
            subjects.append(Subject(alias, model.network, _identity(card), name, "retrained"))
    return subjects


def _with_references(
    dataset: str, chosen: list[tuple[Card, Path]], baseline: str | None, all_models: list[tuple[Card, Path]]
) -> tuple[list[tuple[Card, Path]], dict[str, str], dict[str, str]]:
    """Find what each chosen model is compared with.

    Returns:
        The chosen models with all that they are compared with, in the zoo's order; each one's baseline by name; and,
        where there is one, that trained on from the same baseline in full precision.
    """
    known = {card.name: card for card, _ in all_models}
    if baseline is not None and baseline not in known:
        raise unknown_name(f"{dataset} model", baseline, known)
    baseline_of = {}
    for card, _ in chosen:
        counterpart = baseline or (card.parent if card.scheme.starts_from_parent else card.name)
        if counterpart not in known:
            raise SaqEvalError(
                f"the zoo has no full-precision parent {counterpart!r} of {dataset}/{card.name} to compare it with; "
                "name a baseline model"
            )
        baseline_of[card.name] = counterpart
    for name in set(baseline_of.values()):
        baseline_of[name] = name
    fine_tuned_of = {}
    for name, counterpart in list(baseline_of.items()):
        twins = [card.name for card in known.values() if is_fine_tuned_twin(card, known[name])]
        if twins and counterpart == known[name].parent:
            fine_tuned_of[name] = fine_tuned_of[twins[0]] = twins[0]
            baseline_of[twins[0]] = counterpart
    entries = [(card, folder) for card, folder in all_models if card.name in baseline_of]
    return entries, {card.name: baseline_of[card.name] for card, _ in entries}, fine_tuned_of


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


def _command(**options: Any) -> str:
    """Return the command line that repeats a run; where data and zoo lie is the reader's business."""
    parts = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            parts.append(option)
        elif value is not None and value is not False:
            parts += [option, str(value)]
    return shlex.join(["saq-eval", "compare", *parts])


def _versions() -> dict[str, str]:
    packages = (
        *("saq_eval", "torch", "torchvision", "captum", "zennit", "quantus"),
        *("scikit-image", "pot", "scipy", "numpy", "pandas"),
    )
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
