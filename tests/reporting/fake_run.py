"""Results that look like a comparison's, without one: every table of the schema, drawn from a seed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from saq_eval.reporting import Gallery

Run = tuple[dict[str, pd.DataFrame], dict[str, Any], Gallery]

SCHEMES = {
    "fp32": ("32", "32", 0.9344, 574.2, 6262e6),
    "w8a8": ("8", "8", 0.9355, 146.0, 391e6),
    "w4a4": ("4", "4", 0.9333, 75.1, 106e6),
    "w4a2": ("4", "2", 0.9213, 75.1, 58e6),
    "mixed": ("4/2", "4/2", 0.9305, 48.1, 83e6),
    "w2a2": ("2", "2", 0.9246, 39.7, 35e6),
}
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
    "occlusion:window=5,baseline=blur",
)
CONTROL_METHODS = ("random", "edges")
METRICS = {  # category, higher is better, range
    "FaithfulnessCorrelation": ("faithfulness", True, (-1, 1)),
    "FaithfulnessEstimate": ("faithfulness", True, (-1, 1)),
    "PixelFlipping": ("faithfulness", False, (0, 1)),
    "PixelFlipping:baseline=blur": ("faithfulness", False, (0, 1)),
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
    class_names: Sequence[str] = CLASS_NAMES,
    seed: int = 0,
) -> Run:
    """Return tables, record and gallery of a made-up comparison.

    Args:
        names: other names for models, by the names that they would have ("cnn-w2a2").
        gallery: images in the gallery.
    """
    rng = np.random.default_rng(seed)
    rename = names or {}
    models = _models(rng, dataset, schemes, seeds)
    about = models[["dataset", "model", "scheme", "weight_bits", "activation_bits", "training", "seed"]]
    scores = _scores(rng, about, methods, metrics, samples, len(class_names))
    summary = _summary(rng, scores, models)
    effects = _effects(rng, summary)
    tables = {
        "scores": scores,
        "summary": summary,
        "effects": effects,
        "conditions": _conditions(rng, summary),
        "curves": _curves(rng, about, methods, samples),
        "controls": _controls(rng, summary),
        "agreement": _agreement(rng, metrics),
        "robustness": _robustness(rng, methods),
        "models": models,
        "layers": _layers(models),
        "findings": _findings(dataset),
    }
    for table in tables.values():
        for column in {"model", "baseline"} & set(table.columns):
            table[column] = table[column].replace(rename)
    names = list(tables["models"]["model"])
    pictures = _gallery(rng, names, (*methods, *CONTROL_METHODS), class_names, gallery, side)
    return tables, _run(dataset, tables["models"], methods, metrics, samples), pictures


def hostile_run(**options: Any) -> Run:
    """Return a small result whose models, classes and dataset have names that try to break out."""
    taken = (
        "cnn-fp32",
        "cnn-w8a8",
        "cnn-w4a4",
        "cnn-w2a2",
        "cnn-fp32-sgt",
        "cnn-w8a8-sgt",
        "cnn-w4a4-sgt",
        "cnn-w2a2-sgt",
    )
    return fake_run(
        **{
            "dataset": HOSTILE[0],
            "schemes": ("fp32", "w8a8", "w4a4", "w2a2"),
            "methods": ("saliency", "lrp"),
            "metrics": ("PixelFlipping", "PointingGame", "SSIM"),
            "samples": 16,
            "gallery": 8,
            "names": dict(zip(taken, HOSTILE, strict=True)),
            "class_names": (*HOSTILE, "plain", "=1+1"),
        }
        | options
    )


def _models(rng: np.random.Generator, dataset: str, schemes: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    rows = []
    for training, scheme, seed in itertools.product(TRAININGS, schemes, seeds):
        weight_bits, activation_bits, accuracy, kib, bops = SCHEMES[scheme]
        suffix = f"-s{seed}" if seed else ""
        penalty = 0.0025 if training != "standard" else 0
        index = 0.0 if not rows else float(rng.normal(-0.2, 0.2))
        rows.append(
            {
                "dataset": dataset,
                "model": f"cnn-{scheme}{TRAININGS[training]}{suffix}",
                "scheme": scheme,
                "weight_bits": weight_bits,
                "activation_bits": activation_bits,
                "training": training,
                "seed": seed,
                "networks": scheme,
                "first_last_bits": "32" if scheme == "fp32" else "8",
                "accuracy": round(accuracy - penalty + rng.normal(0, 0.001), 4),
                "baseline": f"cnn-fp32{TRAININGS[training]}{suffix}",
                "flips": 0.0 if scheme == "fp32" else float(rng.uniform(0.005, 0.06)),
                "kl": 0.0 if scheme == "fp32" else float(rng.uniform(0.001, 0.08)),
                "parameters": 147002 if scheme == "fp32" else 147008,
                "size_kib": kib,
                "file_kib": kib + 1.9,
                "compression_ratio": 574.2 / kib,
                "bops": bops,
                "surrogate_gap": {"32": 0.02, "8": 0.02, "4": 0.23, "4/2": 0.5, "2": 0.67}[activation_bits],
                "interpretability": index,
                "interpretability_ci_low": index - 0.1,
                "interpretability_ci_high": index + 0.1,
            }
        )
    table = pd.DataFrame(rows)
    parents = table.set_index("model")["accuracy"]
    table.insert(10, "accuracy_delta", table["accuracy"] - parents[table["baseline"]].to_numpy())
    return table


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
    drop = frame["scheme"].map({s: 0.03 * place for place, s in enumerate(SCHEMES)})
    sign = np.where(frame["metric"].map(lambda m: METRICS[m][1]), -1, 1)
    same = (frame["scheme"] == "fp32") & (frame["category"] == "similarity")
    frame["score"] = np.where(same, 1.0, level + sign * drop + rng.normal(0, 0.15, len(frame)))
    return frame


def _summary(rng: np.random.Generator, scores: pd.DataFrame, models: pd.DataFrame) -> pd.DataFrame:
    keys = [c for c in scores.columns if c not in ("sample", "label", "prediction", "target", "score")]
    table = scores.groupby(keys, sort=False)["score"].agg(["count", "mean", "std"]).reset_index()
    half = 1.96 * table.pop("std") / np.sqrt(table["count"])
    table = table.rename(columns={"count": "n"})
    table["higher_is_better"] = table["metric"].map(lambda m: METRICS[m][1])
    table["degenerate"] = np.where(table["method"] == "gradcam", rng.integers(0, 9, len(table)), 0)
    table["ci_low"], table["ci_high"] = table["mean"] - half, table["mean"] + half
    table["baseline"] = table["model"].map(models.set_index("model")["baseline"])
    similarity = table["category"] == "similarity"
    means = table.set_index(["model", "method", "metric"])["mean"]
    parents = means[pd.MultiIndex.from_frame(table[["baseline", "method", "metric"]])].to_numpy()
    table["chance"] = np.where(similarity, 0.2, np.nan)
    table["corrected"] = (table["mean"] - table["chance"]) / (1 - table["chance"])
    table["floor"] = np.where(similarity, 0.42, np.nan)
    table["noise"] = np.where(similarity, 0.8, np.nan)
    table["delta"] = np.where(similarity, table["mean"] - table["floor"], table["mean"] - parents)
    return _verdicts(rng, table, half)


def _verdicts(rng: np.random.Generator, table: pd.DataFrame, half: pd.Series) -> pd.DataFrame:
    table["margin"] = 0.03
    width = half * rng.uniform(0.5, 1, len(table))
    table["delta_ci_low"], table["delta_ci_high"] = table["delta"] - width, table["delta"] + width
    table["p_value"] = np.clip(np.exp(-3 * np.abs(table["delta"]) / width.clip(lower=1e-3)), 1e-12, 1)
    table["p_adjusted"] = (4 * table["p_value"]).clip(upper=1)
    table["effect_size"] = table["delta"] / 0.15
    up = np.where(table["higher_is_better"], 1, -1)
    table["verdict"] = np.select(
        [
            (table.get("scheme") == "fp32"),
            (table["delta_ci_low"] > -table["margin"]) & (table["delta_ci_high"] < table["margin"]),
            (table["p_adjusted"] < 0.05) & (up * table["delta"] < 0),
            (table["p_adjusted"] < 0.05) & (up * table["delta"] > 0),
        ],
        ["", "equivalent", "worse", "better"],
        "no evidence",
    )
    return table


def _effects(rng: np.random.Generator, summary: pd.DataFrame) -> pd.DataFrame:
    rows = summary[(summary["role"] == "model") & (summary["scheme"] != "fp32")]
    keys = ["dataset", "scheme", "training", "method", "metric", "category", "higher_is_better"]
    table = rows.groupby(keys, sort=False).agg(
        seeds=("seed", "nunique"),
        n=("n", "sum"),
        mean=("mean", "mean"),
        ci_low=("ci_low", "mean"),
        ci_high=("ci_high", "mean"),
        delta=("delta", "mean"),
        floor=("floor", "mean"),
    )
    table = table.reset_index()
    table.insert(1, "networks", table["scheme"])
    return _verdicts(rng, table, (table["ci_high"] - table["ci_low"]) / 2 / np.sqrt(table["seeds"]))


def _conditions(rng: np.random.Generator, summary: pd.DataFrame) -> pd.DataFrame:
    rows = summary[(summary["role"] == "model") & (summary["scheme"] != "fp32")]
    dropped = ["higher_is_better", "degenerate", "baseline", "margin", "chance", "corrected", "floor", "noise"]
    some = rows.drop(columns=[*dropped, "ci_low", "ci_high"])
    return pd.concat(
        some.assign(condition=condition, n=some["n"] - rng.integers(0, 9, len(some)))
        for condition in ("both right", "agree")
    ).reset_index(drop=True)


def _curves(rng: np.random.Generator, about: pd.DataFrame, methods: Sequence[str], samples: int) -> pd.DataFrame:
    steps = np.linspace(0, 1, 15)
    rows = []
    for row in about.itertuples(index=False):
        worse = 0.06 * list(SCHEMES).index(row.scheme)
        for method, metric in itertools.product((*methods, *CONTROL_METHODS), CURVES):
            pace = rng.uniform(3, 7) * (1 - worse)
            mean = 0.1 + 0.83 * np.exp(-pace * steps)
            for step, value in zip(steps, mean, strict=True):
                role = "control" if method in CONTROL_METHODS else "model"
                rows.append((*row, role, method, metric, step, samples, value, value - 0.04, value + 0.04))
    columns = [*about.columns, "role", "method", "metric", "step", "n", "mean", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def _controls(rng: np.random.Generator, summary: pd.DataFrame) -> pd.DataFrame:
    rows = summary[summary["role"] == "model"]
    kept = ["dataset", "model", "scheme", "weight_bits", "activation_bits", "training", "seed", "role"]
    rows = rows[[*kept, "method", "metric", "category", "higher_is_better", "n", "mean"]]
    table = pd.concat(rows.assign(control=control) for control in ("random", "edges", "random weights"))
    table["difference"] = rng.normal(0.1, 0.1, len(table))
    table["control_mean"] = table["mean"] - table["difference"]
    table["ci_low"], table["ci_high"] = table["difference"] - 0.06, table["difference"] + 0.06
    blind = (table["metric"] == "PointingGame") & (table["control"] == "edges")
    table["verdict"] = np.where(blind | (table["ci_low"] < 0), "unclear", "better")
    return table.reset_index(drop=True)


def _agreement(rng: np.random.Generator, metrics: Sequence[str]) -> pd.DataFrame:
    pairs = itertools.combinations(metrics, 2)
    return pd.DataFrame([(a, b, rng.uniform(-0.3, 0.9), 12) for a, b in pairs], columns=["metric", "other", "tau", "n"])


def _robustness(rng: np.random.Generator, methods: Sequence[str]) -> pd.DataFrame:
    values = np.sort(rng.uniform(0.2, 0.7, len(methods)))[::-1]
    return pd.DataFrame(
        {
            "method": methods,
            "rank": np.arange(1, len(methods) + 1),
            "corrected": values,
            "ci_low": values - 0.05,
            "ci_high": values + 0.05,
            "n": 640,
        }
    )


def _layers(models: pd.DataFrame) -> pd.DataFrame:
    shapes = ("24x1x3x3", "24x24x3x3", "48x24x3x3", "48x48x3x3", "64x48x3x3", "128x576", "10x128")
    rows = []
    for model in models.itertuples():
        for place, shape in enumerate(shapes):
            ends = place in (0, len(shapes) - 1)
            bits = 32 if model.scheme == "fp32" else 8 if ends else int(model.weight_bits[0])
            weights = int(np.prod([int(part) for part in shape.split("x")]))
            alpha = np.nan if place == len(shapes) - 1 or model.scheme == "fp32" else 1.5 + 0.3 * place
            macs = weights * (784 if place < 2 else 49) / 1e6
            layer = (
                f"layers.{place}",
                shape,
                str(bits),
                str(bits),
                alpha,
                weights * bits / 8192,
                macs,
                macs * bits * bits,
            )
            rows.append((model.dataset, model.model, *layer))
    columns = ["dataset", "model", "layer", "shape", "weight_bits", "activation_bits", "alpha", "kib", "mmacs", "mbops"]
    return pd.DataFrame(rows, columns=columns)


def _findings(dataset: str) -> pd.DataFrame:
    rows = [
        (
            "4-bit networks keep their explanations",
            "supported",
            "12 of 14 metrics stay within the noise floor at 4 bits.",
        ),
        ("2-bit networks explain worse", "mixed", "Faithfulness falls in 5 of 10 methods; localisation does not."),
        ("Saliency-guided training protects the maps", "unsupported", "No metric differs between the two trainings."),
    ]
    return pd.DataFrame([(dataset, *row) for row in rows], columns=["dataset", "claim", "verdict", "text"])


def _run(
    dataset: str, models: pd.DataFrame, methods: Sequence[str], metrics: Sequence[str], samples: int
) -> dict[str, Any]:
    described = [(m, "control" if m in CONTROL_METHODS else "gradient") for m in (*methods, *CONTROL_METHODS)]
    return {
        "command": f"saq-eval compare --dataset {dataset!r} --methods standard --samples {samples} --seed 0",
        "dataset": dataset,
        "headline": [
            "At 4 bits the maps change no more than retraining with another seed changes them.",
            "At 2 bits faithfulness is worse in 5 of 10 methods, by 0.06 on average, and accuracy falls by 1.0 points.",
            "Saliency-guided training makes no difference that these 64 images could show.",
        ],
        "samples": samples,
        "test_images": 10000,
        "image_indices": list(range(samples)),
        "target": "label",
        "seed": 0,
        "batch_size": 64,
        "device": "cpu",
        "threads": 2,
        "workers": 2,
        "methods": {
            label: {
                "name": label.partition(":")[0],
                "parameters": {"n_steps": 32, "baseline": "black"} if "gradients" in label else {},
                "sign": "signed",
                "family": family,
                "passes": 1,
                "description": "What it does, in one sentence.",
                "settings": "n_steps=32,baseline=black" if "gradients" in label else "",
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
        "statistics": {"bootstrap_resamples": 2000, "confidence": 0.95},
        "models": {
            row.model: {"role": "model", "weights_sha256": f"{place:064x}", "baseline": row.baseline}
            for place, row in enumerate(models.itertuples())
        },
        "maps": {"kept": False, "computed": 168, "read": 0},
        "versions": {"python": "3.11.7", "saq_eval": "0.1.0", "torch": "2.13.0", "plotly": "7.1.0"},
        "wall_seconds": {"loading": 3.2, "attribution": 141.5, "metrics": 402.0, "statistics": 8.1},
    }


def _gallery(
    rng: np.random.Generator,
    models: Sequence[str],
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
        if "fp32" in model:
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
