import json
import re
import shlex

import pytest

from tests.cli.process import saq_eval, saq_eval_here


def test_compare_writes_the_report_to_the_default_folder(tmp_path):
    done = saq_eval(
        *("compare", "--dataset", "digits", "--models", "cnn-w2a2,cnn-w2a2-sgt,cnn-mixed", "--samples", 4),
        *("--methods", "saliency,occlusion:window=9,stride=9"),
        *("--metrics", "PixelFlipping:features_in_step=196,fill=blur,PointingGame,SSIM"),
        *("--formats", "markdown,latex"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress bar where the output is no terminal, and no warning
    folder = tmp_path / "reports" / "digits"
    files = {file.name for file in folder.iterdir()}
    assert {"scores.csv", "summary.csv", "effects.csv", "report.html", "run.json", "gallery.npz"} < files
    assert {"summary.md", "tables.tex"} < files
    # Accuracy is over all test images, interpretability over the 4: too few.
    assert re.search(r"cnn-w2a2-sgt +(99|100)\.\d\d +\d\.\d\d +40 +(undecided|same) +– .* 0\.\d{3}", done.stdout)
    assert "What lower precision does to accuracy: mixed, standard: " in done.stdout
    assert "; w2a2, standard and saliency-guided: " in done.stdout and "\x1b" not in done.stdout

    # The page can be rendered anew, alone or with others, without computing anything.
    page = folder / "report.html"
    before = page.read_bytes()
    page.unlink()
    (folder / "scores.csv").unlink()
    done = saq_eval_here("report", folder, "--formats", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout and (folder / "models.json").is_file()
    assert abs(len(page.read_bytes()) - len(before)) < 2000  # all but how long writing took
    done = saq_eval_here("report", folder, folder, "--output", "both.html", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "") and (tmp_path / "both.html").stat().st_size > len(before)


def test_compare_for_machines(tmp_path):
    arguments = ["--dataset", "digits", "--models", "cnn-w2a2", "--methods", "saliency", "--metrics", "SSIM", "--samples", 4]  # fmt: skip  # noqa: E501
    done = saq_eval_here("compare", *arguments, "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert [model["model"] for model in said["models"]] == ["cnn-fp32", "cnn-fp32-ft", "cnn-w2a2"] and len(
        said["headline"]
    ) == 3
    assert said["output"] == "reports/digits" and said["findings"]
    done = saq_eval_here("compare", *arguments, "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_study_prints_a_finding_for_each_claim(tmp_path):
    (tmp_path / "small.yaml").write_text(
        "name: small\narchitecture: {name: cnn}\nschemes: [fp32, w2a2]\ntrainings: [standard, saliency-guided]\n"
        "seeds: [0, 1]\ncomparison: {methods: [saliency], samples: 4,\n"
        "  metrics: ['FaithfulnessCorrelation:nr_runs=5', SSIM]}\n"
    )
    done = saq_eval_here("compare", "--dataset", "digits", "--study", "small.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for question in (
        "Lower precision lowers accuracy?",
        "Further training in full precision lowers accuracy?",
        "Lower precision lowers interpretability?",
        "Lower precision changes maps more than retraining does?",
        "Saliency-guided training improves interpretability?",
        "Saliency-guided training lowers accuracy?",
    ):
        assert question in done.stdout
    assert "; these networks alone" in done.stdout  # two seeds do not speak of a scheme
    run = json.loads((tmp_path / "reports" / "digits" / "run.json").read_text())
    assert run["study"] == "small" and run["samples"] == 4 and "--study small.yaml" in run["command"]


def test_a_configuration_file_and_the_command_line(tmp_path):
    (tmp_path / "study.yaml").write_text(
        "dataset: digits\nmodels: [cnn-w2a2]\nsamples: 4\nmetrics: [SSIM]\nsave_maps: true\n"
        "methods:\n  - saliency\n  - integrated_gradients: {n_steps: 4, baseline: blur}\n"
    )
    done = saq_eval_here("compare", "--config", "study.yaml", "--samples", 5, "--output", "here", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "here" / "run.json").read_text())
    assert run["samples"] == 5 and list(run["metrics"]) == ["SSIM"]
    assert list(run["methods"]) == ["saliency", "integrated_gradients:n_steps=4,fill=blur", "random", "edges"]
    assert "20 sets computed, 2 taken from the store" in done.stdout
    # The command in the record does the same again.
    again = saq_eval_here(*shlex.split(run["command"])[1:], "--output", "here", cwd=tmp_path)
    assert "0 sets computed, 22 taken from the store" in again.stdout


def test_explain_writes_a_picture(tmp_path):
    done = saq_eval_here(
        "explain", "--dataset", "digits", "--index", 7, "--models", "cnn-fp32,cnn-w2a2", "--methods",
        "saliency,occlusion:window=9,stride=3,edges", cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "Written to reports/digits-7.png\n", "")
    (picture,) = (tmp_path / "reports").iterdir()
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_network_prints_is_not_the_commands_output(workers, tmp_path):
    (tmp_path / "their_net.py").write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.layer = torch.nn.Linear(784, 10)\n"
        "    def forward(self, x):\n        print('look at me')\n        return self.layer(x.flatten(1))\n\n\n"
        "def make():\n    return Net()\n"
    )
    done = saq_eval(
        "compare", "--dataset", "digits", "--model", "a=their_net:make", "--trust-code", "--methods", "saliency", "--metrics",
        "Sparseness", "--samples", 2, "--accuracy-on", 4, "--workers", workers, "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] == "reports/digits" and "look at me" in done.stderr
