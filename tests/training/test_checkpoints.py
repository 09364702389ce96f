import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.training.checkpoints import Checkpoint, Epoch, kept_precision

CPU = torch.device("cpu")


def test_states_and_epochs_come_back(tmp_path):
    network, history = nn.Linear(2, 1), [Epoch(0.5, 0.75), Epoch(0.25, 1.0)]
    checkpoint = Checkpoint(tmp_path / "progress.pt", "this", "float32")
    assert checkpoint.restore({"network": network}, CPU) == []
    checkpoint.save({"network": network}, history[:1])
    checkpoint.save({"network": network}, history)
    other = nn.Linear(2, 1)
    assert not torch.equal(other.weight, network.weight)
    assert checkpoint.restore({"network": other}, CPU) == history
    assert torch.equal(other.weight, network.weight)
    assert [file.name for file in tmp_path.iterdir()] == ["progress.pt"]


def test_progress_under_another_identity_is_refused(tmp_path):
    file, network = tmp_path / "progress.pt", nn.Linear(2, 1)
    Checkpoint(file, "this", "float32").save({"network": network}, [])
    with pytest.raises(SaqEvalError, match="progress.pt keeps the progress of an unfinished run with other settings"):
        Checkpoint(file, "that", "float32").restore({"network": network}, CPU)


def test_an_unfinished_run_keeps_its_precision(tmp_path):
    file = tmp_path / "progress.pt"
    assert kept_precision(file) is None
    Checkpoint(file, "this", "bfloat16").save({}, [])
    assert kept_precision(file) == "bfloat16"
    torch.save({"identity": "this"}, file)
    with pytest.raises(SaqEvalError, match="lacks history, precision, states; remove the file"):
        kept_precision(file)
