"""A state dict is loaded at the bit width that it was made at, and at no other."""

import pytest
import torch
from torch import nn

from saq_eval.quantization.stated import STATED_BITS, StatesBits


def test_the_state_says_the_bit_width():
    state = nn.Sequential(StatesBits(4)).state_dict()
    assert int(state[f"0.{STATED_BITS}"]) == 4 and state[f"0.{STATED_BITS}"].dtype == torch.int32


def test_a_state_of_the_same_width_is_loaded():
    nn.Sequential(StatesBits(4)).load_state_dict(nn.Sequential(StatesBits(4)).state_dict())


def test_a_state_of_another_width_is_refused_and_changes_nothing():
    network = nn.Sequential(StatesBits(4))
    with pytest.raises(RuntimeError, match="0 has 4 bits, but the state was made at 2"):
        network.load_state_dict(nn.Sequential(StatesBits(2)).state_dict())
    assert network[0].bits == int(network[0].stated_bits) == 4


def test_a_state_that_holds_no_single_width_is_refused():
    with pytest.raises(RuntimeError, match=r"0 has 4 bits, but the state was made at \(2,\)"):
        nn.Sequential(StatesBits(4)).load_state_dict({f"0.{STATED_BITS}": torch.tensor([4, 4])})


def test_an_older_state_without_a_width_is_loaded():
    network = nn.Sequential(StatesBits(4))
    network.load_state_dict({})
    assert int(network[0].stated_bits) == 4
