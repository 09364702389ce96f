import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.networks.preprocessing import Normalize, Preprocessing, with_preprocessing


def test_normalizing_is_per_channel():
    per_channel = Normalize(Preprocessing(mean=(0.0, 1.0), std=(1.0, 2.0)))
    assert per_channel(torch.ones(1, 2, 1, 1)).flatten().tolist() == [1.0, 0.0]
    assert not per_channel.state_dict()  # a card keeps the numbers


def test_a_network_reads_pixels_whatever_it_was_trained_on():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2)).eval()
    x = torch.rand(2, 3, 4, 4)
    given = Preprocessing((0.5, 0.4, 0.3), (0.2, 0.2, 0.1))
    expected = network((x - torch.tensor(given.mean).reshape(3, 1, 1)) / torch.tensor(given.std).reshape(3, 1, 1))
    wrapped = with_preprocessing(network, given)
    torch.testing.assert_close(wrapped(x), expected)
    assert not wrapped.training
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert with_preprocessing(network, Preprocessing((0.0, 0.0), (1.0, 1.0))) is network


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.0, 0.0), (1.0,)),
        ((), ()),
        ((0.0,), (0.0,)),
        ((0.0,), (-1.0,)),
        ((float("nan"),), (1.0,)),
        ((0.0,), (1e999,)),
    ],
)
def test_what_cannot_be_done_to_pixels(mean, std):
    with pytest.raises(SaqEvalError, match="one finite number per channel, and every std is above 0"):
        Preprocessing(mean, std)


def test_the_identity_is_known():
    assert Preprocessing().is_identity
    assert not Preprocessing((0.1,), (1.0,)).is_identity and not Preprocessing((0.0,), (2.0,)).is_identity
