"""Saliency-guided training (Ismail, Corrada Bravo and Feizi, NeurIPS 2021, arXiv 2111.14338)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saq_eval.core.errors import SaqEvalError

Ranking = Literal["magnitude", "signed"]


@dataclass(frozen=True)
class SaliencyGuided:
    """Settings of saliency-guided training.

    Attributes:
        masked_fraction: k, the share of an image's features that is replaced, from 0 to 1.
        weight: λ, the weight of the divergence in the loss. With the paper's value, 1, the zoo's 2-bit networks lose
            more than one percentage point of accuracy. With 0.5 they do not.
        ranking: "magnitude" replaces the features whose input gradient is smallest in absolute value, as
            the paper says; "signed" replaces those with the most negative gradient, as the authors' script does.
    """

    masked_fraction: float = 0.5
    weight: float = 0.5
    ranking: Ranking = "magnitude"

    def __post_init__(self) -> None:
        if not 0 <= self.masked_fraction <= 1:
            raise SaqEvalError(f"masked_fraction lies between 0 and 1, not {self.masked_fraction}")
        if self.weight < 0:
            raise SaqEvalError(f"the weight of saliency-guided training is at least 0, not {self.weight}")
        if self.ranking not in ("magnitude", "signed"):
            raise SaqEvalError(f"ranking is 'magnitude' or 'signed', not {self.ranking!r}")


def input_gradient(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of each image's true-class logit with respect to its pixels, taken in eval mode.

    Args:
        images: float32 (n, c, h, w).
        labels: int64 (n,).

    Returns:
        float32 (n, c, h, w). The network's mode is the same as before.
    """
    was_training = network.training
    network.eval()
    try:
        pixels = images.detach().requires_grad_(True)
        true_logits = network(pixels).gather(1, labels.unsqueeze(1)).sum()
        (gradient,) = torch.autograd.grad(true_logits, pixels)
    finally:
        network.train(was_training)
    return gradient


def mask_features(images: Tensor, gradient: Tensor, settings: SaliencyGuided, generator: torch.Generator) -> Tensor:
    """Replace the features with the lowest gradient by noise (algorithm 1, line 4 of the paper).

    In each image, the round(k · c·h·w) features that rank lowest are replaced. Their new values are drawn uniformly
    from the image's own range of values. Ties are broken by position.

    Args:
        images: float32 (n, c, h, w).
        gradient: float32 (n, c, h, w), from `input_gradient`.

    Returns:
        float32 (n, c, h, w).
    """
    flat = images.flatten(1)
    rank_by = gradient.flatten(1)
    if settings.ranking == "magnitude":
        rank_by = rank_by.abs()
    masked = round(settings.masked_fraction * flat.shape[1])
    lowest = rank_by.argsort(dim=1, stable=True)[:, :masked]
    low, high = flat.amin(dim=1, keepdim=True), flat.amax(dim=1, keepdim=True)
    noise = torch.rand(lowest.shape, generator=generator, device=generator.device).to(images.device)
    return flat.scatter(1, lowest, low + noise * (high - low)).view_as(images)


def saliency_guided_loss(
    network: nn.Module, images: Tensor, labels: Tensor, settings: SaliencyGuided, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return cross-entropy(x) + λ · KL(p(x) ‖ p(x̃)), mean over the batch (equation 2), and the logits of x.

    x̃ is x with the features of lowest gradient replaced. Gradients flow through both predictions.
    Images and their masked copies form one batch. So the running statistics of batch norm describe the
    same batches that it normalises in training.

    Returns:
        The loss, float32 (), and the logits of the unmasked images, float32 (n, classes).
    """
    masked = mask_features(images, input_gradient(network, images, labels), settings, generator)
    logits, masked_logits = network(torch.cat([images, masked])).float().chunk(2)
    divergence = F.kl_div(
        F.log_softmax(masked_logits, dim=1), F.log_softmax(logits, dim=1), log_target=True, reduction="batchmean"
    )
    return F.cross_entropy(logits, labels) + settings.weight * divergence, logits
