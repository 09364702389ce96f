"""Networks and pictures from outside on the command line: compared, repeated, and quantized first."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tests.cli.process import saq_eval_here
from tests.data.writing import noise, write

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporter to ONNX

METHODS = ("--methods", "occlusion:window=16,stride=16", "--metrics", "PixelFlipping:features_in_step=256,SSIM")
FEW = (*METHODS, "--samples", 2, "--accuracy-on", 4, "--quiet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, weights of a torchvision network, the same in ONNX, and the names of its outputs."""
    from torchvision.models import get_model

    folder = tmp_path_factory.mktemp("own networks")
    for place, name in enumerate(("cat", "dog")):
        for number in range(3):
            write(folder / "pets" / name / f"{number}.png", noise(32, 32, seed=10 * place + number))
    torch.manual_seed(0)
    network = get_model("squeezenet1_1", num_classes=2).eval()
    save_file(network.state_dict(), folder / "r.safetensors")
    # It is larger, but the suite can quantize it.
    save_file(get_model("resnet18", num_classes=2).state_dict(), folder / "q.safetensors")
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    torch.onnx.export(
        network, (torch.rand(1, 3, 32, 32),), folder / "r.onnx",
        input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False,
    )  # fmt: skip
    (folder / "names.txt").write_text("dog\ncat\n")
    (folder / "own_nets.py").write_text("def make():\n    raise SystemError('this code must not run')\n")
    return folder


TORCH = "torchvision:squeezenet1_1?size=32@r.safetensors"
RESNET = "torchvision:resnet18?size=32@q.safetensors"
ONNX = "onnx:r.onnx?mean=0.485,0.456,0.406&std=0.229,0.224,0.225"


@pytest.fixture(scope="module")
def done(folder):
    run = saq_eval_here(
        "compare", "--dataset", "folder:pets", "--model", f"fp32={TORCH}", "--model", f"int8={ONNX}", "--baseline", "fp32",
        "--masks", "none", "--classes", "names.txt", "--output", "out", *FEW, cwd=folder,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return folder / "out"


def tables(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.csv"))}


def test_a_torchvision_file_and_an_onnx_file_are_compared(done):
    record = json.loads((done / "run.json").read_text())
    assert record["accuracy_on"] == 4 and record["test_images"] == 6 and list(record["models"])[:2] == ["fp32", "int8"]
    assert record["plan"]["models"] == [f"fp32={TORCH}", f"int8={ONNX}"]
    # The same network in another runtime: the same predictions, and maps that are as good as equal.
    rows = [row.split(",") for row in (done / "models.csv").read_text().splitlines()]
    both = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    assert float(both[1]["flips"]) == 0 and float(both[1]["kl"]) < 1e-6


def test_the_command_of_the_record_and_the_record_itself_repeat_the_run(done, folder):
    import shlex

    record = json.loads((done / "run.json").read_text())
    again = saq_eval_here(*shlex.split(record["command"])[1:], "--output", "again", "--quiet", cwd=folder)
    assert again.returncode == 0, again.stderr
    configured = saq_eval_here("compare", "--config", "out/run.json", "--output", "configured", "--quiet", cwd=folder)
    assert configured.returncode == 0, configured.stderr
    assert tables(folder / "again") == tables(done) == tables(folder / "configured") and len(tables(done)) > 8


def test_a_configuration_lists_networks(done, folder):
    (folder / "plan.yaml").write_text(
        f"dataset: folder:pets\nmodels: ['fp32={TORCH}', 'int8={ONNX}']\nbaseline: fp32\nmasks: none\nclasses: names.txt\n"
        "samples: 2\naccuracy_on: 4\nmethods: [{occlusion: {window: 16, stride: 16}}]\n"
        "metrics: [{PixelFlipping: {features_in_step: 256}}, SSIM]\n"
    )
    run = saq_eval_here("compare", "--config", "plan.yaml", "--output", "listed", "--quiet", cwd=folder)
    assert run.returncode == 0 and tables(folder / "listed") == tables(done), run.stderr


def test_a_picture_of_networks_and_pictures_of_ones_own(folder):
    own = ("--model", f"fp32={TORCH}", "--model", "int8=onnx:r.onnx", "--mean", "0.4", "--std", "0.2")
    command = ("explain", "--dataset", "folder:pets", "--index", 4, *own, "--classes", "names.txt")
    done = saq_eval_here(*command, "--methods", "saliency,occlusion:window=16,stride=16", cwd=folder)
    said = (done.returncode, done.stdout, "int8 has no map by saliency: no gradient reaches the image" in done.stderr)
    assert said == (0, "Written to reports/pets-4.png\n", True), done.stderr
    assert (folder / "reports" / "pets-4.png").read_bytes().startswith(b"\x89PNG")
    done = saq_eval_here("explain", "--dataset", "folder:pets", "--index", 4, "--model", "a=own_nets:make", cwd=folder)
    assert done.returncode == 2 and "--trust-code" in done.stderr and done.stderr.count("\n") == 1
    trusted = saq_eval_here(
        "explain", "--dataset", "folder:pets", "--index", 4, "--model", "a=own_nets:make", "--trust-code", cwd=folder
    )
    assert trusted.returncode == 2 and "this code must not run" in trusted.stderr  # it has run


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("--model", "a=own_nets:make"), "--trust-code"),
        (("--model", "a=torchvision:resnet18"), "no file of weights is named"),
        (("--model", "a=onnx:nowhere.onnx"), "nowhere.onnx"),
        (("--model", "r.safetensors"), "--model takes NAME=SOURCE"),
        (("--model", f"my net={TORCH}"), "a network's name has up to 100 letters"),
        (("--model", f"a={TORCH}", "--baseline", "b"), "unknown network 'b'; valid: a"),
        (("--model", f"a={TORCH}", "--classes", "nowhere.txt"), "nowhere.txt"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(folder, models, message):
    done = saq_eval_here("compare", "--dataset", "folder:pets", *models, *FEW, "--output", "never", cwd=folder)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (folder / "never").exists()


@pytest.mark.validation
def test_a_network_is_quantized_twice_and_compared_once(folder):
    arguments = ("--dataset", "folder:pets", "--calibrate", 4, "--rounding", "nearest", "--zoo", "my zoo")
    own = ("--size", 32, "--classes", "names.txt")  # which the card of the added network says from then on
    for scheme, model, more in (("w8a8", f"mine={RESNET}", own), ("w4a4", "mine", ())):
        done = saq_eval_here("quantize", "--model", model, "--scheme", scheme, *arguments, *more, cwd=folder)
        assert done.returncode == 0 and f"pets/mine-{scheme}-ptq: test accuracy" in done.stdout, done.stderr
    command = ("compare", "--dataset", "folder:pets", "--models", "mine-*", "--zoo", "my zoo", "--output", "quantized")
    done = saq_eval_here(*command, "--masks", "none", *FEW, cwd=folder)
    assert done.returncode == 0, done.stderr
    models = json.loads((folder / "quantized" / "run.json").read_text())["models"]
    assert [name for name, each in models.items() if each["role"] == "model"] == [
        "mine",
        "mine-w8a8-ptq",
        "mine-w4a4-ptq",
    ]
    assert {models[name]["baseline"] for name in list(models)[:3]} == {"mine"}
