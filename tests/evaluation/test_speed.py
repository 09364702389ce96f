import math
import threading
import time

import pytest
import torch
from torch import nn

from saq_eval.evaluation.speed import measure_speeds, seconds_of
from saq_eval.networks.modules import as_module

IMAGES = torch.rand(3, 1, 8, 8)


class Counted(nn.Module):
    """A network of pixels (n, 1, 8, 8) that notes how many images pass at once, and takes seconds for each."""

    def __init__(self, seconds=0.0):
        super().__init__()
        self.layer, self.passed, self.seconds = nn.Linear(64, 5), [], seconds
        self.eval()

    def forward(self, images):
        self.passed.append(len(images))
        end = time.thread_time() + self.seconds * len(images)
        while time.thread_time() < end:
            pass
        return self.layer(images.flatten(1))


def measured(network, **given):
    (speed,) = measure_speeds(
        {"a": network}, lambda identity: network, IMAGES, **{"batch_size": 16, "device": "cpu"} | given
    )
    return speed


def test_full_batches_are_timed():
    network = Counted()
    speed = measured(network)
    assert max(network.passed) == speed.images == 16  # there are three images, which are repeated
    assert speed.networks == ("a",) and speed.outputs == 5
    assert 0 < speed.forward < 0.01 and 0 < speed.backward < 0.01


def test_a_slow_network_passes_fewer_images():
    network = Counted(seconds=0.02)
    speed = measured(network, budget=0.2)
    assert speed.images < 8 and speed.forward == pytest.approx(0.02, rel=0.5) and speed.backward >= 0.02
    assert sum(network.passed) * 0.02 < 0.6


def test_where_no_gradient_reaches_the_image_only_passes_forward_are_timed():
    speed = measured(as_module(lambda images: images.round().flatten(1)[:, :3].detach()))
    assert speed.forward > 0 and math.isnan(speed.backward) and speed.outputs == 3


def test_networks_that_differ_in_their_weights_alone_are_timed_once():
    def traced(width):
        return torch.fx.symbolic_trace(nn.Sequential(nn.Flatten(), nn.Linear(64, width))).eval()

    networks = {"a": traced(4), "b": traced(7), "c": traced(4)}
    asked = []

    def placed(identity):
        asked.append(identity)
        return networks[identity]

    speeds = measure_speeds(networks, placed, IMAGES, 4, "cpu", budget=0.1)
    assert [speed.networks for speed in speeds] == [("a", "c"), ("b",)] and asked == ["a", "b"]


def test_networks_that_cannot_be_traced_are_told_apart_by_their_layers():
    networks = {"a": Counted(), "b": Counted(), "c": as_module(lambda images: images.flatten(1))}
    networks["d"] = as_module(lambda images: images.flatten(1)[:, :2])
    speeds = measure_speeds(networks, networks.__getitem__, IMAGES, 4, "cpu", budget=0.1)
    assert [speed.networks for speed in speeds] == [("a", "b"), ("c",), ("d",)]


def test_the_number_of_threads_is_left_as_it_was():
    before = torch.get_num_threads()
    measured(Counted(), budget=0.01)
    assert torch.get_num_threads() == before


def _compute(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_what_is_computed_on_other_threads_and_what_waits_counts():
    def on_another_thread():
        thread = threading.Thread(target=_compute, args=(0.05,))
        thread.start()
        thread.join()

    assert 0.04 < seconds_of(lambda: _compute(0.05), "cpu") < 0.2
    assert seconds_of(lambda: time.sleep(0.05), "cpu") >= 0.05
    assert seconds_of(on_another_thread, "cpu") >= 0.05
