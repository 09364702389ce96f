"""Predictions of a network, batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from saq_eval.data import Dataset


@torch.no_grad()
def predict(network: nn.Module, images: Tensor, batch_size: int = 64) -> Tensor:
    """Return the logits of all images: float32 (n, classes), on the CPU; the network must be in eval mode."""
    device = next((tensor.device for tensor in network.state_dict().values()), torch.device("cpu"))
    return torch.cat([network(batch.to(device)).cpu() for batch in images.split(batch_size)])


def accuracy(network: nn.Module, dataset: Dataset) -> float:
    """Return the share of images whose predicted class equals the label, 0 to 1."""
    correct = (predict(network, dataset.images).argmax(dim=1) == dataset.labels).sum().item()
    return round(correct / len(dataset), 6)
