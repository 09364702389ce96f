"""What another installed package brings, found by its entry points."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tests import ROOT
from tests.cli.process import run_in_turn


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


def in_turn(site, *commands):
    """Run commands in one process, which finds the package."""
    commands = [["saq-eval", *shlex.split(command)] for command in commands]
    return run_in_turn(commands, cwd=site.parent, PYTHONPATH=str(site))


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
    architectures, schemes, listed, shown = in_turn(site, "architectures", "schemes", "zoo list", "zoo show their-w2a2")
    assert "their-net" in architectures.stdout.split()
    assert "w3a3" in schemes.stdout
    assert "their-w2a2" in listed.stdout
    assert str(theirs) in shown.stdout and shown.returncode == 0


def test_quantizers_that_a_scheme_file_names(package, tmp_path):
    """By the example of the zoo's README."""
    text = (ROOT / "model_zoo" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(# my_quantizer.py\n.*?)```", text, re.DOTALL)
    site = package(example)
    (tmp_path / "mine.yaml").write_text(
        "name: mine\n"
        "default: {weight_bits: 3, activation_bits: 4}\n"
        "ends: {weight_bits: 8, activation_bits: 8}\n"
        "weights: three-sigma\n"
    )
    code = (
        "import saq_eval\n"
        "from torch import nn\n"
        "network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))\n"
        "frozen = saq_eval.freeze(saq_eval.quantize(network, 'mine.yaml'))\n"
        "print([int(layer.weight_bits) for layer in frozen.children() if hasattr(layer, 'weight_bits')])\n"
        "print(type(saq_eval.quantize(network, 'mine.yaml').get_submodule('0').quantizer).__name__)\n"
    )
    (tmp_path / "uses.py").write_text(code)
    commands = [["saq-eval", "quantizers"], ["python", "uses.py"]]
    listed, done = run_in_turn(commands, cwd=tmp_path, PYTHONPATH=str(site))
    assert re.search(r"^three-sigma +2 to 8 +mine *$", listed.stdout, re.MULTILINE)
    assert done.stdout.split("\n")[:2] == ["[8, 8]", "ThreeSigma"], done.stderr


def test_methods_with_parameters(package, tmp_path):
    site = package(
        "import saq_eval\n"
        "@saq_eval.register_method('flat', family='perturbation', reference='theirs', sign='absolute')\n"
        "def flat(batch, *, level: float = 1.0):\n"
        "    'The image times a number.'\n"
        "    return batch.images * level\n"
    )
    asked = "explain --dataset digits --index 1 --models cnn-w2a2 --methods flat:level="
    listed, done, wrong = in_turn(site, "methods", f"{asked}2 --output flat.png", f"{asked}high")
    assert "flat " in listed.stdout
    assert done.returncode == 0 and (tmp_path / "flat.png").is_file(), done.stderr
    assert "flat: level=high: input should be a valid number" in wrong.stderr


def test_an_extension_that_cannot_be_imported_stops_only_what_needs_it(package):
    site = package("raise RuntimeError('no luck')")
    broken = "their-nets brings an extension 'nets' (their_nets) that cannot be imported: RuntimeError: no luck"
    done, asked = in_turn(site, "architectures", "explain --dataset digits --index 1 --methods their_method")
    assert done.returncode == 0 and done.stdout.split() == ["cnn", "resnet20"]
    assert done.stderr == f"saq-eval: warning: {broken}; going on without it\n"
    assert asked.returncode == 2 and asked.stderr.splitlines()[-1].endswith(f"; {broken}")
    assert asked.stderr.splitlines()[-1].startswith("saq-eval: unknown method 'their_method'")


def test_workers_do_not_repeat_the_warning(package, tmp_path):
    site = package("raise RuntimeError('no luck')")
    (tmp_path / "workers.py").write_text(
        "from saq_eval.core.plugins import failed_plugins, load_plugins\n"
        "from saq_eval.evaluation.executors import Call, Processes\n"
        "def tried(place):\n"
        "    load_plugins()\n"
        "    return failed_plugins()\n"
        "with Processes(2) as workers:\n"
        "    found = [len(names) for _, names in workers.run([Call(tried)] * 4, '.')]\n"
        "print(len(tried('')), *found)\n"
    )
    command = [sys.executable, "workers.py"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{site}"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout) == (0, "1 1 1 1 1\n")  # each of them has tried
    assert done.stderr.count("no luck") == 1
