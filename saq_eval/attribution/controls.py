"""Control maps, which do not depend on what a network computes. A real explanation must score differently from them.

Every comparison scores these controls in addition to the methods. There is a third control, which is not a method but a
network: one with random weights (`saq_eval.zoo.random_weights`).
"""

from __future__ import annotations

import zlib
from typing import Any

import torch
from skimage.filters import sobel
from torch import Tensor, nn

from saq_eval.attribution.base import Batch, register_method

CONTROLS = ("random", "edges")
_KNOWN_TO_NUMPY = {
    *(torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128, torch.bool),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64),
}


@register_method(
    "random",
    family="control",
    reference="uniform noise",
    sign="absolute",
    passes=lambda parameters, shape: 0,
    random=True,
)
def random(batch: Batch) -> Tensor:
    """Control: uniform noise, different for each image and each network."""
    # Without a checksum of the weights in the seed, all networks would get the same map for an image.
    weights = _checksum(batch.network, batch.images)
    shape = (1, *batch.images.shape[2:])
    noise = batch.draw(
        lambda generator: torch.rand(shape, generator=generator.manual_seed(generator.initial_seed() ^ weights))
    )
    return noise


def _checksum(network: nn.Module, images: Tensor) -> int:
    """Return a checksum of a network's weights; of its logits for a grey image, if it has other state or none."""
    value, unknown, entries = 0, False, network.state_dict().values()
    for entry in entries:  # one at a time, because each is copied
        content = _content(entry)
        value, unknown = zlib.crc32(content or b"", value), unknown or content is None
    if not entries or unknown:
        with torch.no_grad():
            logits = network(torch.full_like(images[:1], 0.5))
        value = zlib.crc32(logits.cpu().numpy().tobytes(), value)
    return value


def _content(entry: Any) -> bytes | None:
    """Return the content of an entry of a state dict; `None` if it is not known, as of an object of another library."""
    if isinstance(entry, (bool, int, float, str, torch.dtype, torch.device, type(None))):
        return repr(entry).encode()
    if isinstance(entry, (list, tuple)):
        parts = [_content(part) for part in entry]
        return None if None in parts else b"".join(part for part in parts if part is not None)
    if not isinstance(entry, Tensor):
        return None
    plain = entry.detach()
    if plain.is_quantized:
        plain = plain.dequantize()
    if type(plain) not in (Tensor, nn.Parameter, nn.Buffer) or plain.layout is not torch.strided:
        # Torchao's weights are such tensors; what they are made of says more than their values.
        names = entry.__tensor_flatten__()[0] if hasattr(entry, "__tensor_flatten__") else ()
        return _content([getattr(entry, name) for name in names]) if names else None
    if plain.dtype not in _KNOWN_TO_NUMPY:
        plain = plain.float()
    return plain.cpu().contiguous().numpy().tobytes()


@register_method(
    "edges",
    family="control",
    reference="Adebayo et al. 2018, arXiv 1810.03292; scikit-image",
    sign="absolute",
    passes=lambda parameters, shape: 0,
    uses_network=False,
)
def edges(batch: Batch) -> Tensor:
    """Control: the magnitude of the Sobel gradient of the image's mean over channels; the network is not used."""
    grey = batch.images.detach().mean(dim=1).cpu().numpy()
    return torch.stack([torch.from_numpy(sobel(image)) for image in grey]).unsqueeze(1)
