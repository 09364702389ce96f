"""Networks that a user's code builds and that fail, lie, print, wait, or try to end the program."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests import ROOT
from tests.data.writing import noise, write
from tests.hostile.running import answered, refused

CODE = """
import os, sys, threading, time
import torch
from torch import nn

class Odd(BaseException):
    pass

class Net(nn.Module):
    def __init__(self, act=None):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
        self.act, self.count = act, 0

    def forward(self, images):
        self.count += 1
        return self.layers(images) if self.act is None else self.act(self, images)

def raises(error):
    def act(net, images):
        raise error
    return act

ACTS = {}
def act(function):
    ACTS[function.__name__] = function

for error in (
    ValueError("two\\nlines"), Exception(), RuntimeError("x" * 100_000), MemoryError(), AssertionError(), StopIteration(),
    KeyError(3), SystemExit(), SystemExit(0), SystemExit("text"), Odd("odd"), RecursionError(), NotImplementedError(),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "no"), OSError(5, "gone"), Warning("warned"), TimeoutError(), ImportError("no"),
):
    ACTS[f"raises_{len(ACTS)}"] = raises(error)

class Unspeakable(Exception):
    def __str__(self):
        raise ValueError("this error has no text")

ACTS["raises_unspeakable"] = raises(Unspeakable())

@act
def is_nan(net, images): return net.layers(images) * float("nan")
@act
def is_infinite(net, images): return net.layers(images) / 0
@act
def is_nan_later(net, images): return net.layers(images) * (float("nan") if net.count > 1 else 1)
@act
def grows(net, images): return torch.zeros(len(images), 2 + net.count)
@act
def shrinks(net, images): return net.layers(images)[: len(images) - net.count % 2]
@act
def gives_none(net, images): return None
@act
def gives_text(net, images): return "cat"
@act
def gives_array(net, images): return net.layers(images).detach().numpy()
@act
def gives_list(net, images): return net.layers(images).tolist()
@act
def gives_empty(net, images): return torch.zeros(0)
@act
def gives_scalar(net, images): return torch.tensor(1.0)
@act
def gives_pictures(net, images): return images
@act
def gives_no_class(net, images): return torch.zeros(len(images), 0)
@act
def gives_whole_numbers(net, images): return torch.zeros(len(images), 2, dtype=torch.int64)
@act
def gives_complex(net, images): return net.layers(images).to(torch.complex64)
@act
def gives_meta(net, images): return net.layers(images).to("meta")
@act
def gives_sparse(net, images): return net.layers(images).to_sparse()
@act
def gives_itself(net, images): return net
@act
def gives_many_classes(net, images): return torch.zeros(len(images), 3)
@act
def gives_strings_by_name(net, images): return {"logits": "cat"}
@act
def goes_deep(net, images): return net.act(net, images)
@act
def draws(net, images): return torch.randn(len(images), 2)
@act
def mixes(net, images): return net.layers(images - images.mean(dim=0))
@act
def wants_a_double(net, images): return net.layers(images.double())
@act
def closes(net, images): images.resize_(0); return net.layers(images)

def make(act="none"):
    return Net(ACTS[act])

def no_network(): return None
def class_of_network(): return Net
def in_training(): return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(192, track_running_stats=False), nn.Linear(192, 2))
def on_meta(): return nn.Sequential(nn.Flatten(), nn.Linear(192, 2, device="meta"))
def no_copy():
    net = Net(); net.lock = threading.Lock(); return net
def is_nan_itself():
    net = Net(); nn.init.constant_(net.layers[1].weight, float("nan")); return net
def leaves(): sys.exit(0)
def is_odd(): raise Odd("odd")
def without_end(): return without_end()
def takes_no(argument): return Net()
def counts(number: int = 1): return nn.Linear(number, number)
def generates(): yield Net()
number = 3
"""
FAILING = [
    "gives_text",
    "gives_none",
    "gives_empty",
    "gives_scalar",
    "gives_pictures",
    "gives_no_class",
    "gives_itself",
    "gives_many_classes",
    "gives_strings_by_name",
    "gives_meta",
    "gives_complex",
    "is_nan",
    "is_infinite",
    "is_nan_later",
    "grows",
    "shrinks",
    "goes_deep",
    "draws",
    "mixes",
    "wants_a_double",
    "raises_unspeakable",
]
BUILDERS = [
    "no_network",
    "class_of_network",
    "in_training",
    "on_meta",
    "no_copy",
    "is_nan_itself",
    "leaves",
    "is_odd",
    "without_end",
    "takes_no",
    "generates",
    "number",
    "nowhere",
    "make?act=nowhere",
    "make?act=[",
    "counts?number=-1",
    "counts?number=1000000000000",
    "counts?number=3.5",
    "counts?number=nan",
]


@pytest.fixture
def pets(here):
    (here / "strange.py").write_text(CODE)
    for place, name in enumerate(("cat", "dog")):
        write(here / "pets" / name / "0.png", noise(8, 8, seed=place))
    return here


def explain(source: str, *options) -> list:
    network = ("--model", f"a=strange:{source}", "--trust-code", "--methods", "saliency")
    return ["explain", "--dataset", "folder:pets", "--index", "0", *network, *options]


@pytest.mark.parametrize("act", [*FAILING, *(f"raises_{number}" for number in range(18))])
def test_a_network_that_does_not_work_is_refused(pets, act):
    assert "network 'a'" in refused(pets, *explain(f"make?act={act}"))


@pytest.mark.parametrize("builder", BUILDERS)
def test_a_function_that_builds_no_network_is_refused(pets, builder):
    assert "network 'a'" in refused(pets, *explain(builder))


MODULES = {
    "ends": "import sys\nsys.exit(0)\n",
    "is_odd": "class Odd(BaseException):\n    pass\n\n\nraise Odd('odd')\n",
    "is_no_python": "def (",
    "is_no_text": b"\xff\xfe\0",
    "is_deep": "x = " + "(" * 10_000 + ")" * 10_000,
    "is_empty": "",
    "needs_more": "import nowhere_to_be_found\n",
    "is_in_itself": "from strange_is_in_itself import make\n",
}


@pytest.mark.parametrize("what", MODULES)
def test_a_module_that_cannot_be_imported_is_refused(pets, what):
    content = MODULES[what]
    (pets / f"strange_{what}.py").write_bytes(content if isinstance(content, bytes) else content.encode())
    arguments = [each.replace("strange:", f"strange_{what}:") for each in explain("make")]
    assert "network 'a'" in refused(pets, *arguments)


def test_no_code_runs_unless_it_is_trusted(pets):
    (pets / "strange.py").write_text("open('owned', 'w')\n")
    arguments = [each for each in explain("make") if each != "--trust-code"]
    assert "--trust-code" in refused(pets, *arguments)
    (pets / "zoo" / "digits").mkdir(parents=True)
    for place in (
        "strange.py",
        "sitecustomize.py",
        "conftest.py",
        "zoo/__init__.py",
        "zoo/digits/torch.py",
        "torch.py",
    ):
        (pets / place).write_text("open('owned', 'w')\n")
    refused(pets, "zoo", "show", "nothing", "--zoo", "zoo")


@pytest.mark.parametrize("act", ["changes_its_input", "wants_gradients", "gives_array"])
def test_a_network_that_works_in_its_own_way_is_explained(pets, act):
    source = pets / "strange.py"
    source.write_text(
        source.read_text()
        + "\n\n@act\ndef changes_its_input(net, images): return net.layers(images.mul_(2).sub_(1))\n"
        + "\n@act\ndef wants_gradients(net, images):\n"
        + "    pixels = images.clone() if images.requires_grad else images.clone().requires_grad_()\n"
        + "    return net.layers(torch.autograd.grad((pixels**2).sum(), pixels, create_graph=True)[0])\n"
    )
    method = ("--methods", "occlusion:window=4,stride=4") if act == "gives_array" else ()
    assert answered(pets, *explain(f"make?act={act}", *method), output="reports") == (0, "")


def test_what_a_network_prints_is_not_on_the_standard_output(pets):
    from tests.cli.process import saq_eval_here

    source = pets / "strange.py"
    source.write_text(
        source.read_text() + "\n\n@act\ndef prints(net, images):\n    print('printed')\n    return net.layers(images)\n"
    )
    done = saq_eval_here(*explain("make?act=prints"), cwd=pets)
    assert (done.returncode, done.stdout) == (0, "Written to reports/pets-0.png\n") and "printed" in done.stderr


SLOW = """

@act
def waits(net, images):
    time.sleep({seconds})
    return net.layers(images)
"""


def test_a_slow_network_is_said_to_be_slow_once(pets):
    from tests.cli.process import saq_eval_here

    (pets / "strange.py").write_text(CODE + SLOW.format(seconds=1.05))
    done = saq_eval_here(*explain("make?act=waits"), cwd=pets)
    assert done.returncode == 0 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("saq-eval: warning: a pass of 2 images through the network Net takes 1.")


def test_ctrl_c_ends_a_network_that_takes_a_minute(pets):
    (pets / "strange.py").write_text(
        CODE + SLOW.format(seconds=60).replace("    time", "    open('began', 'w')\n    time")
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "saq_eval", *map(str, explain("make?act=waits"))],
        cwd=pets,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in a shell's background
    )
    try:
        deadline = time.monotonic() + 240
        while not (pets / "began").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        output, complaint = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, output, complaint) == (130, "", "saq-eval: interrupted\n")
