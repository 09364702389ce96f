"""What another installed package brings, found by its entry points."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests import ROOT


@pytest.fixture
def package(tmp_path):
    """Install a package as pip would: a module beside its metadata, on Python's path."""

    def install(code):
        site = tmp_path / "site"
        metadata = site / "their_nets-1.0.dist-info"
        metadata.mkdir(parents=True)
        (site / "their_nets.py").write_text(code)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-nets\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[saq_eval]\nnets = their_nets\n")
        return site

    return install


def run(site, *arguments):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{site}"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)


def saq_eval(site, *arguments):
    return run(site, "-m", "saq_eval", *arguments)


def test_architectures_schemes_and_zoo_folders(package, tmp_path):
    site = package(
        "from pathlib import Path\n"
        "import saq_eval\n"
        "from saq_eval.networks.architectures import ARCHITECTURES\n"
        "@saq_eval.register_architecture('their-net')\n"
        "def their_net(): return ARCHITECTURES['cnn'](channels=(4, 4), pool_after=(1, 2), hidden=8)\n"
        "saq_eval.register_scheme(saq_eval.Scheme('w3a3', saq_eval.Bits(3, 3), saq_eval.Bits(8, 8)))\n"
        "saq_eval.register_zoo(Path(__file__).parent / 'their_zoo')\n"
    )
    theirs = site / "their_zoo" / "digits" / "their-w2a2"
    shutil.copytree(ROOT / "model_zoo" / "digits" / "cnn-w2a2", theirs)
    card = theirs / "card.yaml"
    card.write_text(card.read_text().replace("name: cnn-w2a2\n", "name: their-w2a2\n", 1))
    assert "their-net" in saq_eval(site, "architectures").stdout.split()
    assert "w3a3" in saq_eval(site, "schemes").stdout
    assert "their-w2a2" in saq_eval(site, "zoo", "list").stdout
    shown = saq_eval(site, "zoo", "show", "their-w2a2")
    assert str(theirs) in shown.stdout and shown.returncode == 0


def test_quantizers_that_a_scheme_file_names(package, tmp_path):
    """By the example of the zoo's README."""
    text = (ROOT / "model_zoo" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(# my_quantizer.py\n.*?)```", text, re.DOTALL)
    site = package(example)
    assert re.search(r"^three-sigma +2 to 8 +mine *$", saq_eval(site, "quantizers").stdout, re.MULTILINE)
    (tmp_path / "mine.yaml").write_text(
        "name: mine\n"
        "default: {weight_bits: 3, activation_bits: 4}\n"
        "ends: {weight_bits: 8, activation_bits: 8}\n"
        "weights: three-sigma\n"
    )
    code = (
        "import sys, saq_eval\n"
        "from torch import nn\n"
        "network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))\n"
        "frozen = saq_eval.freeze(saq_eval.quantize(network, sys.argv[1]))\n"
        "print([int(layer.weight_bits) for layer in frozen.children() if hasattr(layer, 'weight_bits')])\n"
        "print(type(saq_eval.quantize(network, sys.argv[1]).get_submodule('0').quantizer).__name__)\n"
    )
    done = run(site, "-c", code, str(tmp_path / "mine.yaml"))
    assert done.stdout.split("\n")[:2] == ["[8, 8]", "ThreeSigma"], done.stderr


def test_methods_with_parameters(package, tmp_path):
    site = package(
        "import saq_eval\n"
        "@saq_eval.register_method('flat', family='perturbation', reference='theirs', sign='absolute')\n"
        "def flat(batch, *, level: float = 1.0):\n"
        "    'The image times a number.'\n"
        "    return batch.images * level\n"
    )
    assert "flat " in saq_eval(site, "methods").stdout
    done = saq_eval(
        site, "explain", "--dataset", "digits", "--index", "1", "--models", "cnn-w2a2", "--methods", "flat:level=2",
        "--output", str(tmp_path / "flat.png"),
    )  # fmt: skip
    assert done.returncode == 0 and (tmp_path / "flat.png").is_file(), done.stderr
    wrong = saq_eval(site, "explain", "--dataset", "digits", "--index", "1", "--methods", "flat:level=high")
    assert "flat: level=high: input should be a valid number" in wrong.stderr


def test_an_extension_that_cannot_be_imported_stops_only_what_needs_it(package):
    site = package("raise RuntimeError('no luck')")
    broken = "their-nets brings an extension 'nets' (their_nets) that cannot be imported: RuntimeError: no luck"
    done = saq_eval(site, "architectures")
    assert done.returncode == 0 and done.stdout.split() == ["cnn", "resnet20"]
    assert done.stderr == f"saq-eval: warning: {broken}; going on without it\n"
    asked = saq_eval(site, "explain", "--dataset", "digits", "--index", "1", "--methods", "their_method")
    assert asked.returncode == 2 and asked.stderr.splitlines()[-1].endswith(f"; {broken}")
    assert asked.stderr.splitlines()[-1].startswith("saq-eval: unknown method 'their_method'")


def test_workers_do_not_repeat_the_warning(package, tmp_path):
    site = package("raise RuntimeError('no luck')")
    done = saq_eval(
        site, "compare", "--dataset", "digits", "--models", "cnn-w2a2", "--methods", "saliency", "--metrics", "SSIM",
        "--samples", "4", "--workers", "2", "--output", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr.count("no luck") == 1
