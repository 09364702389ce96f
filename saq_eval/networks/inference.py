"""Predictions of a network, batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from saq_eval.core.errors import ordinary_errors
from saq_eval.data import Images


@torch.no_grad()
def predict(network: nn.Module, images: Tensor, batch_size: int = 64) -> Tensor:
    """Return the logits of all images: float32 (n, classes), on the CPU; the network must be in eval mode."""
    device = next((tensor.device for tensor in network.state_dict().values()), torch.device("cpu"))
    with ordinary_errors():
        return torch.cat([network(batch.to(device)).cpu() for batch in images.split(batch_size)])


def accuracy(network: nn.Module, images: Images, batch_size: int = 64) -> float:
    """Return the share of images whose predicted class equals the label, 0 to 1; a batch is read at a time."""
    correct = 0
    for batch, labels in zip(images.batches(batch_size), images.labels.split(batch_size), strict=True):
        correct += int((predict(network, batch, batch_size).argmax(dim=1) == labels).sum())
    return round(correct / len(images), 6)
