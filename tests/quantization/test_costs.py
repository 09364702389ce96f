import pytest
import torch
from torch import nn

from saq_eval import freeze, quantize
from saq_eval.networks.network import BitWidths
from saq_eval.quantization import SCHEMES
from saq_eval.quantization.costs import bit_widths, layer_costs


def costs(network, scheme, size=6):
    frozen = freeze(quantize(network, scheme))
    return layer_costs(frozen, SCHEMES[scheme], torch.zeros(1, 1, size, size))


def make():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


def test_operations_counted_by_hand():
    first, second, last = costs(make(), "w2a2")
    assert first.macs == 6 * 6 * 4 * 9  # positions x output channels x kernel
    assert second.macs == 1 * 8 * 9 * 2  # a group reads two channels
    assert last.macs == 8 * 3
    assert [cost.bops for cost in (first, second, last)] == [first.macs * 64, second.macs * 4, last.macs * 64]
    assert [cost.weight_bytes for cost in (first, second, last)] == [36, 144 * 2 // 8, 24]
    assert [cost.bops for cost in costs(make(), "fp32")] == [cost.macs * 1024 for cost in (first, second, last)]


def test_bit_widths_are_those_of_the_layers_that_are_there(cnn):
    assert bit_widths(costs(cnn, "w4a4", 28)) == BitWidths("4", "4", "8")
    assert bit_widths(costs(cnn, "mixed", 28)) == BitWidths("4/2", "4/2", "8")
    assert bit_widths(costs(cnn, "fp32", 28)) == BitWidths("32", "32", "32")
    # Two layers are both ends: whatever the scheme says of hidden ones, there is none.
    two = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    assert bit_widths(costs(two, "w4a4")) == BitWidths("8", "8", "8")
    assert bit_widths(costs(nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), "w2a2")) == BitWidths("8", "8", "8")


def test_each_layer_names_the_clip_that_it_reads_from():
    network = quantize(make(), "w4a4")
    with torch.no_grad():
        network.get_submodule("1").alpha.fill_(2.0)
        network.get_submodule("4").alpha.fill_(3.0)
    found = layer_costs(freeze(network), SCHEMES["w4a4"], torch.zeros(1, 1, 6, 6))
    assert [cost.alpha for cost in found] == [None, 2.0, 3.0]
    assert [cost.alpha for cost in costs(make(), "fp32")] == [None] * 3


def test_bit_operations_fall_with_the_bits(cnn):
    total = {name: sum(cost.bops for cost in costs(cnn, name, 28)) for name in SCHEMES}
    assert total["fp32"] > total["w8a8"] > total["w4a4"] > total["mixed"] > total["w4a2"] > total["w2a2"]


@pytest.mark.parametrize("scheme", ["fp32", "w2a2"])
def test_counting_leaves_no_hooks(scheme):
    frozen = freeze(quantize(make(), scheme))
    layer_costs(frozen, SCHEMES[scheme], torch.zeros(1, 1, 6, 6))
    assert not any(module._forward_hooks for module in frozen.modules())
