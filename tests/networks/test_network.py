"""What a comparison knows of a network."""

from torch import nn

from saq_eval.networks.network import BitWidths, Facts, LayerCost, Network

FACTS = Facts("a", "cnn", "w4a2", BitWidths("4", "2", "8"), "standard", 0, False, True, "cnn w4a2", "cnn w4a2")


def test_bit_operations_count_both_operands():
    layer = LayerCost("conv", (8, 1, 3, 3), 4, 2, alpha=None, weight_bytes=36, macs=1000)
    assert layer.bops == 8000


def test_a_network_is_called_what_its_facts_say():
    assert Network(FACTS, nn.Identity(), "", "").name == "a"


def test_a_network_is_nothing_but_itself():
    """Two of the same facts may compute different things, so they are two keys of a mapping."""
    one, other = (Network(FACTS, nn.Identity(), "", "") for _ in range(2))
    assert one != other and len({one, other}) == 2
