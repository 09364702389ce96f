"""Odd machines: a clock that jumps, a locale without UTF-8, no home folder, and an output folder with an odd name."""

import itertools
import json
import time

import pytest

from tests.cli.process import saq_eval, saq_eval_here

COMPARE = ("compare", "--dataset", "digits", "--models", "cnn-w2a2", "--methods", "saliency")
COMPARE += ("--metrics", "PointingGame,SSIM", "--samples", "4", "--accuracy-on", "8", "--workers", "1")
PLACE = """it's a "report" $HOME `x` \\ é ☃ ; rm *"""
PLACE += "-" * (200 - len(PLACE))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ordinary")
    assert saq_eval_here(*COMPARE, "--quiet", "--output", "report", cwd=folder).returncode == 0
    return tables(folder / "report")


def tables(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.csv"))}


def test_a_clock_that_jumps(expected, tmp_path, monkeypatch):
    now, jumps = time.time, itertools.cycle((-1e8, 0.0, 86_400.0, 3.7e9))
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now() + next(jumps))
        for _ in range(2):
            done = saq_eval_here(*COMPARE, "--quiet", "--output", "report", cwd=tmp_path)
            assert (done.returncode, done.stderr) == (0, "")
    assert tables(tmp_path / "report") == expected
    assert all(
        seconds >= 0 for seconds in json.loads((tmp_path / "report" / "run.json").read_text())["wall_seconds"].values()
    )


def test_no_utf_8_no_home_and_an_output_folder_with_an_odd_name(expected, tmp_path):
    assert len(PLACE) == 200
    nowhere = "/proc/nonexistent"
    bare = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    bare |= {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "XDG_CONFIG_HOME": nowhere, "XDG_DATA_HOME": nowhere}
    done = saq_eval(*COMPARE, "--output", f"o/{PLACE}", cwd=tmp_path, **bare)
    assert done.returncode == 0, done.stderr
    assert all("atplotlib" in line for line in done.stderr.splitlines())  # which warns of its cache
    folder = tmp_path / "o" / PLACE
    assert tables(folder) == expected
    held = saq_eval_here("store", "info", f"o/{PLACE}", cwd=tmp_path)
    assert held.returncode == 0 and "cells" in held.stdout
    assert saq_eval_here("store", "prune", folder, cwd=tmp_path).returncode == 0
    # The same command in an ordinary place finds all of it.
    again = saq_eval_here(*COMPARE, "--quiet", "--output", f"o/{PLACE}", cwd=tmp_path)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["cells"]["computed"] == 0
    assert tables(folder) == expected
