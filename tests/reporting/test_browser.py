"""The page in a real browser: nothing is fetched, everything can be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from saq_eval.analysis.steps import STEPS
from saq_eval.reporting.names import short
from tests.reporting.fake_run import HOSTILE, TAKEN


@contextmanager
def opened(chromium, file: Path, before: str = "", **options) -> Iterator:
    """Open a page in a context of its own, and fail for what it asks of the network or says in the console.

    Args:
        before: a script to run before the page's own.
        options: of the browser's context.
    """
    options = {"viewport": {"width": 1280, "height": 900}} | options
    context = chromium.new_context(offline=True, **options)
    page = context.new_page()
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("dialog", lambda dialog: (page.said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: page.asked.append(request.url))
    page.add_init_script(before)
    page.goto(file.as_uri())
    if not before and options.get("java_script_enabled", True):
        page.wait_for_selector("html[data-ready=yes]", timeout=60_000)
    yield page
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("blob:")] == [file.as_uri()]
    context.close()


@pytest.fixture(scope="module")
def report(folder):
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(chromium, report):
    with opened(chromium, report) as page:
        yield page


def column(page, table: str, title: str) -> list[str]:
    """Return the cells that a table shows below a title."""
    return page.evaluate(
        """([table, title]) => {
            const element = document.getElementById(table);
            const place = [...element.tHead.rows[0].cells].findIndex((cell) => cell.innerText.trim() === title);
            return [...element.tBodies[0].rows].map((row) => row.cells[place].innerText.trim());
        }""",
        [table, title],
    )


def background(page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_sections_stand_in_order(page):
    order = ["finding", "tradeoff", "effects", "verdicts", "curves", "gallery", "networks", "trust", "method"]
    assert page.evaluate("[...document.querySelectorAll('main > section')].map((part) => part.id)") == order
    assert page.locator(".headline li").count() == 4
    assert page.locator(".plot .main-svg").count() >= 4


def test_a_table_sorts(page):
    title = "accuracy %"
    head = page.locator("#table-models thead th", has_text=title)
    before = [float(cell) for cell in column(page, "table-models", title)]
    for direction in ("ascending", "descending"):
        head.click()
        page.wait_for_selector(f"#table-models th[aria-sort={direction}]")
        shown = [float(cell) for cell in column(page, "table-models", title)]
        assert shown == sorted(before, reverse=direction == "descending")


def test_a_table_is_filtered_and_paged(page):
    frame = page.locator(".dt-container", has=page.locator("#table-layers"))
    assert len(column(page, "table-layers", "network")) == 25
    frame.get_by_label("Filter").fill("cnn-w2a2-sgt")
    assert column(page, "table-layers", "network") == ["cnn-w2a2-sgt"] * 7
    frame.get_by_label("Filter").fill("")


def test_a_folded_table_wakes_when_it_is_opened(page):
    assert page.locator("#folded-effects .dt-container").count() == 0
    page.locator("#folded-effects > summary").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#folded-effects .dt-container")
    assert len(column(page, "table-effects", "networks")) == 25


def test_a_table_is_exported(page):
    with page.expect_download() as download:
        page.locator(".dt-container", has=page.locator("#table-models")).get_by_text("CSV").click()
    assert download.value.suggested_filename == "models.csv"
    lines = download.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert len(lines) == 11 and lines[0].startswith('"network","scheme"')


def test_a_menu_changes_the_chart(page):
    menu = page.get_by_label("Score", exact=True)
    assert menu.locator("option").count() == 6  # all together, and five metrics
    menu.select_option(label="similarity: SSIM")
    drawn = "document.getElementById('plot-tradeoff')._fullLayout"
    assert page.evaluate(f"{drawn}.yaxis.title.text") == "SSIM"
    assert page.evaluate(f"{drawn}.shapes.map((shape) => shape.label.text)") == ["retrained", "chance"]
    menu.select_option(label="faithfulness: PixelFlipping")
    low, high = page.evaluate(f"{drawn}.yaxis.range")
    assert low > high, "lower is better, so the axis runs down"


def test_the_matrix_menu_has_the_steps_as_groups(page):
    menu = page.locator("#menu-verdict_matrix")
    labels = menu.locator("optgroup").evaluate_all("(groups) => groups.map((group) => group.label)")
    assert labels == [f"{step}, against {what}" for step, what in STEPS.items() if step in TAKEN]
    assert menu.locator("optgroup").first.locator("option").count() == 5  # all methods, and four
    shown = "document.getElementById('plot-verdict_matrix').data[0]"
    for label, group in zip(labels, (["w8a8", "w4a4", "w2a2"], ["fp32-ft"], ["w8a8", "w4a4", "w2a2"]), strict=True):
        menu.select_option(label=f"{label}: all methods")
        names = page.evaluate(f"{shown}.y.filter((_, place) => {shown}.text[place].some((text) => text))")
        assert names == [f"{name}, {training}" for training in ("standard", "saliency-guided") for name in group]
    menu.select_option(index=0)


def test_the_effects_menu_shows_the_step_beside_margin_and_band(page):
    menu = page.locator("#menu-effects")
    drawn = "document.getElementById('plot-effects')"
    named = page.locator("#plot-effects .legendtext").all_text_contents()
    assert named.count("margin") == named.count("retraining band") == 1
    assert page.evaluate(f"{drawn}._fullLayout.yaxis._length") >= 4 * 24, "the legend leaves the rows too little room"
    for step, bars in (("bits", [0, 4, 4, 4]), ("further training", [4, 0, 0, 0])):
        menu.select_option(label=f"{step}: faithfulness: PixelFlipping")
        for name in ("margin", "retraining band"):
            those = f"{drawn}.data.filter((trace) => trace.type === 'bar' && trace.name === '{name}')"
            assert page.evaluate(f"{those}.map((trace) => trace.x.length)") == bars


def test_a_chart_tells_values_and_zooms(page):
    plot = page.locator("#plot-tradeoff")
    plot.scroll_into_view_if_needed()
    plot.locator("path.point").first.hover(force=True)
    page.wait_for_selector("#plot-tradeoff .hovertext")
    assert "accuracy" in plot.locator(".hovertext").first.text_content()
    before = page.evaluate("document.getElementById('plot-tradeoff')._fullLayout.xaxis.range")
    box = plot.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_function(
        "(before) => document.getElementById('plot-tradeoff')._fullLayout.xaxis.range[0] > before[0]", arg=before
    )


def test_no_button_sends_a_chart_away(page):
    titles = page.evaluate("[...document.querySelectorAll('.modebar-btn')].map((button) => button.dataset.title)")
    known = {"Download plot", "Zoom", "Pan", "Zoom in", "Zoom out", "Autoscale", "Reset axes"}
    assert set(titles) == known
    assert page.evaluate("[...document.querySelectorAll('.plot')].every((plot) => !plot._context.plotlyServerURL)")


def test_the_reader_picks_images_and_methods(page):
    groups = page.get_by_label("Images", exact=True)
    assert groups.locator("option").first.inner_text() == "worst changed (6)"
    groups.select_option(label="misclassified only when quantized (2)")
    images = page.locator("#gallery-images input")
    assert images.count() == 2
    maps = page.locator("#gallery-maps")
    assert maps.locator("tbody tr").count() == 6 and maps.locator("tbody td").count() == 6 * 10
    first = page.locator("#gallery-status").inner_text()
    images.first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#gallery-status").inner_text() != first
    page.locator("#gallery-method").select_option(label="lrp")
    assert maps.locator("tbody tr").count() == 1
    canvas = maps.locator("tbody canvas").nth(1)
    assert canvas.get_attribute("aria-label").startswith("lrp map of cnn-fp32-ft, SSIM ")
    assert maps.locator("tbody td small").nth(1).inner_text() in canvas.get_attribute("aria-label")


def test_maps_share_the_stated_scale(page):
    colours = page.evaluate(
        """() => {
            const canvas = document.querySelector("#gallery-maps tbody canvas");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const seen = new Set();
            for (let at = 0; at < data.length; at += 4) {
                seen.add("#" + [0, 1, 2].map((c) => data[at + c].toString(16).padStart(2, "0")).join(""));
            }
            return [[...seen], JSON.parse(document.getElementById("colours").textContent)];
        }"""
    )
    seen, scale = colours
    assert set(seen) <= set(scale) and scale[-1] in seen and scale[0] in seen


@pytest.mark.parametrize("preferred", ["light", "dark"])
def test_light_and_dark(chromium, report, preferred):
    with opened(chromium, report, color_scheme=preferred) as page:
        ink = "document.getElementById('plot-curves')._fullLayout.font.color"
        was = background(page), page.evaluate(ink)
        button = page.get_by_role("button", name="Dark")
        assert button.get_attribute("aria-pressed") == str(preferred == "dark").lower()
        button.focus()
        page.keyboard.press("Space")
        assert button.get_attribute("aria-pressed") == str(preferred == "light").lower()
        page.wait_for_function(f"(was) => {ink} !== was", arg=was[1])
        assert background(page) != was[0]


def unfold(page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    page.wait_for_function(
        "[...document.querySelectorAll('table.data')].every((table) => table.closest('.dt-container'))"
    )


@pytest.mark.parametrize("which", ["folder", "hostile_folder", "several"])
def test_a_phone_shows_it_without_scrolling_sideways(chromium, request, which):
    place = request.getfixturevalue(which)
    file = place if place.suffix else place / "report.html"
    with opened(chromium, file, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
        unfold(page)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.evaluate("document.getElementById('plot-tradeoff')._fullLayout.dragmode") is False


@pytest.mark.parametrize(
    ("which", "theme", "width"),
    [
        *(("folder", theme, width) for theme in ("light", "dark") for width in (1280, 390)),
        ("hostile_folder", "light", 390),
        ("several", "dark", 1280),
    ],
)
def test_no_serious_accessibility_violation(chromium, axe, request, which, theme, width):
    place = request.getfixturevalue(which)
    file = place if place.suffix else place / "report.html"
    with opened(chromium, file, viewport={"width": width, "height": 900}, color_scheme=theme) as page:
        unfold(page)
        page.evaluate(axe)
        found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
        serious = [
            (violation["id"], violation["help"], [node["html"][:160] for node in violation["nodes"][:3]])
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_hostile_names_are_text_everywhere(chromium, hostile_folder):
    with opened(chromium, hostile_folder / "report.html") as page:
        unfold(page)
        assert page.locator("main img, main iframe, main object").count() == 0
        assert page.evaluate("[...document.links].every((link) => link.getAttribute('href').startsWith('#'))")
        assert page.evaluate("document.querySelectorAll('.plot a[href]').length") == 0
        assert page.locator("#finding h2").inner_text() == HOSTILE[0]
        names = column(page, "table-models", "network")
        assert names[0] == HOSTILE[0] and names[4] == HOSTILE[4]
        assert "\u202e" not in page.locator("main").inner_text()
        groups = page.locator("#plot-verdict_matrix .ytick").all_text_contents()
        assert short(f"{HOSTILE[1]}, standard", 32) in groups
        titles = page.locator("#plot-effects .annotation-text").all_text_contents()
        assert HOSTILE[1] in titles
        with page.expect_download() as download:
            page.locator(".dt-container", has=page.locator("#table-models")).get_by_text("CSV").click()
        exported = download.value.path().read_text(encoding="utf-8-sig")
        assert '"=HYPERLINK' not in exported and "=HYPERLINK" in exported


def test_without_script_tables_are_read_and_charts_told(chromium, report):
    with opened(chromium, report, java_script_enabled=False) as page:
        assert page.locator("#table-models").is_visible()
        assert page.locator("#table-models tbody tr").count() == 10
        assert not page.locator("#theme").is_visible() and not page.locator("#gallery-group").is_visible()
        assert page.locator("#tradeoff .without-script").inner_text().startswith("The chart needs")
        page.locator("#folded-verdicts > summary").click()
        assert page.locator("#table-verdicts tbody tr").first.is_visible()


def test_an_old_browser_gets_the_tables(chromium, report):
    with opened(chromium, report, before="delete window.DecompressionStream") as page:
        assert page.locator("#table-models").is_visible()
        assert page.locator("#tradeoff .without-script").is_visible() and not page.locator("#theme").is_visible()


def test_it_prints(chromium, report):
    with opened(chromium, report, color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert not page.locator("header").is_visible()
        assert background(page) == "rgb(255, 255, 255)"
        assert page.pdf(format="A4").startswith(b"%PDF")


def test_everything_is_reached_by_keyboard(chromium, report):
    with opened(chromium, report) as page:
        reached = set()
        for _ in range(100):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id"))
        menus = {f"menu-{name}" for name in ("tradeoff", "effects", "verdict_matrix", "curves")}
        assert menus | {"theme", "gallery-group", "gallery-method"} <= reached
