"""Random weights for a network that no function builds anew."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from saq_eval.networks.untrained import untrained_copy


class Tokens(nn.Module):
    """A layer, and a parameter that no layer draws."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)
        self.norm = nn.LayerNorm(4)
        self.token = nn.Parameter(torch.arange(4.0))

    def forward(self, images):
        return self.norm(self.layer(images.flatten(1)) + self.token)


def test_layers_draw_their_weights_anew_and_the_network_stays_as_it_is(small_cnn):
    before = copy.deepcopy(small_cnn.state_dict())
    state = torch.random.get_rng_state()
    drawn, again, other = (untrained_copy(small_cnn, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in small_cnn.state_dict().items():
        assert torch.equal(value, before[name])
        assert torch.equal(drawn.state_dict()[name], again.state_dict()[name])
    weights = [network.conv1.weight for network in (small_cnn, drawn, other)]
    assert not any(torch.equal(a, b) for a, b in ((weights[0], weights[1]), (weights[1], weights[2])))
    assert drawn.training == small_cnn.training and drawn.norm1.running_var.eq(1).all()


def test_a_parameter_that_no_layer_draws_keeps_its_values_in_another_order():
    network = Tokens()
    orders = {tuple(untrained_copy(network, seed).token.tolist()) for seed in range(8)}
    assert len(orders) > 1 and all(sorted(order) == [0.0, 1.0, 2.0, 3.0] for order in orders)
    assert not torch.equal(untrained_copy(network, 0).layer.weight, network.layer.weight)


def test_weights_that_a_parametrization_computes_are_drawn_in_what_it_computes_them_from():
    network = parametrizations.weight_norm(nn.Linear(6, 4))
    drawn = untrained_copy(network, 0)
    assert not torch.equal(drawn.weight, network.weight) and torch.isfinite(drawn.weight).all()


@pytest.mark.parametrize("network", [nn.Flatten(), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))])
def test_a_network_without_weights_has_none_to_draw(network):
    assert untrained_copy(network, 0) is None
