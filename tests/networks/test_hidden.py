"""Outputs for images with hidden pixels, against passing every picture by itself."""

import pytest
import torch
from torch import nn

from saq_eval.networks.hidden import masks_at_once, outputs_with_hidden
from saq_eval.networks.memory import BUDGET


class Counting(nn.Module):
    """A network that notes how many pictures it is given."""

    def __init__(self):
        super().__init__()
        self.linear, self.sizes = nn.Linear(2 * 20, 3), []

    def forward(self, pictures):
        self.sizes.append(len(pictures))
        return self.linear(pictures.flatten(1))


@pytest.mark.parametrize("reads", ["logits", "probabilities"])
def test_outputs_are_those_of_every_picture_by_itself(reads):
    torch.manual_seed(0)
    network, images, filled = Counting(), torch.rand(3, 2, 4, 5), torch.rand(3, 2, 4, 5)
    hidden, targets = torch.rand(3, 6, 20) < 0.4, torch.tensor([0, 2, 1])
    ours = outputs_with_hidden(network, images, filled, targets, hidden, batch_size=4, reads=reads)
    assert network.sizes == [4, 4, 4, 4, 2] and ours.dtype == torch.float64
    for image, fill, target, masks, outputs in zip(images, filled, targets, hidden, ours, strict=True):
        for mask, output in zip(masks, outputs, strict=True):
            logits = network(torch.where(mask.reshape(4, 5), fill, image)[None])[0]
            expected = logits.softmax(dim=0) if reads == "probabilities" else logits
            assert output.item() == pytest.approx(expected[target].item(), abs=1e-6)


def test_equal_pictures_of_an_image_are_passed_once():
    network, images, filled = Counting(), torch.rand(2, 2, 4, 5), torch.zeros(2, 2, 4, 5)
    images[:, :, 0] = 0  # to hide a black row changes nothing
    images[:, 0, 1] = 0  # a row that is black in one channel only
    masks = torch.zeros(5, 4, 5, dtype=torch.bool)
    masks[1, 0] = masks[2, 1] = masks[3, :2] = masks[4, 2] = True
    outputs = outputs_with_hidden(
        network, images, filled, torch.tensor([0, 0]), masks.flatten(1).expand(2, -1, -1), batch_size=64
    )
    assert network.sizes == [6]
    for row in outputs:
        assert row[0] == row[1] and row[2] == row[3] and len(row.unique()) == 3


def test_masks_are_bounded_by_memory():
    assert masks_at_once(784, 10) == 10
    assert 1 <= masks_at_once(224 * 224, 10**6) <= BUDGET / (224 * 224)
    assert masks_at_once(10**12, 5) == 1
