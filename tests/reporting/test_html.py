from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import saq_eval
from saq_eval.reporting.figures import image_pictures, map_pictures, tradeoff
from saq_eval.reporting.html import change, render, told_apart

TABLES = ("scores", "summary", "controls", "models")


@pytest.fixture(scope="module")
def result():
    return saq_eval.compare(
        "digits",
        models=["cnn-w2a2", "cnn-w4a4"],
        samples=15,
        methods=["saliency", "input_x_gradient"],
        metrics=["PixelFlipping", "PointingGame", "SSIM"],
        progress=False,
    )


def page(result, **changes):
    parts = {name: changes.get(name, getattr(result, name)) for name in (*TABLES, "run", "gallery")}
    return render({name: parts[name] for name in TABLES}, parts["run"], parts["gallery"])


class Outline(HTMLParser):
    """Collects tags with their attributes, and checks that what is opened is closed."""

    VOID = ("meta", "img", "br", "link", "path", "use", "rect", "circle")

    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag, f"</{tag}> closes nothing"


def outline(html):
    parser = Outline()
    parser.feed(html)
    assert parser.open == []
    return parser.tags


def test_the_page_is_well_formed_and_needs_no_other_file(result):
    html = page(result)
    tags = outline(html)
    for tag, attributes in tags:
        assert tag not in ("script", "link", "iframe")
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))
    assert "http" not in html.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    ).replace("https://matplotlib.org", "").replace("http-equiv", "")
    assert len(html) < 5 * 2**20


def test_it_shows_every_number_and_every_map(result):
    html = page(result)
    for row in result.summary.itertuples():
        assert f"{row.mean:.3f}".replace("-", "−") in html
    images = [attributes for tag, attributes in outline(html) if tag == "img"]
    # classes x (methods x (image, three models, random weights) + controls x (image, three models))
    assert len(images) == 10 * (2 * (1 + 3 + 1) + 2 * (1 + 3))
    assert all(attributes["alt"] for attributes in images)


def test_hostile_names_are_text(result):
    name = '<script>alert("x")</script>'
    models = result.models.replace("cnn-w2a2", name)
    summary, scores = result.summary.replace("cnn-w2a2", name), result.scores.replace("cnn-w2a2", name)
    run = result.run | {"models": {name if m == "cnn-w2a2" else m: v for m, v in result.run["models"].items()}}
    maps = {(name if m == "cnn-w2a2" else m, method): v for (m, method), v in result.gallery.maps.items()}
    gallery = type(result.gallery)(
        result.gallery.positions, result.gallery.images, result.gallery.indices, (name,) * 10, maps
    )
    html = page(result, models=models, summary=summary, scores=scores, run=run, gallery=gallery)
    assert "<script" not in html and "&lt;script&gt;" in html


def test_constant_maps_are_said_not_drawn(result):
    maps = {key: np.zeros_like(value) for key, value in result.gallery.maps.items()}
    gallery = type(result.gallery)(
        result.gallery.positions, result.gallery.images, result.gallery.indices, result.gallery.captions, maps
    )
    assert page(result, gallery=gallery).count(">constant<") == 10 * (2 * 4 + 2 * 3)


@pytest.mark.parametrize(
    ("delta", "low", "high", "higher_is_better", "category", "baseline", "expected"),
    [
        (0.1, 0.05, 0.2, True, "faithfulness", "b", "better"),
        (0.1, 0.05, 0.2, False, "faithfulness", "b", "worse"),
        (-0.1, -0.2, -0.05, True, "localisation", "b", "worse"),
        (0.1, -0.05, 0.2, True, "faithfulness", "b", "unclear"),
        (-0.6, -0.7, -0.5, True, "similarity", "b", ""),
        (0.0, 0.0, 0.0, True, "faithfulness", "a", ""),
        (0.1, np.nan, np.nan, True, "faithfulness", "b", ""),
    ],
)
def test_what_an_interval_shows(delta, low, high, higher_is_better, category, baseline, expected):
    row = pd.DataFrame(
        [
            {
                "model": "a",
                "baseline": baseline,
                "category": category,
                "higher_is_better": higher_is_better,
                "delta": delta,
                "delta_ci_low": low,
                "delta_ci_high": high,
            }
        ]
    )
    assert change(next(row.itertuples())) == expected


def test_it_says_which_metrics_do_not_tell_maps_from_controls(result):
    counted = {row["metric"]: row for row in told_apart(result.controls)}
    assert set(counted) == {"PixelFlipping", "PointingGame", "SSIM"}
    edges = counted["PixelFlipping"]["counts"]["edges"]
    assert edges["cells"] == 3 * 2 == edges["better"] + edges["worse"] + edges["unclear"]
    assert counted["PixelFlipping"]["counts"]["random weights"]["cells"] == 1 * 2
    assert counted["SSIM"]["counts"]["random weights"]["cells"] == 2 * 2
    controls = result.controls.copy()
    controls.loc[(controls["metric"] == "SSIM") & (controls["control"] == "edges"), "verdict"] = "unclear"
    controls.loc[(controls["metric"] == "SSIM") & (controls["control"] != "edges"), "verdict"] = "better"
    html = page(result, controls=controls)
    assert "SSIM does not tell most real maps from edges:" in html
    controls["verdict"] = "better"
    assert "does not tell most real maps" not in page(result, controls=controls)


def test_only_baselines_and_no_similarity_controls():
    result = saq_eval.compare(
        "digits", models=["cnn-fp32"], methods=["saliency"], metrics=["SSIM"], samples=3, progress=False
    )
    assert result.controls.empty
    outline(page(result))


def test_tradeoff_averages_over_methods(result):
    table = tradeoff(result.scores, result.models)
    assert len(table) == 3 * 3
    row = table[(table["metric"] == "SSIM") & (table["model"] == "cnn-w2a2")].iloc[0]
    expected = result.summary.query("metric == 'SSIM' and model == 'cnn-w2a2' and role == 'model'")["mean"].mean()
    assert row["mean"] == pytest.approx(expected) and row["ci_low"] < expected < row["ci_high"]


def test_pictures():
    maps = np.zeros((2, 4, 4), dtype=np.float32)
    maps[0, 1, 1] = -2
    drawn, empty = map_pictures(maps)
    assert drawn.startswith("data:image/png;base64,") and empty is None
    assert len(image_pictures(np.random.default_rng(0).random((3, 3, 5, 5)))) == 3
