"""The copy of a network that is worked on. What it means for maps stands in tests/attribution/test_any_network.py."""

import pytest
import torch
from torch import nn

from saq_eval import SaqEvalError
from saq_eval.networks.private import gradient_reaches, look_at, precision, private

IMAGE, TARGET = torch.rand(1, 1, 6, 6), torch.tensor([0])


def net(*layers):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 4), *layers)


def test_a_copy_is_in_eval_mode_and_in_single_precision_and_the_network_is_not():
    given = net(nn.Dropout(0.5)).half().train()
    copied = private(given)
    assert not copied.training and precision(copied) == torch.float32
    assert given.training and given[1].weight.dtype == torch.float16 and given[1].weight.requires_grad


def test_one_pass_tells_the_outputs_and_whether_a_gradient_reaches_the_image():
    facts = look_at(private(net()), IMAGE, TARGET, 2)
    assert (facts.classes, facts.gradient) == (4, True)
    assert not look_at(private(lambda images: images.flatten(1)[:, :4].numpy()), IMAGE, TARGET, 2).gradient
    rounded = IMAGE.clone().requires_grad_()
    assert not gradient_reaches(rounded.round(), rounded) and gradient_reaches(rounded * 2, rounded)


class Views(nn.Module):
    """Reads its layer's output with `view`, which fails on weights that lie channels last."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(2, 3, 3).to(memory_format=torch.channels_last)

    def forward(self, images):
        return self.layer(images).view(len(images), -1)


def test_a_network_that_reads_contiguous_tensors_only_gets_them():
    copied = private(Views())
    assert look_at(copied, torch.rand(1, 2, 6, 6), TARGET, 2).classes == 48
    assert copied(torch.rand(3, 2, 6, 6)).shape == (3, 48)


class Differentiates(nn.Module):
    """Needs a gradient to compute its logits."""

    def forward(self, images):
        images = images if images.requires_grad else images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(images.square().sum(), images, create_graph=True)
        return gradient.flatten(1)[:, :4]


def test_a_network_that_needs_gradients_to_run_gets_them():
    copied = private(Differentiates())
    assert look_at(copied, IMAGE, TARGET, 2).classes == 4
    with torch.no_grad():
        torch.testing.assert_close(copied(IMAGE), 2 * IMAGE.flatten(1)[:, :4])


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda images: images.flatten(1) - images.mean(), "mixes the images of a batch"),
        (lambda images: images.flatten(1) + torch.rand(36), "returns other logits each time"),
        (lambda images: images.flatten(1) / 0, "logits are not finite"),
        (lambda images: images.flatten(1)[:1], "returns .1, 36. for 2 images"),
        (lambda images: images.reshape(7, 5), "cannot read images"),
    ],
)
def test_what_cannot_be_worked_on_is_refused(network, message):
    with pytest.raises(SaqEvalError, match=message):
        look_at(private(network), IMAGE, TARGET, 2)
