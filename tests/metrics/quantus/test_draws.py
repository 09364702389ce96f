"""Each image of a batch draws what it would draw alone."""

import numpy as np
import pytest
import torch
from quantus.helpers.model.pytorch_model import PyTorchModel
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from saq_eval.core.errors import Unsupported
from saq_eval.metrics.quantus.draws import check_weights, draws_of_each_image, random_layers, replaced

SEEDS = (3, 4, 5)


def draw(images):
    """Draw as Quantus does: all images' noise at once, then subsets in turns."""
    noise = [
        np.random.normal(loc=1.0, scale=2.0, size=(images, 2, 3)),
        np.random.uniform(low=-1.0, high=1.0, size=(images, 4)),
        np.random.randn(images, 2),
    ]
    subsets = [[np.random.choice(9, 4, replace=False) for _ in range(images)] for _ in range(2)]
    return [*noise, np.swapaxes(subsets, 0, 1)]


def test_a_batch_draws_what_its_images_draw_alone():
    with draws_of_each_image(SEEDS):
        together = draw(len(SEEDS))
    for place, seed in enumerate(SEEDS):
        with draws_of_each_image([seed]):
            alone = draw(1)
        np.random.seed(seed)
        for whole, one, by_numpy in zip(together, alone, draw(1), strict=True):
            np.testing.assert_array_equal(whole[place], one[0])
            np.testing.assert_array_equal(one, by_numpy)


def test_tied_values_are_sorted_by_place():
    with draws_of_each_image(SEEDS):
        assert np.argsort(np.tile([1.0, 0.0], 50))[:50].tolist() == [*range(1, 100, 2)]


def test_everything_is_put_back_also_after_an_error():
    names = ("choice", "normal", "uniform", "randn")
    functions, argsort = [getattr(np.random, name) for name in names], np.argsort
    np.random.seed(1), torch.manual_seed(1)
    state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), draws_of_each_image(SEEDS), replaced((np, "pi", 3)):
        assert np.pi == 3 and np.random.choice is not functions[0] and np.argsort is not argsort
        np.random.seed(2), torch.rand(2)
        raise ZeroDivisionError
    assert np.pi > 3.14 and [getattr(np.random, name) for name in names] == functions and np.argsort is argsort
    assert (np.random.get_state()[1] == state).all() and torch.equal(torch.get_rng_state(), torch_state)


@pytest.mark.parametrize("order", ["top_down", "bottom_up", "independent"])
def test_layers_are_randomised_as_by_quantus_on_a_processor(order, cnn):
    model = PyTorchModel(cnn, channel_first=True, device="cpu")
    before = {name: value.clone() for name, value in cnn.state_dict().items()}
    ours = [(name, dict(network.state_dict())) for name, network in random_layers(model, order, seed=5)]
    theirs = [
        (name, {key: value.clone() for key, value in network.state_dict().items()})
        for name, network in model.get_random_layer_generator(order, seed=5)
    ]
    assert [name for name, _ in ours] == [name for name, _ in theirs] and len(ours) > 3
    for (_, one), (_, other) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    torch.testing.assert_close(before, dict(cnn.state_dict()), rtol=0, atol=0)


def test_weights_that_are_computed_are_drawn_too():
    network = nn.Sequential(nn.Flatten(), parametrizations.weight_norm(nn.Linear(4, 3)), nn.ReLU()).eval()
    images = torch.rand(2, 1, 2, 2)
    ((_, drawn),) = random_layers(PyTorchModel(network, device="cpu"), "top_down", 1)
    assert not torch.allclose(drawn(images), network(images)) and parametrize.is_parametrized(network[1])
    check_weights(network)


def test_weights_that_cannot_be_drawn_are_refused():
    class Fixed(nn.Linear):
        def reset_parameters(self):
            if hasattr(self, "fixed"):
                raise NotImplementedError("no random numbers of this type")

    with pytest.raises(Unsupported, match=r"no weights to randomise; drawing those of 0 anew changes none"):
        check_weights(nn.Sequential(Fixed(2, 2)))
    network = nn.Sequential(Fixed(2, 2))
    network[0].fixed = True
    with pytest.raises(Unsupported, match=r"the weights of Fixed \(0\) cannot be randomised; NotImplementedError"):
        check_weights(network)
