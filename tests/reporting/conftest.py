"""A made-up result, and a real browser to open its page in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from saq_eval import Comparison, compare
from saq_eval.reporting import render, write_report
from tests import ROOT
from tests.reporting.fake_run import FINE_TUNED, Run, fake_run, hostile_run

_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


SMALL = {
    "schemes": ("fp32", FINE_TUNED, "w8a8", "w4a4", "w2a2"),
    "methods": ("saliency", "lrp", "gradcam", "occlusion:window=5,fill=blur"),
    "metrics": ("FaithfulnessCorrelation", "PixelFlipping", "PixelFlipping:fill=blur", "PointingGame", "SSIM"),
    "samples": 32,
    "gallery": 12,
}


@pytest.fixture(scope="session")
def result() -> Run:
    return fake_run(**SMALL)


@pytest.fixture(scope="session")
def over_seeds() -> Run:
    """A result whose effects and findings speak of schemes."""
    return fake_run(**SMALL | {"seeds": (0, 1, 2), "methods": ("saliency", "lrp"), "gallery": 4})


@pytest.fixture(scope="session")
def hostile() -> Run:
    return hostile_run()


@pytest.fixture(scope="session")
def real() -> Comparison:
    """A comparison as small as one can be that has rows in every table."""
    return _compare("cnn-w4a4")


@pytest.fixture(scope="session")
def alone() -> Comparison:
    """A comparison of a baseline alone."""
    return _compare("cnn-fp32")


def _compare(model: str) -> Comparison:
    options = {"methods": ["saliency"], "metrics": ["PixelFlipping", "SSIM"], "samples": 10, "progress": False}
    return compare("digits", models=[model], **options)


@pytest.fixture(scope="session")
def folder(result: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a written result."""
    folder = tmp_path_factory.mktemp("report")
    write_report(folder, *result)
    return folder


@pytest.fixture(scope="session")
def hostile_folder(hostile: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    write_report(folder, *hostile)
    return folder


@pytest.fixture(scope="session")
def several(result: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two datasets."""
    page = tmp_path_factory.mktemp("several") / "report.html"
    page.write_text(render([result, fake_run("mnist", seed=1, **SMALL)]), encoding="utf-8")
    return page


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """A headless browser; each test opens contexts of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no chromium: install Debian's package of that name")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's script, which checks a page's accessibility."""
    file = Path(os.environ.get("AXE_CORE", ROOT / "node_modules/axe-core/axe.min.js"))
    if not file.exists():
        pytest.skip(
            "no axe-core: npm install --no-save --no-package-lock axe-core@4.14.1, or set AXE_CORE to its script"
        )
    return file.read_text(encoding="utf-8")
