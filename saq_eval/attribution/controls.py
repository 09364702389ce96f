"""Maps that know nothing of what a network computes: what a real explanation must be told apart from.

Every comparison scores them beside the methods; the third control, a network with random weights, is a
network (`saq_eval.zoo.random_weights`).
"""

from __future__ import annotations

import zlib

import torch
from skimage.filters import sobel
from torch import Tensor

from saq_eval.attribution.base import Batch, register_method

CONTROLS = ("random", "edges")


@register_method(
    "random",
    family="control",
    reference="uniform noise",
    sign="absolute",
    passes=lambda parameters: 0,
    random=True,
)
def random(batch: Batch) -> Tensor:
    """Control: uniform noise, another for each image and each network."""
    # What every network draws alike would make any two networks' maps equal: a checksum of the weights goes in.
    weights = 0
    for value in batch.network.state_dict().values():
        # Layers of integers keep more than plain tensors there.
        plain = isinstance(value, Tensor) and not value.is_quantized
        content = value.detach().cpu().contiguous().numpy().tobytes() if plain else repr(value).encode()
        weights = zlib.crc32(content, weights)
    shape = (1, *batch.images.shape[2:])
    noise = batch.draw(
        lambda generator: torch.rand(shape, generator=generator.manual_seed(generator.initial_seed() ^ weights))
    )
    return noise


@register_method(
    "edges",
    family="control",
    reference="Adebayo et al. 2018, arXiv 1810.03292; scikit-image",
    sign="absolute",
    passes=lambda parameters: 0,
)
def edges(batch: Batch) -> Tensor:
    """Control: the magnitude of the image's Sobel gradient, of the mean over channels; it does not ask the network."""
    grey = batch.images.detach().mean(dim=1).cpu().numpy()
    return torch.stack([torch.from_numpy(sobel(image)) for image in grey]).unsqueeze(1)
