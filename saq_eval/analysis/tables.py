"""The tables of a comparison, from the cells of its grid. A row's first columns say which network it is about."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import log_softmax
from scipy.stats import kendalltau

from saq_eval.analysis import statistics
from saq_eval.analysis.groups import Step, beside_retraining, corrected, group_over_seeds, retrained_means, step_scores
from saq_eval.analysis.interpretability import Composite
from saq_eval.attribution import CONTROLS
from saq_eval.evaluation.grid import Grid, Subject
from saq_eval.metrics import Metric, Scorer
from saq_eval.quantization.costs import bit_widths, layer_costs
from saq_eval.zoo import Model

RANDOM_WEIGHTS = "random weights"
MODEL_COLUMNS = ("dataset", "model", "scheme", "weight_bits", "activation_bits", "training", "seed", "role")
CONDITIONS = ("both right", "agree")
# What tells a row from all others of its table; the dataset is one and the same.
KEYS = {
    "scores": ("model", "method", "metric", "sample"),
    "summary": ("model", "method", "metric"),
    "effects": ("networks", "training", "step", "method", "metric"),
    "conditions": ("model", "method", "metric", "condition"),
    "controls": ("model", "method", "metric", "control"),
    "curves": ("model", "method", "metric", "step"),
    "agreement": ("metric", "other"),
    "robustness": ("method",),
    "models": ("model",),
    "layers": ("model", "layer"),
    "findings": ("claim", "networks"),
}
# What a baseline has not, since it is not compared with retrained networks but one of them.
_OF_OTHERS = ("retraining_low", "retraining_high", "retraining")
INTERPRETABILITY_COLUMNS = ("interpretability", "interpretability_ci_low", "interpretability_ci_high")

Keep = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class _Compared:
    """What a row is tested by; see `saq_eval.analysis.statistics.compare_paired`, and (networks, n) the arrays' shape."""

    differences: np.ndarray
    distance: np.ndarray
    allowed: np.ndarray
    spread: float
    reach: float
    retrained: np.ndarray
    similar: bool


class Tables:
    """Makes the tables of a filled grid.

    Args:
        grid: its subjects' names are the models' and controls'.
        models: by name.
        composite: what interpretability is measured by.
        seed: of the networks with random weights.
        margin: see `saq_eval.analysis.statistics`.
    """

    def __init__(self, grid: Grid, models: dict[str, Model], composite: Composite, seed: int, margin: float) -> None:
        self._grid, self._models, self._composite, self._seed, self._margin = grid, models, composite, seed, margin
        self._scorers: dict[str, Scorer] = {scorer.label: scorer for scorer in grid.settings.scorers}
        self._metrics: dict[str, Metric] = {label: scorer.metric for label, scorer in self._scorers.items()}
        self._groups = group_over_seeds(grid, models)
        image = grid.settings.sample.images[:1]
        self._layers = {name: layer_costs(model.frozen, model.card.scheme, image) for name, model in models.items()}
        self._mask: str = grid.settings.sample.mask_record()["kind"]
        self._bits = {name: bit_widths(layers) for name, layers in self._layers.items()}

    def all(self) -> dict[str, pd.DataFrame]:
        """Return all tables by name; `saq_eval.Comparison` says what they hold."""
        return {
            "scores": self.scores(),
            "summary": self.summary(),
            "effects": self.effects(),
            "conditions": self.conditions(),
            "controls": self.controls(),
            "curves": self.curves(),
            "agreement": self.agreement(),
            "robustness": self.robustness(),
            "models": self.models(),
            "layers": self.layers(),
        }

    # What a row is about.

    def _about(self, subject: Subject) -> dict[str, Any]:
        card = self._models[subject.name if subject.role == "model" else subject.baseline].card
        values: tuple = (card.dataset, subject.name, "fp32", "32", "32", "none", self._seed, subject.role)
        if subject.role == "model":
            bits = self._bits[subject.name]
            values = (
                *(card.dataset, subject.name, card.scheme.name, bits.weights, bits.activations),
                *(card.training, card.seed, "model"),
            )
        return dict(zip(MODEL_COLUMNS, values, strict=True))

    def _row(self, subject: Subject, method: str, metric: str) -> dict[str, Any]:
        role = "control" if method in CONTROLS else subject.role
        about = self._about(subject) | {"role": role, "method": method, "metric": metric}
        return about | {"category": self._metrics[metric].category}

    def _mask_of(self, metric: str) -> str:
        """Return the kind of mask that a metric was scored by (see `Dataset.mask_record`); "" for one that needs none."""
        return self._mask if "masks" in self._metrics[metric].needs else ""

    def _is_similarity(self, metric: str) -> bool:
        return self._metrics[metric].category == "similarity"

    # What a row compares.

    def _references(self, subject: Subject, method: str, metric: str) -> np.ndarray:
        """Return the scores that a network's are compared with: its baseline's, (1, n).

        Of a similarity: how alike the maps of networks that differ from the baseline in the seed alone are to the
        baseline's, a row for each of them, or NaN without any.
        """
        if not self._is_similarity(metric):
            return self._grid.cells[self._grid.by_name[subject.baseline], method].scores[metric][None]
        floors = list(self._floors(subject.baseline, method, metric).values())
        return np.stack(floors) if floors else np.full((1, len(self._grid.settings.sample)), np.nan)

    def _floors(self, baseline: str, method: str, metric: str) -> dict[str, np.ndarray]:
        """Return, by identity, how alike the maps of a baseline's retrained networks are to its own."""
        return {s.identity: self._grid.cells[s, method].scores[metric] for s in self._grid.retrained_of(baseline)}

    def _corrected(self, subject: Subject, method: str, metric: str, scores: np.ndarray) -> np.ndarray:
        return corrected(self._grid, subject, method, self._scorers[metric], scores)

    def _distance(self, subject: Subject, method: str, metric: str, scores: np.ndarray) -> np.ndarray:
        """Return how far maps are from identical, as a share of the way to unrelated ones; NaN but for similarities."""
        if not self._is_similarity(metric):
            return np.full(len(scores), np.nan)
        return 1.0 - self._corrected(subject, method, metric, scores)

    def _compared(self, step: Step, method: str, metric: str, keep: Keep = lambda values: values) -> _Compared:
        """Return what a row of a step's networks, a method and a metric is tested by.

        Args:
            keep: sets the scores of images to NaN that do not count.
        """
        similar = self._is_similarity(metric)
        subjects = [subject for subject, _ in step.pairs.values()]
        own = [keep(step_scores(self._grid, step.name, s, method, metric, similar)) for s in subjects]
        baselines = [self._grid.by_name[s.baseline] for s in subjects]
        if similar:
            floors = [
                {name: keep(scores) for name, scores in self._floors(baseline.name, method, metric).items()}
                for baseline in baselines
            ]
            differences, retrained = beside_retraining(own, floors, [baseline.identity for baseline in baselines])
            spreads = [statistics.spread(scores) for floor in floors for scores in floor.values()] or [0.0]
            distance = [self._distance(s, method, metric, scores) for s, scores in zip(subjects, own, strict=True)]
            noise = [self._grid.cells[other, method].noise.get(metric) for _, other in step.pairs.values()]
            nothing = np.full(len(own[0]), np.nan)
            allowed = [
                nothing if scores is None else self._distance(s, method, metric, keep(scores))
                for s, scores in zip(subjects, noise, strict=True)
            ]
            reach = 1.0
        else:
            others = [keep(self._grid.cells[other, method].scores[metric]) for _, other in step.pairs.values()]
            differences = np.stack([ours - theirs for ours, theirs in zip(own, others, strict=True)])
            means = {b.identity: self._mean_score(b, method, metric, keep) for b in baselines}
            again = {
                r.identity: self._mean_score(r, method, metric, keep)
                for baseline in baselines
                for r in self._grid.retrained_of(baseline.name)
                if method not in CONTROLS
            }
            retrained = retrained_means(means, again)
            spreads = [statistics.spread_of_scores(scores) for scores in others]
            distance = allowed = [np.full(len(own[0]), np.nan)] * len(own)
            reach = statistics.reach(np.stack([*own, *others]))
        away, allowed = np.stack(distance), np.stack(allowed)
        return _Compared(differences, away, allowed, float(np.mean(spreads)), reach, retrained, similar)

    def _mean_score(self, subject: Subject, method: str, metric: str, keep: Keep) -> float:
        return statistics.defined_mean(keep(self._grid.scores(subject, method, metric)))

    def _effects(
        self, rows: Sequence[dict], compared: Sequence[_Compared], family: Sequence[Hashable]
    ) -> dict[str, np.ndarray]:
        """Test rows: the categories of one family are corrected together, as families of a group; those of none are not."""
        keys = [None if each is None else (each, row["category"]) for row, each in zip(rows, family, strict=True)]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(key for key in keys if key is not None))}
        groups = {each: number for number, each in enumerate(dict.fromkeys(family))}
        return statistics.compare_paired(
            statistics.padded([each.differences for each in compared]),
            np.array([each.spread for each in compared]),
            np.array([row["higher_is_better"] for row in rows]),
            margin=self._margin,
            family=np.array([-1 if key is None else numbers[key] for key in keys]),
            group=np.array([-1 if key is None else groups[key[0]] for key in keys]),
            reach=np.array([each.reach for each in compared]),
            distance=statistics.padded([each.distance for each in compared]),
            allowed=statistics.padded([each.allowed for each in compared]),
            retrained=statistics.padded([each.retrained for each in compared]),
            by_retraining=np.array([each.similar and len(each.differences) < statistics.NETWORKS for each in compared]),
        ).columns()

    # The tables.

    def scores(self) -> pd.DataFrame:
        """Return a row per network, method, metric and image."""
        grid, sample = self._grid, self._grid.settings.sample
        blocks = [
            pd.DataFrame(
                self._row(subject, method, metric)
                | {
                    "sample": sample.indices.numpy(),
                    "label": sample.labels.numpy(),
                    "prediction": grid.predictions[subject.name],
                    "target": grid.targets[subject],
                    "score": scores,
                }
            )
            for subject, method, metric, scores in grid.in_order("model", "control")
        ]
        return pd.concat(blocks, ignore_index=True)

    def summary(self) -> pd.DataFrame:
        """Return a row per network, method and metric."""
        rows, values, compared, family = [], [], [], []
        for subject, method, metric, scores in self._grid.in_order("model", "control"):
            cell = self._grid.cells[subject, method]
            similar = self._is_similarity(metric)
            row = self._row(subject, method, metric)
            rows.append(
                row
                | {
                    "mask": self._mask_of(metric),
                    "higher_is_better": self._metrics[metric].higher_is_better,
                    "degenerate": int(cell.degenerate.sum()),
                    "baseline": subject.baseline,
                    "chance": statistics.defined_mean(cell.chances[metric]) if metric in cell.chances else np.nan,
                    "corrected": statistics.defined_mean(self._corrected(subject, method, metric, scores))
                    if similar
                    else np.nan,
                    "floor": statistics.defined_mean(self._references(subject, method, metric)) if similar else np.nan,
                    "noise": statistics.defined_mean(cell.noise[metric]) if metric in cell.noise else np.nan,
                }
            )
            values.append(scores)
            step = Step("whole", {0: (subject, self._grid.by_name[subject.baseline])})
            each = self._compared(step, method, metric)
            if subject.is_baseline:
                nothing = np.where(np.isnan(scores), np.nan, 0.0)[None]  # whatever the images, it is itself
                each = replace(each, differences=nothing, distance=nothing * np.nan, reach=0.0, similar=False)
            compared.append(each)
            family.append(None if subject.is_baseline else row["role"])
        mean, low, high = statistics.intervals(np.stack(values))
        effects = self._effects(rows, compared, family)
        counts = np.array([(~np.isnan(scores)).sum() for scores in values])
        measured = {"n": counts, "mean": mean, "ci_low": low, "ci_high": high} | _without(effects, "n")
        frame = _frame(rows, measured, (*MODEL_COLUMNS, "method", "metric", "category", "scope", "mask", "higher_is_better", "degenerate", "n", "mean", "ci_low", "ci_high", "baseline", *_without(effects, "n", "scope"), "chance", "corrected", "floor", "noise"))  # fmt: skip  # noqa: E501
        frame.loc[frame["model"] == frame["baseline"], list(_OF_OTHERS)] = [np.nan, np.nan, ""]
        return frame

    def effects(self) -> pd.DataFrame:
        """Return a row per group of networks that differ in the seed alone, step, method and metric, but for baselines."""
        rows, values, compared = [], [], []
        methods = [explainer.label for explainer in self._grid.settings.explainers]
        for group, step in [(each, step) for each in self._groups for step in each.steps(self._grid)]:
            members = [subject for subject, _ in step.pairs.values()]
            for method, metric in itertools.product(methods, self._metrics):
                similar = self._is_similarity(metric)
                reference = [self._references(s, method, metric) for s in members]
                rows.append(
                    {
                        "dataset": self._models[members[0].name].card.dataset,
                        "networks": group.name,
                        "architecture": group.architecture,
                        "scheme": group.scheme,
                        "training": group.training,
                        "step": step.name,
                        "method": method,
                        "metric": metric,
                        "category": self._metrics[metric].category,
                        "mask": self._mask_of(metric),
                        "higher_is_better": self._metrics[metric].higher_is_better,
                        "seeds": len(members),
                        "floor": statistics.defined_mean(np.concatenate(reference)) if similar else np.nan,
                    }
                )
                values.append(
                    np.stack([step_scores(self._grid, step.name, s, method, metric, similar) for s in members])
                )
                compared.append(self._compared(step, method, metric))
        columns = ("dataset", "networks", "architecture", "scheme", "training", "step", "method", "metric", "category", "scope", "mask", "higher_is_better", "seeds")  # fmt: skip  # noqa: E501
        if not rows:
            return pd.DataFrame(columns=columns)
        mean, low, high = statistics.intervals(statistics.padded(values))
        effects = self._effects(rows, compared, [row["step"] for row in rows])
        measured = {"n": _images(values), "mean": mean, "ci_low": low, "ci_high": high} | _without(effects, "n")
        return _frame(rows, measured, (*columns, *_without(measured, "scope"), "floor"))

    def conditions(self) -> pd.DataFrame:
        """Return rows as of the summary's models, over the images on which both networks are right, or agree."""
        rows, values, compared = [], [], []
        labels = self._grid.settings.sample.labels.numpy()
        for subject, method, metric, scores in self._grid.in_order("model"):
            if subject.is_baseline or method in CONTROLS:
                continue
            ours, baselines = (self._grid.predictions[name] for name in (subject.name, subject.baseline))
            masks = {"both right": (ours == labels) & (baselines == labels), "agree": ours == baselines}
            step = Step("whole", {0: (subject, self._grid.by_name[subject.baseline])})
            for condition in CONDITIONS:
                keep = _keeping(masks[condition])
                rows.append(
                    self._row(subject, method, metric)
                    | {"higher_is_better": self._metrics[metric].higher_is_better, "condition": condition}
                )
                values.append(keep(scores))
                compared.append(self._compared(step, method, metric, keep))
        columns = (*MODEL_COLUMNS, "method", "metric", "category", "scope", "higher_is_better", "condition")
        if not rows:
            return pd.DataFrame(columns=columns)
        effects = self._effects(rows, compared, [row["condition"] for row in rows])
        means = np.array([statistics.defined_mean(scores) for scores in values])
        measured = {"n": _images([scores[None] for scores in values]), "mean": means} | _without(effects, "n")
        return _frame(rows, measured, (*columns, *_without(measured, "scope")))

    def controls(self) -> pd.DataFrame:
        """Return a row per model, method, metric and control: the difference to the control's score.

        Maps by random weights are judged as explanations of a baseline, so they are compared with that
        baseline's. For similarity, a model's map is compared with the baseline's on one side, the control's
        with the baseline's on the other; a baseline's own would be 1.
        """
        grid = self._grid
        rows, differences = [], []
        for subject, method, metric, scores in grid.in_order("model"):
            similar = self._is_similarity(metric)
            if method in CONTROLS or (similar and subject.is_baseline):
                continue
            baseline = grid.by_name[subject.baseline]
            if similar:
                others = {control: grid.cells[baseline, method].controls[metric, control] for control in CONTROLS}
            else:
                others = {control: grid.cells[subject, control].scores[metric] for control in CONTROLS}
            if similar or subject.is_baseline:
                others[RANDOM_WEIGHTS] = grid.cells[grid.control_of(baseline.name), method].scores[metric]
            for control, control_scores in others.items():
                rows.append(
                    self._row(subject, method, metric)
                    | {"scope": "network", "higher_is_better": self._metrics[metric].higher_is_better}
                    | {"control": control}
                    | {"mean": statistics.defined_mean(scores)}
                    | {"control_mean": statistics.defined_mean(control_scores)}
                )
                differences.append(scores - control_scores)
        columns = (*MODEL_COLUMNS, "method", "metric", "category", "scope", "higher_is_better", "control", "n", "mean", "control_mean", "difference", "ci_low", "ci_high", "p_value", "p_adjusted", "verdict")  # fmt: skip  # noqa: E501
        if not rows:
            return pd.DataFrame(columns=columns)
        found = statistics.estimate(np.stack(differences), np.array([statistics.reach(d) for d in differences]))
        low, high = found.limits()
        p_values = found.different()
        keys = [(row["category"], row["control"]) for row in rows]
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        together = np.zeros(len(keys), dtype=int)
        adjusted = statistics.adjust(p_values, np.array([numbers[key] for key in keys]), together)
        higher = np.array([row["higher_is_better"] for row in rows])
        directions = np.where((found.mean > 0) == higher, "better", "worse")
        verdicts = np.select([np.isnan(adjusted), adjusted < statistics.LEVEL], ["", directions], "unclear")
        measured = {"n": found.images, "difference": found.mean, "ci_low": low, "ci_high": high, "p_value": p_values}
        measured |= {"p_adjusted": adjusted, "verdict": verdicts}
        return _frame(rows, measured, columns)

    def curves(self) -> pd.DataFrame:
        """Return a row per network, method, metric that follows a curve, and step."""
        rows, values = [], []
        settings = self._grid.settings
        shape = tuple(settings.sample.images.shape[1:])
        scorers = {scorer.label: scorer for scorer in settings.scorers}
        for subject in self._grid.by_name.values():
            for explainer in settings.methods_of(subject.role):
                for metric, curves in self._grid.cells[subject, explainer.label].curves.items():
                    positions = self._metrics[metric].positions(scorers[metric].settings(shape), curves.shape[1])
                    about = self._row(subject, explainer.label, metric)
                    for position, heights in zip(positions, curves.T, strict=True):
                        rows.append(
                            about | {"scope": "network", "step": float(position), "n": (~np.isnan(heights)).sum()}
                        )
                        values.append(heights)
        columns = (*MODEL_COLUMNS, "method", "metric", "scope", "step", "n")
        if not rows:
            return pd.DataFrame(columns=(*columns, "mean", "ci_low", "ci_high"))
        mean, low, high = statistics.intervals(np.stack(values))
        return _frame(rows, {"mean": mean, "ci_low": low, "ci_high": high}, (*columns, "mean", "ci_low", "ci_high"))

    def _by_model(self, metric: str) -> dict[str, float]:
        """Return the models' means over methods and images, higher being better; none of a baseline's similarity.

        Over the methods that are defined for all models, since methods differ more than models do.
        """
        models = [
            s for s in self._grid.subjects if s.role == "model" and not (s.is_baseline and self._is_similarity(metric))
        ]
        by_method = [
            [statistics.defined_mean(self._grid.cells[s, explainer.label].scores[metric]) for s in models]
            for explainer in self._grid.settings.explainers
        ]
        usable = [values for values in by_method if not np.isnan(values).any()]
        sign = 1 if self._metrics[metric].higher_is_better else -1
        means = sign * np.mean(usable, axis=0) if usable and models else np.full(len(models), np.nan)
        return dict(zip((subject.name for subject in models), means, strict=True))

    def agreement(self) -> pd.DataFrame:
        """Return a row per pair of metrics: do they agree on which model is worse? Kendall's τ-b over the models."""
        ranked = {metric: self._by_model(metric) for metric in self._metrics}
        rows = []
        for metric, other in itertools.combinations(ranked, 2):
            names = [name for name in ranked[metric] if name in ranked[other]]
            a, b = (np.array([ranked[each][name] for name in names]) for each in (metric, other))
            defined = ~(np.isnan(a) | np.isnan(b))
            tau, p_value = kendalltau(a[defined], b[defined]) if defined.sum() >= 3 else (np.nan, np.nan)
            rows.append((metric, other, tau, p_value, int(defined.sum())))
        return pd.DataFrame(rows, columns=["metric", "other", "tau", "p_value", "n"])

    def robustness(self) -> pd.DataFrame:
        """Return a row per method, by how alike quantized networks' maps are to their baselines', over all similarities.

        `corrected` is the chance-corrected similarity, `floor` that of networks that differ only in seed, and
        `degenerate` the share of the quantized networks' maps that say nothing and are left out. All that sets a network
        apart from its baseline counts, further training included.
        """
        quantized = [s for s in self._grid.subjects if s.role == "model" and not s.is_baseline and not s.is_fine_tuned]
        similar = [metric for metric in self._metrics if self._is_similarity(metric)]
        columns = ["rank", "method", "scope", "corrected", "ci_low", "ci_high", "floor", "degenerate", "n"]
        if not quantized or not similar:
            return pd.DataFrame(columns=columns)
        names = [explainer.label for explainer in self._grid.settings.explainers]
        kept, floors, degenerate = [], [], []
        for method in names:
            scores, retrained = [], []
            for subject, metric in itertools.product(quantized, similar):
                ours = self._grid.cells[subject, method].scores[metric]
                scores.append(self._corrected(subject, method, metric, ours))
                floor = statistics.mean_of(self._references(subject, method, metric))
                retrained.append(self._corrected(subject, method, metric, floor))
            kept.append(statistics.mean_of(scores))
            floors.append(statistics.defined_mean(np.stack(retrained)))
            degenerate.append(np.mean([self._grid.cells[subject, method].degenerate.mean() for subject in quantized]))
        mean, low, high = statistics.intervals(np.stack(kept))
        counts = [int((~np.isnan(values)).sum()) for values in kept]
        table = pd.DataFrame(
            {
                "method": names,
                "scope": "network",
                "corrected": mean,
                "ci_low": low,
                "ci_high": high,
                "floor": floors,
                "degenerate": degenerate,
                "n": counts,
            }
        ).sort_values("corrected", ascending=False, kind="stable", ignore_index=True)
        return table.assign(rank=np.arange(1, len(table) + 1))[columns]

    def models(self) -> pd.DataFrame:
        """Return a row per model.

        `interpretability` is how much better its maps score than the first baseline's, over the methods and metrics
        that tell a trained network from an untrained one, in standard deviations between images; with its 95 % interval.
        """
        grid = self._grid
        rows = []
        # All models on one scale, that of the first baseline, so that they can be compared with one another.
        reference = next(subject for subject in grid.subjects if subject.is_baseline)
        scores = np.stack(
            [
                self._composite.mean(self._composite.differences(grid, grid.by_name[name], reference))
                for name in self._models
            ]
        )
        interpretability = dict(zip(self._models, zip(*statistics.intervals(scores), strict=True), strict=True))
        accuracies = {name: round(grid.accuracies[grid.by_name[name]], 6) for name in self._models}
        networks = {subject.name: group.name for group in self._groups for subject in group.members.values()}
        for name, model in self._models.items():
            subject = grid.by_name[name]
            log_p, log_q = (log_softmax(grid.logits[n].astype(np.float64), axis=1) for n in (subject.baseline, name))
            about = {key: value for key, value in self._about(subject).items() if key != "role"}
            rows.append(
                about
                | {
                    "networks": networks[name],
                    "scope": "network",
                    "first_last_bits": self._bits[name].ends,
                    "accuracy": accuracies[name],
                    "baseline": subject.baseline,
                    "fine_tuned": subject.fine_tuned,
                    "accuracy_delta": accuracies[name] - accuracies[subject.baseline],
                    "flips": float((log_p.argmax(axis=1) != log_q.argmax(axis=1)).mean()),
                    "kl": float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()),
                    "parameters": model.parameters,
                    "size_kib": model.ideal_bytes / 1024,
                    "file_kib": model.file_bytes / 1024,
                    "compression_ratio": 4 * model.parameters / model.ideal_bytes,
                    "bops": sum(layer.bops for layer in self._layers[name]),
                    "surrogate_gap": grid.surrogate_gaps[name],
                    **dict(zip(INTERPRETABILITY_COLUMNS, interpretability[name], strict=True)),
                }
            )
        return pd.DataFrame(rows)

    def layers(self) -> pd.DataFrame:
        """Return a row per model and layer with weights."""
        rows = [
            {
                "dataset": model.card.dataset,
                "model": name,
                "layer": layer.name,
                "shape": "x".join(map(str, layer.shape)),
                "weight_bits": layer.weight_bits,
                "activation_bits": layer.activation_bits,
                "alpha": np.nan if layer.alpha is None else layer.alpha,
                "kib": layer.weight_bytes / 1024,
                "mmacs": layer.macs / 1e6,
                "mbops": layer.bops / 1e6,
            }
            for name, model in self._models.items()
            for layer in self._layers[name]
        ]
        return pd.DataFrame(rows)


def check_keys(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return the tables, in each of which `KEYS` tells every row from all others.

    Raises:
        RuntimeError: names the table and the first row that is there twice: a fault of this package.
    """
    for name, table in tables.items():
        twice = table.duplicated(list(KEYS[name]))
        if twice.any():
            raise RuntimeError(f"the table {name} has two rows for {tuple(table.loc[twice, list(KEYS[name])].iloc[0])}")
    return tables


def _frame(rows: list[dict], measured: dict[str, Any], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(rows).assign(**measured)[list(columns)]


def _without(columns: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in columns.items() if key not in names}


def _images(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return the numbers of images with a score by any seed, of arrays (seeds, n)."""
    return np.array([(~np.isnan(each)).any(axis=0).sum() for each in values])


def _keeping(mask: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda values: np.where(mask, values, np.nan)


def scorer_record(scorer: Scorer, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return what reports print of a metric with its parameters."""
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
