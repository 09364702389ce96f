import torch
from torch import nn

from saq_eval.networks.inference import accuracy, predict


def test_predictions_take_few_images_at_once():
    """A thousand pictures of 224x224 at once would take gigabytes."""
    sizes = []
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    images = torch.rand(130, 1, 2, 2)
    assert predict(network, images).shape == (130, 3) and sizes == [64, 64, 2]
    sizes.clear()
    predict(network, images, 50)
    assert sizes == [50, 50, 30]


def test_accuracy_is_the_share_of_labels_that_are_predicted(digits):
    sample = digits.subset(torch.arange(30).numpy())

    class Knows(nn.Module):
        """Predicts the labels, but a wrong class for the first images."""

        def __init__(self, wrong: int) -> None:
            super().__init__()
            self.predicted = torch.cat([(sample.labels[:wrong] + 1) % 10, sample.labels[wrong:]])
            self.done = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            chosen = self.predicted[self.done : self.done + len(images)]
            self.done += len(images)
            return nn.functional.one_hot(chosen, 10).float()

    assert accuracy(Knows(0), sample) == 1
    assert accuracy(Knows(7), sample) == round(23 / 30, 6)
