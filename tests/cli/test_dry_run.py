import json

import pytest

from saq_eval.cli.dry_run import duration, size
from tests.cli.process import saq_eval_here

SMALL = ("--dataset", "digits", "--models", "cnn-w2a2", "--methods", "saliency", "--metrics", "SSIM", "--samples", "4")


def test_a_dry_run_prints_the_cost_and_writes_nothing(tmp_path):
    done = saq_eval_here("compare", *SMALL, "--workers", "1", "--dry-run", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    rows = {name.strip(): value.strip() for name, value in rows.items()}
    assert rows["networks × methods × metrics"].endswith("× 3 × 1, on 4 images")
    assert int(rows["cells to compute"]) == int(rows["cells"]) > 0 and rows["cells in the store already"] == "0"
    assert int(rows["passes forward"].replace(",", "")) > 1000  # the test set
    assert rows["expected time here"].endswith("with one process")
    assert [*tmp_path.iterdir()] == []


def test_a_dry_run_for_machines(tmp_path):
    done = saq_eval_here("compare", *SMALL, "--target", "predicted", "--dry-run", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said["missing"] == said["cells"] > 0 and said["seconds"] > 0 and "target 'predicted'" in said["notes"][0]
    assert sum(speed["networks"] for speed in said["speeds"]) == said["networks"]
    assert said["speeds"][0]["passes_per_second"]["forward"] > said["speeds"][0]["passes_per_second"]["backward"] > 1


def test_what_is_wrong_is_said_in_a_sentence(tmp_path):
    done = saq_eval_here("compare", *SMALL, "--formats", "docx", "--dry-run", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "" and "docx" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "about 1 seconds"),
        (99, "about 99 seconds"),
        (150, "about 2 minutes"),
        (7200, "about 2 hours"),
        (4e6, "about 46 days"),
        (4e9, "about 46,296 days"),
    ],
)
def test_times_are_said_in_words(seconds, text):
    assert duration(seconds) == text.replace("1 seconds", "1 second")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (4096, "4 KiB"), (3_355_443, "3.2 MiB"), (2**40, "1 TiB"), (2**51, "2,048 TiB")]
)
def test_sizes_are_said_in_units(count, text):
    assert size(count) == text
