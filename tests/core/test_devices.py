import os

import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.core.devices import pick_device, processor_cores


@pytest.mark.parametrize("gpu", [False, True])
def test_a_gpu_is_taken_where_there_is_one(gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto") == torch.device("cuda" if gpu else "cpu")
    if gpu:
        assert pick_device("cuda") == torch.device("cuda")
    else:
        with pytest.raises(
            SaqEvalError, match="'cuda' was asked for, but torch finds no CUDA device; 'cpu' and 'auto'"
        ):
            pick_device("cuda")


@pytest.mark.parametrize("device", ["gpu", "cuda:1", ""])
def test_an_unknown_device(device):
    with pytest.raises(SaqEvalError, match=f"unknown device '{device}'.* valid: cpu, cuda, auto"):
        pick_device(device)


def test_cores_are_at_most_those_of_the_machine():
    assert 1 <= processor_cores() <= os.cpu_count()
