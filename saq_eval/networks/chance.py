"""Accuracies at the level of chance, which tell that a network's outputs may not be in the order of the images' classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from saq_eval.core.errors import SaqEvalWarning

_IMAGES, _CLASSES = 50, 3  # with fewer, chance is too wide, or too near to what a weak network reaches


def warn_of_chance(accuracies: Mapping[str, float], images: int, outputs: int, *, stacklevel: int = 3) -> None:
    """Warn of each network that is at chance, because nothing else tells of outputs in another order where no names are known.

    A network is at chance if its accuracy is not above 1 / outputs; beside a network that is far above chance, also if it is
    below 1.5 / outputs. Far above are 3 / outputs, or for few outputs half of the way from chance to 1.

    Args:
        accuracies: by network, from 0 to 1.
        images: the number of images that they were measured on; below 50, nothing is said.
        outputs: the number of the networks' outputs; below 3, nothing is said.
        stacklevel: as in `warnings.warn`; 3 names the line that called this function's caller.
    """
    if images < _IMAGES or outputs < _CLASSES:
        return
    chance = 1 / outputs
    far_above = min(3 * chance, (1 + chance) / 2)
    best = max(accuracies, key=lambda name: accuracies[name])
    limit = 1.5 * chance if accuracies[best] > far_above else chance
    for name, accuracy in accuracies.items():
        if accuracy <= chance or accuracy < limit:
            beside = f", and {best} for {accuracies[best]:.1%}" if accuracies[best] > far_above else ""
            warnings.warn(
                f"{name} is right for {accuracy:.1%} of {images} images{beside}; chance is {chance:.1%}: unless the "
                "network is broken, its outputs are in another order than the images' classes (--classes names the outputs)",
                SaqEvalWarning,
                stacklevel=stacklevel,
            )
