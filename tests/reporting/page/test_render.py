import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from saq_eval.reporting import render
from saq_eval.reporting.page.render import data_element, fitted, with_distinct_datasets
from saq_eval.reporting.verdicts import VERDICTS
from tests.reporting.conftest import ROOT
from tests.reporting.fake_run import HOSTILE, fake_run, hostile_run


class Outline(HTMLParser):
    """Collects tags with their attributes, the text, and what stands in script elements."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.scripts, self.inside = [], [], {}, None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.inside = dict(attributes).get("id", "own")

    def handle_endtag(self, tag):
        if tag == "script":
            self.inside = None

    def handle_data(self, data):
        if self.inside is None:
            self.texts.append(data)
        else:
            self.scripts[self.inside] = data


@pytest.fixture(scope="module")
def page(result):
    return render([result])


def test_the_page_needs_no_other_file(page):
    for tag, attributes in Outline(page).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert attributes.get("href", "#").startswith("#") and "src" not in attributes and "srcset" not in attributes
        assert not any(name.startswith("on") for name in attributes)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split(";")[1] and "unsafe-eval" not in policy and "connect-src" not in policy


def test_the_same_result_gives_the_same_page(result, page):
    assert render([result]) == page


def test_ids_are_unique(page):
    ids = [attributes["id"] for _, attributes in Outline(page).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_it_says_what_was_found_and_how(result, page):
    _, run, _ = result
    text = " ".join(Outline(page).texts)
    for sentence in run["headline"]:
        assert sentence in text
    assert run["command"] in text
    for about in run["models"].values():
        assert about["weights_sha256"] in text
    for name, version in run["versions"].items():
        assert f"{name} {version}" in text
    for label, metric in run["metrics"].items():
        assert label in text and metric["reference"] in text
    metrics = [label for label, metric in run["metrics"].items() if metric["category"] != "similarity"]
    methods = len(run["interpretability"])
    assert f"({(methods - 1) * len(metrics)} of {methods * len(metrics)} pairs of method and metric)" in text
    assert ", ".join(metrics) in text and "no metric" in text
    assert "MIT License" in text and "SpryMedia" in text


def test_a_record_of_an_earlier_version_is_drawn(result):
    tables, run, gallery = result
    earlier = {key: value for key, value in run.items() if key != "interpretability"}
    assert "pairs of method and metric" not in render([(tables, earlier, gallery)])


def test_every_row_is_there(result, page):
    tables, _, _ = result
    assert len(re.findall("<th scope=row", page)) == sum(
        (
            *(len(tables[name]) for name in ("models", "layers", "effects", "robustness", "agreement", "findings")),
            len(tables["summary"].query("role == 'model'")),
            len(tables["holes"]),
            len(tables["conditions"]) // 2,
            10 + 10 * 4 + 8 * 1,  # accuracy against all and five metrics, baselines without similarity
            7 * 2 * 5,  # verdicts: further training of one scheme, and the two other steps of three; in two trainings
            10 * 2,  # curves
            3 * 5,  # controls
        )
    )


def test_hostile_names_are_text(hostile):
    page = render([hostile])
    outline = Outline(page)
    plain = Outline(
        render([hostile_run(names={}, groups={}, dataset="plain", class_names=[f"c{place}" for place in range(10)])])
    )
    assert [tag for tag, _ in outline.tags] == [tag for tag, _ in plain.tags]
    assert not set(page) & {"\u202e", "\u200f", "\u2067"}
    text = " ".join(outline.texts)
    assert HOSTILE[0] in text and HOSTILE[4] in text and HOSTILE[6] in text
    galleries = json.loads(outline.scripts["galleries"])
    assert galleries[0]["models"][0]["name"] == HOSTILE[0]


def test_data_in_script_elements_cannot_leave_them():
    text = data_element({"a": "</script><!--<script>&\u2028", "b": np.float32(0.5), "c": np.arange(2)})
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == {"a": "</script><!--<script>&\u2028", "b": 0.5, "c": [0, 1]}


def test_several_datasets_stand_in_one_page(result):
    page = render([result, fake_run("mnist", samples=8, gallery=4, methods=("lrp",), metrics=("SSIM",))])
    outline = Outline(page)
    assert [item["dataset"] for item in json.loads(outline.scripts["galleries"])] == ["fashionmnist", "mnist"]
    assert {"pictures-0", "pictures-1"} <= set(outline.scripts)
    assert " ".join(outline.texts).count("to repeat it") == 2


def test_one_dataset_twice_is_told_apart(result):
    runs = with_distinct_datasets([result, result, result])
    assert [run["dataset"] for _, run, _ in runs] == ["fashionmnist", "fashionmnist (2)", "fashionmnist (3)"]
    assert set(runs[1][0]["summary"]["dataset"]) == {"fashionmnist (2)"}


def test_a_gallery_that_is_too_large_loses_images(result):
    gallery = result[2]
    fewer, text = fitted(gallery, 60_000)
    assert 1 <= len(fewer.images) < len(gallery.images) and len(text) <= 60_000
    assert fitted(gallery, 10**9)[0] is gallery


def test_a_standard_study_is_small_and_fast():
    program = """
import time
from saq_eval.reporting import render
from tests.memory import peak_memory
from tests.reporting.fake_run import fake_run
run = fake_run()
assert len(run[0]["scores"]) > 100_000
start = time.perf_counter()
size = len(render([run]).encode())
print(size, time.perf_counter() - start, peak_memory())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    size, seconds, memory = map(float, done.stdout.split())
    assert size < 5 * 2**20 and seconds < 60 and memory < 2**30


def test_only_baselines(alone):
    page = render([(alone.tables, alone.run, alone.gallery.first(0))])
    assert "kept no images" in page and alone.run["headline"][0] in page
    ids = {attributes.get("id") for _, attributes in Outline(page).tags}
    assert {"table-models", "table-controls", "table-effects"} < ids and not ids & {
        "table-findings",
        "table-conditions",
    }


def test_a_real_comparison_is_drawn(real):
    page = render([(real.tables, real.run, real.gallery)])
    text = " ".join(Outline(page).texts)
    for sentence in real.run["headline"]:
        assert sentence in text
    assert len(re.findall("<th scope=row", page)) > 50


def test_every_verdict_has_a_class_that_is_styled(result, page):
    """A class is one word, whatever commas its verdict has."""
    styles = page.partition("</style>")[0]
    used = {attributes.get("class", "") for tag, attributes in Outline(page).tags if tag == "td"}
    for word, look in VERDICTS.items():
        name = word.replace(", ", "-").replace(" ", "-")
        assert re.search(rf"\.data td\.{name} {{[^}}]*background: {look.colour}", styles)
        assert f'<span class="verdict {name}">{look.sign} {word}</span>' in page
    for table in ("effects", "findings", "summary"):
        given = result[0][table]
        given = given[given["role"] == "model"] if "role" in given else given
        assert {word.replace(", ", "-").replace(" ", "-") for word in given["verdict"] if word} <= used
    assert re.search(r"\.data td\.supported-but-within-the-margin\W", styles)


def test_the_findings_say_what_the_data_say(result, page):
    text = Outline(page).texts
    for row in result[0]["findings"].itertuples():
        assert row.claim in text and row.networks in text and (row.words in text or not row.words)


def test_seeds_speak_of_the_scheme(over_seeds):
    text = " ".join(Outline(render([over_seeds])).texts)
    assert "3 seeds" in text and "nan" not in text.split()


def test_a_gallery_without_images(result):
    tables, run, gallery = result
    assert "The gallery needs" not in render([(tables, run, gallery.first(0))])
