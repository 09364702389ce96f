"""Control maps, which do not depend on what a network computes. A real explanation must score differently from them.

Every comparison scores these controls in addition to the methods. There is a third control, which is not a method but a
network: one with random weights (`saq_eval.zoo.random_weights`).
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
    """Control: uniform noise, different for each image and each network."""
    # Without a checksum of the weights in the seed, all networks would get the same map for an image.
    weights = 0
    for value in batch.network.state_dict().values():
        # The state dict of an integer layer holds quantized tensors and objects that are no tensors.
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
    """Control: the magnitude of the Sobel gradient of the image's mean over channels; the network is not used."""
    grey = batch.images.detach().mean(dim=1).cpu().numpy()
    return torch.stack([torch.from_numpy(sobel(image)) for image in grey]).unsqueeze(1)
