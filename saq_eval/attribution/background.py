"""Background images: typical images of a dataset, for the methods that compare an image with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from saq_eval.attribution.base import Explainer
from saq_eval.core.randomness import derived_seed
from saq_eval.data import Images


def background_images(explainers: Sequence[Explainer], source: Callable[[], Images], seed: int) -> Tensor | None:
    """Return typical images, stratified by class, for the methods that need background images.

    Args:
        source: opens the images that they are drawn from; it is called only if a method needs some.

    Returns:
        float32 (k, c, h, w) in [0, 1], where k is the largest number that a method needs; `None` if no method needs any.
    """
    wanted = [e.parameters.get("n_background", 10) for e in explainers if e.method.needs_background]
    if not wanted:
        return None
    images = source()
    return images.sample(min(max(wanted), len(images)), derived_seed(seed, "background")).images
