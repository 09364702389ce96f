"""What happens when a training is stopped, and started again."""

import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import yaml

from saq_eval import SaqEvalError
from saq_eval.zoo import find_model
from tests.cli.process import saq_eval_here
from tests.studies.small import RECIPE, SMALL, train_small


class Killed(Exception):
    """Stands for whatever ends a process in the middle of an epoch."""


@pytest.mark.parametrize("saliency_guided", [False, True])
def test_a_stopped_run_ends_where_an_unbroken_one_does(zoo, monkeypatch, saliency_guided):
    """Also on another processor, which by itself would train in another precision."""
    import saq_eval.studies.driver as studies

    arguments = {"recipe": replace(RECIPE, shift=1), "saliency_guided": saliency_guided}
    monkeypatch.setattr(studies, "fast_precision", lambda device: "float32")
    unbroken = train_small(zoo=zoo, name="unbroken", **arguments)

    import saq_eval.training.loop as loop

    real, epochs = loop._epoch, []

    def dies_in_the_third_epoch(*arguments):
        epochs.append(arguments[4])
        if len(epochs) == 3:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(loop, "_epoch", dies_in_the_third_epoch)
    with pytest.raises(Killed):
        train_small(zoo=zoo, name="broken", **arguments)
    assert not (zoo / "digits" / "broken").exists()
    monkeypatch.setattr(studies, "fast_precision", lambda device: "bfloat16")
    broken = train_small(zoo=zoo, name="broken", **arguments)
    assert broken.recipe.precision == unbroken.recipe.precision == "float32"
    assert epochs == [0, 1, 2, 2]  # the unfinished epoch is done again, the finished ones are not
    assert broken.weights_sha256 == unbroken.weights_sha256
    assert broken.history == unbroken.history
    assert not list(zoo.rglob(".partial*"))


def test_progress_of_other_settings_is_not_taken_for_ones_own(zoo, monkeypatch):
    import saq_eval.training.loop as loop

    real = loop._epoch
    monkeypatch.setattr(loop, "_epoch", lambda *a: real(*a) if a[4] == 0 else (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        train_small(zoo=zoo)
    monkeypatch.setattr(loop, "_epoch", real)
    with pytest.raises(SaqEvalError, match="keeps the progress of an unfinished run with other settings"):
        train_small(zoo=zoo, recipe=replace(RECIPE, learning_rate=0.07))
    assert train_small(zoo=zoo, recipe=replace(RECIPE, learning_rate=0.07), overwrite=True).recipe.learning_rate == 0.07


def test_spoilt_progress_is_named(zoo):
    file = zoo / "digits" / ".partial-small-fp32" / "progress.pt"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no progress")
    with pytest.raises(SaqEvalError, match=r"progress\.pt: the progress of an earlier run cannot be read"):
        train_small(zoo=zoo)


def test_a_killed_process_resumes(zoo, tmp_path):
    """The real thing: SIGKILL between two epochs, and the same command again."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("{epochs: 6, batch_size: 64, learning_rate: 0.1, weight_decay: 0.0, shift: 1}")
    command = [
        *("train", "--dataset", "digits", "--scheme", "fp32", "--arguments", yaml.safe_dump(SMALL)),
        *("--recipe", str(recipe), "--zoo", str(zoo), "--name"),
    ]
    progress = zoo / "digits" / ".partial-broken" / "progress.pt"
    process = subprocess.Popen([sys.executable, "-m", "saq_eval", *command, "broken"])
    deadline = time.monotonic() + 120
    while not progress.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (zoo / "digits" / "broken").exists()
    for name in ("broken", "unbroken"):
        assert saq_eval_here(*command, name, cwd=tmp_path).returncode == 0
    broken, unbroken = (find_model("digits", name)[0] for name in ("broken", "unbroken"))
    assert broken.weights_sha256 == unbroken.weights_sha256 and broken.history == unbroken.history
