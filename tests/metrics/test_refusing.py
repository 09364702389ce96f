import torch
from torch import nn
from torch.nn.utils import parametrizations

from saq_eval.metrics import METRICS, find_scorer, refusal


def _refused(network):
    return {name: reason for name in METRICS if (reason := refusal(find_scorer(name), network))}


def test_what_metrics_need_of_a_network(cnn):
    before = {name: tensor.clone() for name, tensor in cnn.state_dict().items()}
    assert _refused(cnn) == {}
    assert all(torch.equal(tensor, before[name]) for name, tensor in cnn.state_dict().items())
    weights = {name: "no weights to randomise" for name in ("MPRT", "SmoothMPRT", "EfficientMPRT")}
    layers = {"RelativeRepresentationStability": "no layers inside the network whose outputs can be compared"}
    assert _refused(lambda images: images.flatten(1)) == weights | layers
    assert _refused(nn.Sequential(nn.ReLU(), nn.Flatten())) == weights
    attention = nn.Sequential(nn.MultiheadAttention(8, 2), nn.Linear(8, 3))
    reasons = set(_refused(attention).values())
    assert reasons == {"the weights of MultiheadAttention (0) cannot be randomised"}


def test_weights_that_are_computed_can_be_randomised():
    assert _refused(nn.Sequential(nn.Flatten(), parametrizations.weight_norm(nn.Linear(4, 3)))) == {}
