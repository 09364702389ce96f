import os

import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.core import devices
from saq_eval.core.devices import device_count, pick_device, processor_cores, take_cuda_device


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


def test_each_process_of_a_run_takes_a_device_of_its_own(tmp_path, monkeypatch):
    """Processes are stood for by locks that are not shared: each call is that of another process."""
    taken = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(devices, "_TAKEN", [])
    for _ in range(3):
        take_cuda_device(tmp_path)
    assert taken == [0, 1] and device_count() == 2  # the third keeps what torch gives it
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert device_count() == 1
