"""Superpixels: the parts of an image that some methods hide together. An image's are computed once in a process."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

import numpy as np
import torch
from skimage.segmentation import slic
from torch import Tensor


class Kept:
    """Arrays by key. The latest used are kept, up to a number of bytes; several threads may use it."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._bytes, self._lock = most_bytes, 0, Lock()
        self._arrays: OrderedDict[bytes, np.ndarray] = OrderedDict()

    def get(self, key: bytes, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array of a key, which is computed if it is not kept. It must not be changed."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
        array = compute()
        with self._lock:
            if key not in self._arrays:
                self._arrays[key] = array
                self._bytes += array.nbytes
            while self._bytes > self._most:
                self._bytes -= self._arrays.popitem(last=False)[1].nbytes
        return array


# All methods, metrics and networks ask for the same superpixels of an image. So many bytes are those of 20,000 images of
# 28x28, or of 300 photographs of 224x224.
_KEPT = Kept(64 * 2**20)


def superpixels(images: Tensor, segments: int) -> Tensor:
    """Return about `segments` superpixels of each image (SLIC, Achanta et al. 2012; scikit-image).

    The colour distance is the root mean square over channels. Images of three channels are not converted to Lab, so a
    picture has the same superpixels in any number of channels. On a plain background, superpixels are squares.

    Returns:
        int64 (n, 1, h, w), each pixel's superpixel, numbered from 0.
    """
    masks = [_kept(image, segments) for image in images.detach().cpu().numpy()]
    return torch.from_numpy(np.stack(masks)).to(images.device, torch.int64).unsqueeze(1)


def _kept(image: np.ndarray, segments: int) -> np.ndarray:
    content = hashlib.blake2b(image.tobytes(), digest_size=16)
    content.update(f"{image.dtype} {image.shape} {segments}".encode())
    return _KEPT.get(content.digest(), lambda: _superpixels(image, segments).astype(np.int32))


def _superpixels(image: np.ndarray, segments: int) -> np.ndarray:
    # scikit-image proposes 0.1 for values from 0 to 1. In a noisy picture this gives very small pieces, which SLIC then
    # merges into a few superpixels. So the compactness is raised until there are at least half as many superpixels as
    # requested. At the highest compactness they are squares.
    wanted = min(segments, image[0].size) / 2
    for stiffness in 0.1 * 2.0 ** np.arange(10):
        mask = slic(
            image,
            n_segments=segments,
            compactness=stiffness * len(image) ** 0.5,  # scikit-image sums squares over channels
            convert2lab=False,
            channel_axis=0,
            start_label=0,
        )
        if mask.max() + 1 >= wanted:
            break
    return mask
