"""Results that look like a comparison's, without one: every table of the schema, drawn from a seed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from saq_eval.analysis.record import SCHEMA
from saq_eval.analysis.schema import MEAN
from saq_eval.analysis.statistics import ENOUGH, LEVEL, MARGIN, NETWORKS, SAME_MAPS
from saq_eval.analysis.steps import STEPS
from saq_eval.analysis.tables import TABLES, ResultTable
from saq_eval.analysis.wording import Found, in_words
from saq_eval.reporting import Gallery

Run = tuple[dict[str, pd.DataFrame], dict[str, Any], Gallery]

# The steps that these networks take. "change" is for networks of which it is not known how they were made.
TAKEN = [step for step in STEPS if step != "change"]
FINE_TUNED = "fp32-ft"  # the full-precision control for further training
SCHEMES = {
    "fp32": ("32", "32", 0.9344, 574.2, 6262e6),
    FINE_TUNED: ("32", "32", 0.9349, 574.2, 6262e6),
    "w8a8": ("8", "8", 0.9355, 146.0, 391e6),
    "w4a4": ("4", "4", 0.9333, 75.1, 106e6),
    "w4a2": ("4", "2", 0.9213, 75.1, 58e6),
    "mixed": ("4/2", "4/2", 0.9305, 48.1, 83e6),
    "w2a2": ("2", "2", 0.9246, 39.7, 35e6),
}
_LOSS = {"fp32": 0.0, FINE_TUNED: 0.01, "w8a8": 0.03, "w4a4": 0.06, "w4a2": 0.09, "mixed": 0.12, "w2a2": 0.15}
_NOISE = 0.15  # the scores' standard deviation between images
TRAININGS = {"standard": "", "saliency-guided": "-sgt"}
METHODS = (
    "saliency",
    "input_x_gradient",
    "integrated_gradients",
    "smoothgrad",
    "gradient_shap",
    "guided_backprop",
    "deeplift",
    "lrp",
    "gradcam",
    "occlusion:window=5,fill=blur",
)
CONTROL_METHODS = ("random", "edges")
METRICS = {  # category, higher is better, range
    "FaithfulnessCorrelation": ("faithfulness", True, (-1, 1)),
    "FaithfulnessEstimate": ("faithfulness", True, (-1, 1)),
    "PixelFlipping": ("faithfulness", False, (0, 1)),
    "PixelFlipping:fill=blur": ("faithfulness", False, (0, 1)),
    "ROAD": ("faithfulness", False, (0, 1)),
    "PointingGame": ("localisation", True, (0, 1)),
    "RelevanceRankAccuracy": ("localisation", True, (0, 1)),
    "RelevanceMassAccuracy": ("localisation", True, (0, 1)),
    "Sparseness": ("complexity", True, (0, 1)),
    "Complexity": ("complexity", False, (0, 7)),
    "MaxSensitivity": ("robustness", False, (0, 5)),
    "Completeness": ("axiomatic", False, (0, 5)),
    "SSIM": ("similarity", True, (-1, 1)),
    "Spearman": ("similarity", True, (-1, 1)),
    "TopKIoU:k=0.2": ("similarity", True, (0, 1)),
}
CURVES = ("PixelFlipping", "ROAD")
CLASS_NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
HOSTILE = (
    '<script>alert("x")</script>',
    "\"><img src=x onerror='alert(1)'>",
    "two\nlines\r\n{{ run }} %{x} $\\input{x}$",
    "\u202egnp.exe\u200f and \u2067right-to-left",
    "x" * 200,
    "=HYPERLINK(\"http://example.invalid\"), 'quoted' | & \\ ~ ^ _ # % {}",
    '<a href="http://example.invalid">link</a></script><!--',
    "--><![CDATA[ ]]> &lt;b&gt; `code` [link](http://example.invalid)",
)


def fake_run(
    dataset: str = "fashionmnist",
    *,
    schemes: Sequence[str] = tuple(SCHEMES),
    methods: Sequence[str] = METHODS,
    metrics: Sequence[str] = tuple(METRICS),
    seeds: Sequence[int] = (0,),
    samples: int = 64,
    gallery: int = 24,
    side: int = 28,
    names: dict[str, str] | None = None,
    groups: dict[str, str] | None = None,
    class_names: Sequence[str] = CLASS_NAMES,
    seed: int = 0,
) -> Run:
    """Return tables, record and gallery of a made-up comparison.

    Args:
        schemes: out of `SCHEMES`; with `FINE_TUNED` there are the steps "bits" and "further training", too.
        seeds: of three, effects and findings speak of the scheme.
        samples: of fewer than 30, all verdicts are "too few images".
        names: other names for models, by the names that they would have ("cnn-w2a2").
        groups: other names for groups of networks, by their schemes.
        gallery: images in the gallery.
    """
    rng = np.random.default_rng(seed)
    rename = names or {}
    models = _models(rng, dataset, schemes, seeds, groups or {})
    about = models[["dataset", "model", "scheme", "weight_bits", "activation_bits", "training", "seed"]]
    scores = _scores(rng, about, methods, metrics, samples, len(class_names))
    summary = _summary(rng, scores, models)
    tables = {
        "scores": scores,
        "summary": summary,
        "effects": _effects(rng, summary, models),
        "conditions": _conditions(rng, summary),
        "curves": _curves(rng, about, methods, samples),
        "controls": _controls(rng, summary),
        "agreement": _agreement(rng, metrics, len(models)),
        "robustness": _robustness(rng, methods),
        "models": models,
        "layers": _layers(models),
        "findings": _findings(models),
    }
    tables["holes"] = _holes(tables["summary"])
    tables |= {name: _any(TABLES[name]) for name in TABLES if name not in tables}
    tables = {name: table[list(TABLES[name].columns)] for name, table in tables.items()}
    for table in tables.values():
        for column in {"model", "baseline", "fine_tuned"} & set(table.columns):
            table[column] = table[column].replace(rename)
    names = list(tables["models"]["model"])
    shown = names if len(seeds) == 1 else list(tables["models"].query("seed == @seeds[0]")["model"])
    own = set(tables["models"]["baseline"])
    pictures = _gallery(rng, shown, own, (*methods, *CONTROL_METHODS), class_names, gallery, side)
    return tables, _run(dataset, tables["models"], methods, metrics, samples), pictures


def _any(table: ResultTable) -> pd.DataFrame:
    """Return a row of a table that nothing more is known of."""
    values = {"text": "some text", "number": 0.5, "truth": True}
    return pd.DataFrame({column: [values[kind]] for column, kind in table.columns.items()})


def hostile_run(**options: Any) -> Run:
    """Return a small result whose models, groups, classes and dataset have names that try to break out."""
    taken = (
        "cnn-fp32",
        "cnn-fp32-ft",
        "cnn-w4a4",
        "cnn-w2a2",
        "cnn-fp32-sgt",
        "cnn-fp32-ft-sgt",
        "cnn-w4a4-sgt",
        "cnn-w2a2-sgt",
    )
    return fake_run(
        **{
            "dataset": HOSTILE[0],
            "schemes": ("fp32", FINE_TUNED, "w4a4", "w2a2"),
            "methods": ("saliency", "lrp"),
            "metrics": ("PixelFlipping", "PointingGame", "SSIM"),
            "samples": 32,
            "gallery": 8,
            "names": dict(zip(taken, HOSTILE, strict=True)),
            "groups": {FINE_TUNED: HOSTILE[5], "w4a4": HOSTILE[1], "w2a2": HOSTILE[6]},
            "class_names": (*HOSTILE, "plain", "=1+1"),
        }
        | options
    )


def _models(
    rng: np.random.Generator,
    dataset: str,
    schemes: Sequence[str],
    seeds: Sequence[int],
    groups: dict[str, str],
) -> pd.DataFrame:
    rows = []
    for training, scheme, seed in itertools.product(TRAININGS, schemes, seeds):
        weight_bits, activation_bits, accuracy, kib, bops = SCHEMES[scheme]
        full, own = weight_bits == "32", scheme == "fp32"
        behind = f"{TRAININGS[training]}{f'-s{seed}' if seed else ''}"
        penalty = 0.0025 if training != "standard" else 0
        index = 0.0 if not rows else float(rng.normal(-0.2, 0.2))
        rows.append(
            {
                "dataset": dataset,
                "model": f"cnn-{scheme}{behind}",
                "scheme": scheme,
                "weight_bits": weight_bits,
                "activation_bits": activation_bits,
                "training": training,
                "seed": seed,
                "networks": groups.get(scheme, scheme),
                "scope": "network",
                "first_last_bits": "32" if full else "8",
                "accuracy": round(accuracy - penalty + rng.normal(0, 0.001), 4),
                "baseline": f"cnn-fp32{behind}",
                "fine_tuned": f"cnn-{FINE_TUNED}{behind}" if FINE_TUNED in schemes and not own else "",
                "flips": 0.0 if own else float(rng.uniform(0.005, 0.06)),
                "kl": 0.0 if own else float(rng.uniform(0.001, 0.08)),
                "parameters": 147002 if full else 147008,
                "size_kib": kib,
                "file_kib": kib + 1.9,
                "compression_ratio": 574.2 / kib,
                "bops": int(bops),
                "surrogate_gap": {"32": 0.02, "8": 0.02, "4": 0.23, "4/2": 0.5, "2": 0.67}[activation_bits],
                "interpretability": index,
                "interpretability_ci_low": index - 0.1,
                "interpretability_ci_high": index + 0.1,
            }
        )
    table = pd.DataFrame(rows)
    parents = table.set_index("model")["accuracy"]
    return table.assign(accuracy_delta=table["accuracy"] - parents[table["baseline"]].to_numpy())


def _scores(
    rng: np.random.Generator,
    about: pd.DataFrame,
    methods: Sequence[str],
    metrics: Sequence[str],
    samples: int,
    classes: int,
) -> pd.DataFrame:
    labels = rng.integers(0, classes, samples)
    cells = [
        (*row, "control" if method in CONTROL_METHODS else "model", method, metric, METRICS[metric][0])
        for row in about.itertuples(index=False)
        for method in (*methods, *CONTROL_METHODS)
        for metric in metrics
        if not (method in CONTROL_METHODS and METRICS[metric][0] == "similarity")
    ]
    columns = [*about.columns, "role", "method", "metric", "category"]
    frame = pd.DataFrame(cells, columns=columns).loc[lambda t: t.index.repeat(samples)].reset_index(drop=True)
    frame["sample"] = np.tile(np.arange(samples), len(cells))
    frame["label"] = frame["target"] = np.tile(labels, len(cells))
    frame["prediction"] = np.where(rng.random(len(frame)) < 0.93, frame["label"], (frame["label"] + 1) % classes)
    level = frame["method"].map({m: rng.uniform(0.3, 0.6) for m in frame["method"].unique()})
    sign = np.where(frame["metric"].map(lambda m: METRICS[m][1]), -1, 1)
    same = (frame["scheme"] == "fp32") & (frame["category"] == "similarity")
    noise = rng.normal(0, _NOISE, len(frame))
    frame["score"] = np.where(same, 1.0, level + sign * frame["scheme"].map(_LOSS) + noise)
    return frame


def _summary(rng: np.random.Generator, scores: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    keys = [c for c in scores.columns if c not in ("sample", "label", "prediction", "target", "score")]
    table = scores.groupby(keys, sort=False)["score"].agg(["count", "mean", "std"]).reset_index()
    half = 1.96 * table.pop("std") / np.sqrt(table["count"])
    table = table.rename(columns={"count": "n"})
    table["mask"] = np.where(table["category"] == "localisation", "Otsu", "")
    table["higher_is_better"] = table["metric"].map(lambda m: METRICS[m][1])
    table["degenerate"] = np.where(table["method"] == "gradcam", rng.integers(0, 9, len(table)), 0)
    table["ci_low"], table["ci_high"] = table["mean"] - half, table["mean"] + half
    table["baseline"] = table["model"].map(models.set_index("model")["baseline"])
    similar, own = table["category"] == "similarity", table["model"] == table["baseline"]
    table["chance"] = np.where(similar, 0.2, np.nan)
    table["corrected"] = (table["mean"] - table["chance"]) / (1 - table["chance"])
    table["floor"] = np.where(similar, 0.42, np.nan)
    table["noise"] = np.where(similar, 0.8, np.nan)
    others = np.where(similar & ~own, table["floor"], _means(table, table["baseline"], table))
    table["delta"] = table["mean"] - others
    table = _tested(rng, table.assign(seeds=1), half.where(~own, 0))
    table.loc[own, ["retraining_low", "retraining_high"]] = np.nan
    return table.assign(retraining=table["retraining"].where(~own, ""))


def _means(summary: pd.DataFrame, models: pd.Series, rows: pd.DataFrame) -> np.ndarray:
    """Return models' means by the methods and metrics of some rows."""
    means = summary.set_index(["model", "method", "metric"])["mean"]
    return means[pd.MultiIndex.from_arrays([models, rows["method"], rows["metric"]])].to_numpy()


def _tested(rng: np.random.Generator, table: pd.DataFrame, half: pd.Series) -> pd.DataFrame:
    """Say of each row's `delta`, which rests on `n` images and `seeds`, what a comparison would.

    Args:
        half: of the width of an interval, at most.
    """
    count = len(table)
    delta, similar, drawn = table["delta"], table["category"] == "similarity", table["seeds"] >= NETWORKS
    width = half * rng.uniform(0.1, 1, count)
    error = width.clip(lower=1e-9) / 1.96
    margin = np.where(similar, SAME_MAPS, MARGIN * _NOISE)
    p_value = 2 * norm.sf(delta.abs() / error)
    # Similar maps are the same only where they are close to identical.
    p_equivalence = norm.sf((margin - np.where(similar, 1 - table["mean"], delta.abs())) / error)
    certain, negligible = (1.1 * p_value).clip(max=1) < LEVEL, (1.1 * p_equivalence).clip(max=1) < LEVEL
    better = (delta > 0) == table["higher_is_better"]
    word = pd.Series(np.where(better, "better", "worse"), table.index)
    verdict = np.select(
        [table["n"] < ENOUGH, negligible & similar, certain & negligible, certain, negligible],
        ["too few images", "negligible", word + ", but within the margin", word, "negligible"],
        "undecided",
    )
    retrained = np.where(drawn, np.where(similar, 0, table["seeds"]), 4)
    middle, reach = rng.normal(0, 0.01, count), rng.uniform(0.02, 0.12, count)
    low, high = (np.where(retrained > 0, end, np.nan) for end in (middle - reach, middle + reach))
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    beyond = ((delta < low) | (delta > high)) & ~(similar & better)
    undecided = (verdict == "undecided") & ~similar
    return table.assign(
        scope=np.where(drawn, "scheme", "network"),
        delta_ci_low=delta - width,
        delta_ci_high=delta + width,
        p_value=p_value,
        p_adjusted=(1.1 * p_value).clip(max=1),
        effect_size=delta / _NOISE,
        margin=margin,
        p_equivalence=(1.1 * p_equivalence).clip(max=1),
        verdict=verdict,
        retrained=retrained,
        retraining_low=low,
        retraining_high=high,
        retraining=np.where(retrained < NETWORKS, "", np.where(beyond, "beyond", "within")),
        networks_needed=np.where(undecided & drawn, table["seeds"] + rng.integers(1, 40, count), np.nan),
        images_needed=np.where(undecided, 10.0 * rng.integers(7, 400, count), np.nan),
    )


def _effects(rng: np.random.Generator, summary: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    about = models.set_index("model")
    rows = summary[(summary["role"] == "model") & (summary["model"] != summary["baseline"])]
    rows = rows.assign(networks=rows["model"].map(about["networks"]), architecture="cnn")
    steps = []
    for (_, scheme), some in rows.groupby(["training", "scheme"], sort=False):
        tuned = some["model"].map(about["fine_tuned"])
        if scheme != FINE_TUNED and tuned.all():
            others = _means(summary, tuned, some)
            delta = some["delta"].where(some["category"] == "similarity", some["mean"] - others)
            steps.append(some.assign(step="bits", delta=delta))
        steps.append(some.assign(step="further training" if scheme == FINE_TUNED else "whole"))
    keys = ["dataset", "networks", "architecture", "scheme", "training", "step", "method", "metric", "category"]
    table = pd.concat(steps).groupby([*keys, "mask", "higher_is_better"], sort=False)
    table = table.agg(seeds=("seed", "nunique"), n=("n", "max"), **{c: (c, "mean") for c in (*MEAN, "delta", "floor")})
    table = table.reset_index()
    return _tested(rng, table, (table["ci_high"] - table["ci_low"]) / 2 / np.sqrt(table["seeds"]))


def _conditions(rng: np.random.Generator, summary: pd.DataFrame) -> pd.DataFrame:
    rows = summary[(summary["role"] == "model") & (summary["model"] != summary["baseline"])]
    parts = [
        rows.assign(condition=condition, n=rows["n"] - rng.integers(0, 9, len(rows)))
        for condition in ("both right", "agree")
    ]
    table = pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)
    return table.assign(verdict=table["verdict"].where(table["n"] >= ENOUGH, "too few images"))


def _curves(rng: np.random.Generator, about: pd.DataFrame, methods: Sequence[str], samples: int) -> pd.DataFrame:
    steps = np.linspace(0, 1, 15)
    rows = []
    for row in about.itertuples(index=False):
        for method, metric in itertools.product((*methods, *CONTROL_METHODS), CURVES):
            pace = rng.uniform(3, 7) * (1 - 2 * _LOSS[row.scheme])
            mean = 0.1 + 0.83 * np.exp(-pace * steps)
            for step, value in zip(steps, mean, strict=True):
                role = "control" if method in CONTROL_METHODS else "model"
                rows.append((*row, role, method, metric, "network", step, samples, value, value - 0.04, value + 0.04))
    return pd.DataFrame(rows, columns=list(TABLES["curves"].columns))


def _holes(summary: pd.DataFrame) -> pd.DataFrame:
    """Return two holes of the last network: by its last metric, with the first two methods."""
    last = summary[(summary["role"] == "model") & (summary["model"] == summary["model"].iloc[-1])]
    rows = last[last["metric"] == last["metric"].iloc[-1]].head(2)
    return rows.assign(reason="no weights to randomise")[list(TABLES["holes"].columns)].reset_index(drop=True)


def _controls(rng: np.random.Generator, summary: pd.DataFrame) -> pd.DataFrame:
    rows = summary[summary["role"] == "model"]
    similar, own = rows["category"] == "similarity", rows["model"] == rows["baseline"]
    parts = [rows[~(similar & own)].assign(control=control) for control in CONTROL_METHODS]
    table = pd.concat([*parts, rows[similar != own].assign(control="random weights")])
    blind = (table["metric"] == "PointingGame") & (table["control"] == "edges")
    away = rng.normal(np.where(blind, 0, 0.15), np.where(blind, 0.01, 0.06))
    table["difference"] = np.where(table["higher_is_better"], away, -away)
    table["control_mean"] = table["mean"] - table["difference"]
    table["ci_low"], table["ci_high"] = table["difference"] - 0.06, table["difference"] + 0.06
    table["p_value"] = 2 * norm.sf(1.96 * table["difference"].abs() / 0.06)
    table["p_adjusted"] = (1.1 * table["p_value"]).clip(upper=1)
    words = np.where(away > 0, "better", "worse")
    return table.assign(verdict=np.where(table["p_adjusted"] < LEVEL, words, "unclear")).reset_index(drop=True)


def _agreement(rng: np.random.Generator, metrics: Sequence[str], models: int) -> pd.DataFrame:
    pairs = itertools.combinations(metrics, 2)
    rows = [(a, b, rng.uniform(-0.3, 0.9), rng.uniform(0, 0.2), models) for a, b in pairs]
    return pd.DataFrame(rows, columns=list(TABLES["agreement"].columns))


def _robustness(rng: np.random.Generator, methods: Sequence[str]) -> pd.DataFrame:
    values = np.sort(rng.uniform(0.2, 0.7, len(methods)))[::-1]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(methods) + 1),
            "method": methods,
            "scope": "network",
            "corrected": values,
            "ci_low": values - 0.05,
            "ci_high": values + 0.05,
            "floor": values - 0.1,
            "degenerate": 0.01,
            "n": 640,
        }
    )


def _layers(models: pd.DataFrame) -> pd.DataFrame:
    shapes = ("24x1x3x3", "24x24x3x3", "48x24x3x3", "48x48x3x3", "64x48x3x3", "128x576", "10x128")
    rows = []
    for model in models.itertuples():
        for place, shape in enumerate(shapes):
            ends = place in (0, len(shapes) - 1)
            bits = 32 if model.weight_bits == "32" else 8 if ends else int(model.weight_bits[0])
            weights = int(np.prod([int(part) for part in shape.split("x")]))
            alpha = np.nan if place == len(shapes) - 1 or bits == 32 else 1.5 + 0.3 * place
            macs = weights * (784 if place < 2 else 49) / 1e6
            layer = (f"layers.{place}", shape, bits, bits, alpha, weights * bits / 8192, macs, macs * bits * bits)
            rows.append((model.dataset, model.model, *layer))
    return pd.DataFrame(rows, columns=list(TABLES["layers"].columns))


_WHAT = {
    "further training": "further training in full precision",
    "bits": "lower precision",
    "whole": "lower precision with its further training",
}
_UNITS = {"accuracy": ("accuracy", 0.005), "interpretability": ("SD", 0.09), "similarity": ("similarity", SAME_MAPS)}
_FOUND = {  # how far the difference lies below 0, and half of its interval's width, in margins
    "supported": (2.0, 0.5),
    "not shown": (0.5, 2.0),
    "negligible": (-0.1, 0.5),
    "contradicted": (-2.0, 0.5),
    "supported, but within the margin": (0.5, 0.3),
    "contradicted, but within the margin": (-0.5, 0.3),
    "too few images": (np.nan, np.nan),
    "": (np.nan, np.nan),
}


def _questions(models: pd.DataFrame) -> list[tuple[str, str, str, str, str, bool]]:
    """Return the claims that are asked: claim, step, quantity, group, training, and whether it says "lower"."""
    questions = []
    tuned = (models["scheme"] == FINE_TUNED).any()
    groups = models.drop_duplicates(["networks", "training"])
    claims = {"interpretability": "lowers interpretability", "similarity": "changes maps more than retraining does"}
    for step, what in _WHAT.items():
        mine = groups[(groups["scheme"] != "fp32") & ((groups["scheme"] == FINE_TUNED) == (step == "further training"))]
        if step == "bits" and not tuned:
            continue
        for name, some in mine.groupby("networks", sort=False):
            trainings = " and ".join(some["training"])
            questions.append((f"{what} lowers accuracy", step, "accuracy", name, trainings, True))
        pairs = list(mine[["networks", "training"]].itertuples(index=False, name=None))
        questions += [(f"{what} {claims[q]}", step, q, *pair, True) for q, pair in itertools.product(claims, pairs)]
    guided = groups.loc[groups["training"] == "saliency-guided", "networks"]
    for quantity, says in (("interpretability", "improves interpretability"), ("accuracy", "lowers accuracy")):
        for name in guided:
            claim = f"saliency-guided training {says}"
            questions.append((claim, "whole", quantity, name, "saliency-guided", quantity == "accuracy"))
    return questions


def _findings(models: pd.DataFrame) -> pd.DataFrame:
    """Return what is found of the claims: all verdicts that there are, in turn."""
    rows = []
    seeds = models["seed"].nunique()
    scope, needed = ("scheme", 7) if seeds >= NETWORKS else ("network", np.nan)
    for question, verdict in zip(_questions(models), itertools.cycle(_FOUND)):
        claim, step, quantity, name, training, lower = question
        unit, margin = _UNITS[quantity]
        away, half = (margin * part for part in _FOUND[verdict])
        delta = -away if lower else away
        unknown = np.isnan(delta)
        found = Found(delta, delta - half, delta + half, margin, verdict, quantity, lower, needed, 260)
        words = in_words(found)
        certain = verdict.startswith(("supported", "contradicted"))
        likely, unlikely = (0.001, 1.0) if certain else (0.2, 0.8)
        same = verdict == "negligible" or verdict.endswith("within the margin")
        claimed, opposite = (unlikely, likely) if verdict.startswith("contradicted") else (likely, unlikely)
        # No retrained networks are asked where two trainings count together, or similarities are compared with them.
        judged = not unknown and " and " not in training and not claim.startswith("saliency-guided")
        judged = judged and not (quantity == "similarity" and scope == "scheme")
        retraining = "" if not judged else "beyond" if verdict in ("supported", "contradicted") else "within"
        text = f"{name}, {training}: {words or 'nothing can be said'}."
        rows.append(
            {
                "dataset": models["dataset"].iloc[0],
                "claim": claim,
                "step": step,
                "quantity": quantity,
                "networks": f"{name}, {training}",
                "group": name,
                "training": training,
                "scope": scope,
                "seeds": seeds,
                "unit": unit,
                "delta": delta,
                "ci_low": delta - half,
                "ci_high": delta + half,
                "p_value": np.nan if unknown else claimed,
                "p_adjusted": np.nan if unknown else claimed,
                "p_opposite": np.nan if unknown else opposite,
                "p_equivalence": np.nan if unknown else 0.001 if same else 0.3,
                "margin": margin,
                "margin_in_spreads": np.nan if quantity == "similarity" else 1.4,
                "verdict": verdict,
                "retraining_low": -1.5 * margin if judged else np.nan,
                "retraining_high": 1.5 * margin if judged else np.nan,
                "retraining": retraining,
                "without_low": delta - 0.01 if quantity == "interpretability" else np.nan,
                "without_high": delta + 0.01 if quantity == "interpretability" else np.nan,
                "words": words,
                "text": text,
            }
        )
    return pd.DataFrame(rows)


def _run(
    dataset: str, models: pd.DataFrame, methods: Sequence[str], metrics: Sequence[str], samples: int
) -> dict[str, Any]:
    described = [(m, "control" if m in CONTROL_METHODS else "gradient") for m in (*methods, *CONTROL_METHODS)]
    return {
        "schema": SCHEMA,
        "plan": {"dataset": dataset, "methods": ["standard"], "samples": samples, "seed": 0},
        "command": f"saq-eval compare --dataset {dataset!r} --methods standard --samples {samples} --seed 0",
        "dataset": dataset,
        "headline": [
            "What lower precision by itself does to accuracy: w4a4, standard: within ±0.5 points; w2a2, standard: lower, by "
            "at least 0.82 points (beyond what retraining does).",
            "To interpretability: w4a4, standard: undecided: anywhere from −0.1 to +0.3 SD.",
            "To the maps' likeness, beside that of retrained networks: w4a4, standard: more alike, by at least 17.6 %.",
            f"This speaks of networks that are trained so, from {models['seed'].nunique()} seeds."
            if models["seed"].nunique() >= NETWORKS
            else f"This speaks of these networks alone: it takes {NETWORKS} seeds to speak of a bit width.",
        ],
        "samples": samples,
        "study": None,
        "missing": [],
        "test_images": 10000,
        "accuracy_on": 10000,
        "image_files": [],
        "image_indices": list(range(samples)),
        "masks": {"kind": "Otsu", "images": samples, "without": 0, "reason": ""},
        "target": "label",
        "seed": 0,
        "batch_size": 64,
        "device": "cpu",
        "workers": 2,
        "methods": {
            label: {
                "name": label.partition(":")[0],
                "parameters": {"n_steps": 32, "fill": "black"} if "gradients" in label else {},
                "sign": "signed",
                "family": family,
                "passes": 1,
                "description": "What it does, in one sentence.",
                "settings": "n_steps=32,fill=black" if "gradients" in label else "",
                "reference": "Sundararajan et al. 2017, arXiv 1703.01365",
            }
            for label, family in described
        },
        "metrics": {
            label: {
                "name": label.partition(":")[0],
                "category": METRICS[label][0],
                "higher_is_better": METRICS[label][1],
                "description": "What it measures, in one sentence.",
                "settings": {"features_in_step": 56, "perturb_baseline": 0.0},
                "reference": "Bach et al. 2015, doi 10.1371/journal.pone.0130140",
                "range": list(METRICS[label][2]),
            }
            for label in metrics
        },
        "interpretability": {
            label: [metric for metric in metrics if METRICS[metric][0] != "similarity"] if place else []
            for place, (label, family) in enumerate(described)
            if family != "control"
        },
        "statistics": {
            "confidence": 0.95,
            "level": LEVEL,
            "fewest_images": ENOUGH,
            "fewest_networks": NETWORKS,
            "margin": MARGIN,
            "same_maps": SAME_MAPS,
        },
        "models": {
            row.model: {
                "role": "model",
                "weights_sha256": f"{place:064x}",
                "baseline": row.baseline,
                "fine_tuned": row.fine_tuned or None,
                "reads": [],
            }
            for place, row in enumerate(models.itertuples())
        },
        "retrained": {
            name: {f"{name}-s{seed}": f"{100 + seed:064x}" for seed in range(1, 5)}
            for name in dict.fromkeys(models["baseline"])
        },
        "maps": {"kept": False, "computed": 168, "read": 0},
        "cells": {"computed": 980, "stored": 4020},
        "failed": [],
        "versions": {"python": "3.11.7", "saq_eval": "0.1.0", "torch": "2.13.0", "plotly": "7.1.0"},
        "wall_seconds": {"loading": 3.2, "attribution": 141.5, "metrics": 402.0, "statistics": 8.1},
    }


def _gallery(
    rng: np.random.Generator,
    models: Sequence[str],
    baselines: set[str],
    methods: Sequence[str],
    class_names: Sequence[str],
    count: int,
    side: int,
) -> Gallery:
    rows, columns = np.mgrid[0:side, 0:side] / (side - 1)

    def blob(y: float, x: float, size: float) -> np.ndarray:
        return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / size)

    centres = rng.uniform(0.3, 0.7, (count, 2))
    images = np.stack([np.clip(1.3 * blob(y, x, 0.08), 0, 1) for y, x in centres])[:, None].astype(np.float32)
    labels = np.arange(count) % len(class_names)
    maps, ssim = {}, {}
    for model, method in itertools.product(models, methods):
        noise = rng.normal(0, 0.35, (count, side, side))
        shapes = np.stack([blob(*(centre + rng.normal(0, 0.06, 2)), 0.03) for centre in centres])
        maps[model, method] = ((shapes + noise) * (images[:, 0] > 0.1)).astype(np.float32)
        ssim[model, method] = np.clip(rng.normal(0.5, 0.2, count), -1, 1)
        if model in baselines:
            ssim[model, method] = np.ones(count)
    maps[models[-1], methods[0]][0] = 0
    ssim[models[-1], methods[0]][0] = np.nan
    predictions = {
        model: np.where(rng.random(count) < 0.9, labels, (labels + 1) % len(class_names)) for model in models
    }
    by_class = {name: np.flatnonzero(labels == place).tolist() for place, name in enumerate(class_names)}
    groups = {
        "worst changed": list(range(min(6, count))),
        "best kept": list(range(max(0, count - 6), count)),
        "misclassified only when quantized": [1, 3] if count > 3 else [],
        **by_class,
    }
    return Gallery.of(
        images=images,
        indices=np.sort(rng.choice(10000, count, replace=False)),
        labels=labels,
        class_names=tuple(class_names),
        predictions=predictions,
        groups=groups,
        maps=maps,
        ssim=ssim,
    )
