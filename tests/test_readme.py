"""The documentation does what it says."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests import ROOT
from tests.cli.process import ONE_WORKER, run_in_turn, saq_eval_here

README = (ROOT / "README.md").read_text(encoding="utf-8")
ZOO_README = (ROOT / "model_zoo" / "README.md").read_text(encoding="utf-8")


# What examples take minutes for is done with less of it, where they are not run as they are written.
FEW = ["--samples", "4", "--metrics", "FaithfulnessCorrelation:nr_runs=10,PointingGame,SSIM"]
SHORT = "{epochs: 1, batch_size: 64, learning_rate: 0.05, weight_decay: 0, alpha_init: quantile}"


def run(*arguments: str, cwd: Path) -> str:
    done = saq_eval_here(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def commands_of(block: str) -> list[list[str]]:
    """Return a shell block's commands, each as its words."""
    return [words for line in block.replace("\\\n", "").splitlines() if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize(
    ("text", "dataset"), [(README, "fashionmnist"), (ZOO_README, None)], ids=["README", "model_zoo"]
)
def test_the_tables_of_accuracies_are_what_the_command_prints(text, dataset):
    name = f"accuracies {dataset or 'all'}"
    (table,) = re.findall(f"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    assert table == run("zoo", "accuracies", *(["--dataset", dataset] if dataset else []), cwd=ROOT)


def test_links_lead_somewhere():
    for text, folder in ((README, ROOT), (ZOO_README, ROOT / "model_zoo")):
        for target in re.findall(r"\]\(((?!http)[^)#]+)\)", text):
            assert (folder / target).exists(), target


@pytest.mark.parametrize("images", ["4", pytest.param(r"\1", marks=pytest.mark.validation)], ids=["few", "as written"])
def test_the_python_examples_run(images, tmp_path):
    """Each block is a file, in an empty folder; one process runs them all, which registers what they bring."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    for number, block in enumerate(blocks):
        block = re.sub(r"\bsamples=(\d+)", f"samples={images}", block)
        (tmp_path / f"{number}.py").write_text(OWN.format(block) if "models=models" in block else block)
    done = run_in_turn([["python", f"{number}.py"] for number in range(len(blocks))], cwd=tmp_path)
    for each in done:
        assert each.returncode == 0 and "Traceback" not in each.stderr, each.stderr
    assert len(done) == len(blocks) == 4 and any(tmp_path.rglob("report.html"))


def test_the_example_with_facts_of_a_network_runs(tmp_path):
    text = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(import saq_eval\n.*?)```", text, re.DOTALL)
    (tmp_path / "facts.py").write_text(OWN.format(block.replace("samples=32", "samples=2")))
    (done,) = run_in_turn([["python", "facts.py"]], cwd=tmp_path)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


def test_two_modules_are_compared_in_five_lines():
    (block,) = re.findall(r"```python\n(import saq_eval\n\nmodels = .*?)```", README, re.DOTALL)
    assert len(block.splitlines()) <= 5


# What the README's example in Python takes for granted: two modules and a data set. They are the same afterwards.
OWN = """
import copy
import torch
from torch import nn
from torch.utils.data import TensorDataset

generator = torch.Generator().manual_seed(0)
network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 100, 2)).train()
quantized = copy.deepcopy(network).eval()
with torch.no_grad():
    quantized[0].weight.mul_(8).round_().div_(8)
pictures = TensorDataset(torch.rand(40, 1, 12, 12, generator=generator), torch.arange(40) % 2)
before = [copy.deepcopy(each.state_dict()) for each in (network, quantized)]

{}

for module, state, mode in zip((network, quantized), before, (True, False)):
    assert module.training is mode and not any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert all(parameter.requires_grad and parameter.is_contiguous() for parameter in module.parameters())
"""


@pytest.mark.validation
def test_the_examples_with_a_network_of_ones_own_run(tmp_path):
    """As they are written, on few small pictures of 32x32, which the network's text says."""
    import torch
    from PIL import Image
    from safetensors.torch import save_file
    from torchvision.models import get_model

    torch.manual_seed(0)
    network = get_model("resnet18", num_classes=2).eval()
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    torch.onnx.export(
        network, (torch.zeros(1, 3, 32, 32),), tmp_path / "network-int8.onnx", dynamo=False, dynamic_axes={}
    )
    for number in range(12):
        name = f"{'cat' if number % 2 else 'dog'}/{number}.png"
        for folder, mode in (("pictures", "RGB"), ("masks", "L")):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (40, 32 + number), number * 20 + 1).save(tmp_path / folder / name)
    blocks = re.findall(r"## Your network, your pictures\n(.*?)## Compare", README, re.DOTALL)
    commands = [
        [word.replace("resnet18@", "resnet18?size=32&crop=32@") for word in words]
        for block in re.findall(r"```sh\n(.*?)```", blocks[0], re.DOTALL)
        for words in commands_of(block)
    ]
    cheap = ["--samples", "4", "--methods", "saliency,occlusion:window=16,stride=16", "--metrics", "PointingGame,SSIM"]
    more = {"compare": cheap, "quantize": ["--calibrate", "8", "--rounding", "nearest"], "explain": cheap[2:4]}
    done = run_in_turn([words + more[words[1]] for words in commands], cwd=tmp_path)
    assert done[-1].returncode == 0, done[-1].stderr + done[-1].stdout
    assert [len(done), len(commands)] == [5, 5] and (tmp_path / "reports" / "pictures-0.png").is_file()
    holes = pd.read_csv(tmp_path / "reports" / "pictures" / "holes.csv")
    assert set(holes["model"]) == {"int8"} and set(holes["method"]) == {"saliency"}


def test_the_shell_examples_of_comparisons_are_understood(tmp_path):
    """Every option and name in them is known; a sample of one would still take minutes for all networks."""
    (block,) = re.findall(r"## Compare the zoo's networks\n\n```sh\n(.*?)```", README, re.DOTALL)
    lines = commands_of(block)
    commands = ["compare", "compare", "compare", "report", "explain"]
    assert [line[:2] for line in lines] == [["saq-eval", command] for command in commands]
    lines = [[argument.replace("fashionmnist", "digits") for argument in line[1:]] for line in lines]
    assert "cnn-fp32,cnn-w*" in lines[2]
    fewer = [argument.replace("cnn-w*", "cnn-w2a?").replace("nr_runs=100", "nr_runs=5") for argument in lines[2]]
    run(*fewer, "--samples", "2", cwd=tmp_path)
    run(
        *[a.replace("reports/mnist", "reports/mine").replace("reports/digits", "reports/mine") for a in lines[3]],
        cwd=tmp_path,
    )
    assert (tmp_path / "reports" / "report.html").is_file()
    run(*[argument.replace("cnn-*", "cnn-w*-s1") for argument in lines[4]], cwd=tmp_path)
    assert (tmp_path / "reports" / "digits-7.png").is_file() and (tmp_path / "reports" / "mine").is_dir()


def test_what_is_said_of_sets_and_gaps():
    from saq_eval.attribution import method_sets
    from saq_eval.metrics import metric_sets

    counts = {name: len(names) for name, names in method_sets().items()}
    methods, metrics = (line for line in README.splitlines() if line.startswith(("- `--methods`", "- `--metrics`")))
    said = {name: int(count) for name, count in re.findall(r"`(quick|standard|full)` \((\d+)", methods)}
    assert said == counts, "README.md counts the methods of each set"
    assert f"`quick` ({len(metric_sets()['quick'])})" in metrics
    networks = pd.read_csv(ROOT / "reports" / "fashionmnist" / "models.csv").query("training == 'standard'")
    gaps = (100 * networks.groupby("scheme")["surrogate_gap"].mean()).round().astype(int)
    said = f"{gaps['fp32']} % at 32 bits, {gaps['w4a4']} % at 4, {gaps['w2a2']} % at 2 (standard training, mean over five seeds)"
    assert f"on FashionMNIST {said}" in " ".join(README.split()) and set(networks["seed"]) == set(range(5))


def in_a_shell(blocks: list[str], folder: Path) -> None:
    """Run shell blocks as they are written."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **ONE_WORKER, "PATH": path}
    for block in blocks:
        done = subprocess.run(["bash", "-euc", block], capture_output=True, text=True, cwd=folder, env=environment)
        assert done.returncode == 0, done.stderr + done.stdout


def in_short(blocks: list[str], folder: Path) -> None:
    """Run the commands of shell blocks in one process, with a short recipe, few images and few metrics."""
    (folder / "short.yaml").write_text(SHORT)
    more = {"train": ["--recipe", "short.yaml"], "compare": FEW}
    commands = [words + more.get(words[1], []) for block in blocks for words in commands_of(block)]
    file = folder / "my_comparison.py"
    assert "samples=32" in file.read_text()
    file.write_text(file.read_text().replace("samples=32", 'samples=4, metrics=["PointingGame", "SSIM"]'))
    done = run_in_turn(commands, cwd=folder)
    assert done[-1].returncode == 0, done[-1].stderr + done[-1].stdout
    assert len(done) == len(commands)


@pytest.mark.parametrize("way", [in_short, pytest.param(in_a_shell, marks=pytest.mark.validation)])
def test_the_zoos_worked_examples_run(way, tmp_path):
    """The README's own lines, in its order, in an empty folder: Python blocks are files, shell blocks are run."""
    shell_blocks = []
    for language, block in re.findall(r"```(python|sh)\n(.*?)```", ZOO_README, re.DOTALL):
        if language == "python":
            name = block.splitlines()[0].removeprefix("# ")
            (tmp_path / name).write_text(block)
        else:
            shell_blocks.append(block)
    assert len(shell_blocks) == 3
    way(shell_blocks, tmp_path)
    models = {card.parent.name for card in (tmp_path / "my-zoo").glob("digits/*/card.yaml")}
    assert models == {"cnn-fp32-s7", "cnn-w4a4-s7", "my-net", "lenet-fp32", "lenet-w4a4"}


def test_the_recipe_in_the_documentation_is_one():
    from saq_eval.core.records import read_record
    from saq_eval.training.recipes import Recipe

    assert read_record(Recipe, ROOT / "docs" / "cifar10-resnet20.yaml").flip


def test_the_scheme_example_is_a_scheme(tmp_path):
    from saq_eval.quantization import load_scheme

    (example,) = re.findall(r"```yaml\n(.*?)```", ZOO_README, re.DOTALL)
    (tmp_path / "w2a4.yaml").write_text(example)
    scheme = load_scheme(tmp_path / "w2a4.yaml")
    assert scheme.overrides["conv2"].weight_bits == 8 and scheme.granularity == "channel"
