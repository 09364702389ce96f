"""Background images: typical images of a dataset, for the methods that compare an image with them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from torch import Tensor

from saq_eval.attribution.base import Explainer
from saq_eval.core.randomness import derived_seed
from saq_eval.data import load_dataset


def background_images(
    explainers: Sequence[Explainer], dataset: str, seed: int, data_root: str | os.PathLike | None
) -> Tensor | None:
    """Return training images, stratified by class, for the methods that need background images.

    Returns:
        float32 (k, c, h, w) in [0, 1], where k is the largest number that a method needs; `None` if no method needs any.
    """
    wanted = [e.parameters.get("n_background", 10) for e in explainers if e.method.needs_background]
    if not wanted:
        return None
    return load_dataset(dataset, "train", data_root).sample(max(wanted), derived_seed(seed, "background")).images
