"""Render the page, a single HTML file, from the results of one or more comparisons."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from saq_eval.analysis.record import Record
from saq_eval.reporting import figures
from saq_eval.reporting.gallery import Gallery
from saq_eval.reporting.names import short, visible
from saq_eval.reporting.page import tables
from saq_eval.reporting.page.libraries import libraries, notices, packed
from saq_eval.reporting.verdicts import SIMILARITY_MEANINGS, VERDICTS

COLOUR_MAP = "inferno"
_STEPS = 32  # colours of a map; people cannot see more, and the page becomes a third smaller
_ROOM = 1_150_000  # characters for all galleries together, so that a page stays well below 5 MiB

UNKNOWN_FACT = "unknown"
_BITS = ("weight_bits", "activation_bits", "first_last_bits")

Run = tuple[dict[str, pd.DataFrame], Record, Gallery]

_LOADER = PackageLoader("saq_eval.reporting.page")
_TEMPLATES = Environment(
    loader=_LOADER,
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {"visible": visible, "short": short}


def render(runs: Sequence[Run]) -> str:
    """Return the page of one comparison, or of several with their datasets side by side.

    Args:
        runs: the tables, record and gallery of each comparison; see `write_report`.
    """
    runs = with_distinct_datasets(runs)
    galleries = [fitted(gallery, _ROOM // len(runs)) for _, _, gallery in runs]
    merged = merge([with_unknown_facts(each, by_name=False) for each, _, _ in runs])
    charted = merge([with_unknown_facts(each, by_name=True) for each, _, _ in runs])
    records = [run for _, run, _ in runs]
    script = Markup(_source("report.js"))
    return _TEMPLATES.get_template("report.html").render(
        title=f"{', '.join(visible(run['dataset']) for run in records)}: explanations under quantization",
        runs=records,
        counts=[counts(each, run) for each, run, _ in runs],
        holes=[holes(each) for each, _, _ in runs],
        charts=charts(charted),
        tables={
            name: getattr(tables, name)(merged)
            for name in ("networks", "tradeoff", "effects", "verdicts", "summary", "curves")
        }
        | {
            name: getattr(tables, name)(merged)
            for name in ("layers", "findings", "conditions", "controls", "robustness", "agreement")
            if name in merged and not merged[name].empty
        },
        others=[
            tables.plain(name, merged[name]) for name in merged if name not in tables.LOOKS and not merged[name].empty
        ],
        blind=blind(merged),
        degenerate=degenerate(merged["summary"]),
        verdicts=VERDICTS,
        similarity_meanings=SIMILARITY_MEANINGS,
        verdict_sign=tables.verdict_sign,
        galleries=data_element([about_gallery(r, g) for r, (g, _) in zip(records, galleries, strict=True)]),
        pictures=[text for _, text in galleries],
        images=sum(len(gallery.images) for _, _, gallery in runs),
        images_shown=sum(len(gallery.images) for gallery, _ in galleries),
        themes=data_element(
            {name: look.to_plotly_json() for name, look in (("light", figures.LIGHT), ("dark", figures.DARK))}
        ),
        colour_map=COLOUR_MAP,
        colours=data_element(_colours()),
        colour_stops=", ".join(_colours()[::3]),
        steps=_STEPS,
        libraries=libraries(),
        notices=notices(),
        css=Markup(_TEMPLATES.get_template("report.css").render(verdicts=VERDICTS)),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def with_distinct_datasets(runs: Sequence[Run]) -> list[Run]:
    """Give each run a different dataset name, and leave out the scores, which the page does not use."""
    taken: list[str] = []
    distinct = []
    for frames, run, gallery in runs:
        name, count = run["dataset"], 1
        while name in taken:
            count += 1
            name = f"{run['dataset']} ({count})"
        taken.append(name)
        frames = {key: frame.assign(dataset=name) for key, frame in frames.items() if key != "scores"}
        distinct.append((frames, run | {"dataset": name}, gallery))
    return distinct


def with_unknown_facts(frames: dict[str, pd.DataFrame], *, by_name: bool) -> dict[str, pd.DataFrame]:
    """Fill in the facts about networks that nobody has given.

    Args:
        by_name: whether a network of an unknown scheme is called by its own name, as in charts, where each scheme has its
            colour; else its scheme is called unknown.
    """
    filled = {}
    for key, frame in frames.items():
        facts = {}
        if {"scheme", "training"} <= set(frame.columns):
            own = frame["model" if "model" in frame.columns else "networks"]
            facts["scheme"] = frame["scheme"].where(frame["scheme"] != "", own if by_name else UNKNOWN_FACT)
            for fact in {"training", *_BITS} & set(frame.columns):
                facts[fact] = frame[fact].where(frame[fact] != "", UNKNOWN_FACT)
        filled[key] = frame.assign(**facts)
    return filled


def fitted(gallery: Gallery, room: int) -> tuple[Gallery, str]:
    """Drop images, but not the last, until the packed gallery has at most `room` characters; return it and its text."""
    text = pictures(gallery)
    while len(text) > room and len(gallery.images) > 1:
        gallery = gallery.first(max(1, len(gallery.images) * room // (len(text) + 1)))
        text = pictures(gallery)
    return gallery, text


def merge(parts: Sequence[dict[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Concatenate the tables with the same name."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: pd.concat([part[name] for part in parts if name in part], ignore_index=True) for name in names}


def charts(merged: dict[str, pd.DataFrame]) -> dict[str, dict[str, Any]]:
    """Return each chart, packed, with its menu's name and its smallest and largest suitable width in pixels."""
    metrics, datasets = merged["summary"]["metric"].nunique(), merged["models"]["dataset"].nunique()
    networks = merged["effects"]["networks"].nunique()
    widths = {
        "tradeoff": (320 * datasets, 1280),
        "effects": (200 + 130 * networks, 200 + 400 * networks),
        "verdict_matrix": (150 + 74 * metrics, 200 + 160 * metrics),
        "curves": (320, 1280),
    }
    return {name: _chart(getattr(figures, name)(merged), *ends) for name, ends in widths.items()}


def _chart(figure: go.Figure, least: int, greatest: int) -> dict[str, Any]:
    content = figure.to_plotly_json()
    menus = content["layout"].pop("updatemenus", [])
    content["layout"].pop("template")
    content["menus"] = menus
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, default=_plain)
    menu = menus[0]["name"] if menus else ""
    return {"packed": packed(text.encode()), "menu": menu, "least": least, "greatest": greatest}


def data_element(content: Any) -> Markup:
    """Return JSON that is safe in a script element, for any texts in it."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value.to_plotly_json()


def counts(frames: dict[str, pd.DataFrame], run: Record) -> dict[str, Any]:
    """Return the numbers of networks, methods and metrics, the categories, and texts on what is known of the networks."""
    models = frames["models"]
    schemes, trainings = ([name for name in models[fact].unique() if name] for fact in ("scheme", "training"))
    seeds = models["seed"].nunique()
    known = [
        *([f"{len(schemes)} {'scheme' if len(schemes) == 1 else 'schemes'}"] if schemes else []),
        *([f"{' and '.join(map(visible, trainings))} training"] if trainings else []),
        *([f"{seeds} {'seed' if seeds == 1 else 'seeds'}"] if seeds else []),
    ]
    return {
        "networks": len(models),
        "known": known,
        "baselines": _baselines(models),
        "accuracy_on": run.get("accuracy_on", run["test_images"]),
        "methods": sum(method["family"] != "control" for method in run["methods"].values()),
        "metrics": len(run["metrics"]),
        "categories": list(dict.fromkeys(metric["category"] for metric in run["metrics"].values())),
    }


def _baselines(models: pd.DataFrame) -> str:
    """Return a sentence that says what networks are compared with."""
    if models["fine_tuned"].any():
        return (
            "its full-precision parent and, where there is one, with that parent trained on alike in full precision: so what "
            "bits do is told from what further training does."
        )
    return f"{' and '.join(map(visible, models['baseline'].unique()[:3]))}."


def holes(frames: dict[str, pd.DataFrame]) -> list[str]:
    """Return a sentence for each reason why methods cannot explain, or metrics cannot score, some networks."""
    if "holes" not in frames:  # a run of an earlier version
        return []
    missing = frames["holes"]
    missing = missing[missing["role"] == "model"]
    metrics = frames["summary"].groupby(["model", "method"])["metric"].nunique()
    whole = missing.groupby(["model", "method"])["metric"].nunique()
    whole = {key for key, count in whole.items() if count == metrics[key]}
    by: dict[tuple[str, str], list[str]] = {}
    for row in missing.itertuples():
        name = row.method if (row.model, row.method) in whole else row.metric
        by.setdefault((row.model, row.reason), []).append(name)
    return [
        f"{model} has no scores by {', '.join(dict.fromkeys(names))}: {reason}."
        for (model, reason), names in by.items()
    ]


def blind(merged: dict[str, pd.DataFrame]) -> list[tuple[str, list[str]]]:
    """Return the metrics that do not separate most real maps from a control, each with its list of such controls."""
    if "controls" not in merged:
        return []
    found = tables.told_apart(merged["controls"])
    found = found[found["tells"] == "no"]
    return [(metric, list(dict.fromkeys(rows["control"]))) for metric, rows in found.groupby("metric", sort=False)]


def degenerate(summary: pd.DataFrame) -> list[tuple[str, int]]:
    """Return the methods that gave degenerate maps, and the number of these maps over all networks."""
    maps = summary.drop_duplicates(["dataset", "model", "method"])
    found = maps[maps["role"] == "model"].groupby("method", sort=False)["degenerate"].sum()
    return [(str(method), int(count)) for method, count in found.items() if count]


def about_gallery(run: Record, gallery: Gallery) -> dict[str, Any]:
    """Return the facts about each image and map that the page's script needs."""
    baselines = {name: model["baseline"] for name, model in run["models"].items()}
    models = list(dict.fromkeys(model for model, _ in gallery.maps))
    methods = list(dict.fromkeys(method for _, method in gallery.maps))
    return {
        "dataset": visible(run["dataset"]),
        "shape": gallery.images.shape,
        "indices": gallery.indices.tolist(),
        "files": [short(name.rpartition("/")[2], 40) for name in gallery.files],
        "labels": gallery.labels.tolist(),
        "classes": [short(name, 60) for name in gallery.class_names],
        "groups": [[short(name, 60), places] for name, places in gallery.groups.items() if places],
        "models": [
            {
                "name": short(name, 60),
                "predictions": gallery.predictions[name].tolist() if name in gallery.predictions else None,
                "baseline": baselines.get(name) == name,
            }
            for name in models
        ],
        "methods": [short(name, 60) for name in methods],
        "maps": [[models.index(model), methods.index(method)] for model, method in gallery.maps],
        "ssim": [_rounded(gallery.ssim.get(key)) for key in gallery.maps],
    }


def pictures(gallery: Gallery) -> str:
    """Return the packed bytes of all images, followed by all maps in `_STEPS` steps."""
    scaled = [np.rint(maps * ((_STEPS - 1) / 255)).astype(np.uint8) for maps in gallery.maps.values()]
    return packed(gallery.images.tobytes() + b"".join(maps.tobytes() for maps in scaled))


def _rounded(values: np.ndarray | None) -> list[float | None]:
    return [] if values is None else [None if np.isnan(value) else round(float(value), 3) for value in values]


def _colours() -> list[str]:
    colours = matplotlib.colormaps[COLOUR_MAP](np.linspace(0, 1, _STEPS))
    return [matplotlib.colors.to_hex(colour) for colour in colours]


def _source(name: str) -> str:
    return _LOADER.get_source(_TEMPLATES, name)[0]
