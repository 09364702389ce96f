"""What a comparison knows of a network."""

import pytest
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.networks.network import LayerCost, Network


def test_bit_operations_count_both_operands():
    layer = LayerCost("conv", (8, 1, 3, 3), 4, 2, alpha=None, weight_bytes=36, macs=1000)
    assert layer.bops == 8000


def test_a_network_is_nothing_but_itself():
    """Two of the same facts may compute different things, so they are two keys of a mapping."""
    one, other = (Network(nn.Identity(), name="a") for _ in range(2))
    assert one != other and len({one, other}) == 2


def test_what_nobody_has_said_is_not_known():
    network = Network(nn.Identity(), name="a")
    assert network.bits == ("", "", "") and network.seed is None and network.full_precision is None
    assert network.further_trained is None and network.kin == "a"


@pytest.mark.parametrize(
    ("bits", "full_precision"),
    [
        ({"weight_bits": 32, "activation_bits": 32}, True),
        ({"weight_bits": 32, "activation_bits": 32, "end_bits": 8}, False),
        ({"weight_bits": 8, "activation_bits": 32}, False),
        ({"weight_bits": "4/2", "activation_bits": 4}, False),
        ({"weight_bits": 4}, None),
    ],
)
def test_bit_widths_say_whether_it_computes_in_full_precision(bits, full_precision):
    assert Network(nn.Identity(), **bits).full_precision is full_precision


@pytest.mark.parametrize(
    ("module", "facts", "message"),
    [
        (3, {}, "a network is a module or a function of images, not 3"),
        (nn.Identity(), {"weight_bits": 4.5}, "weight_bits are a number from 1 to 64 or several as in '4/2', not 4.5"),
        (nn.Identity(), {"weight_bits": "four"}, "weight_bits are a number from 1 to 64"),
        (nn.Identity(), {"weight_bits": True}, "weight_bits are a number from 1 to 64"),
        (nn.Identity(), {"end_bits": 0}, "end_bits are a number from 1 to 64"),
        (nn.Identity(), {"seed": "0"}, "a network's seed is a whole number, not '0'"),
        (nn.Identity(), {"full_precision": 1}, "a network's full_precision is True or False, not 1"),
        (nn.Identity(), {"training": 7}, "a network's training is a text, not 7"),
    ],
)
def test_a_fact_of_a_wrong_kind_is_refused(module, facts, message):
    with pytest.raises(SaqEvalError, match=message):
        Network(module, **facts)
