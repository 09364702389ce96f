"""How long metrics take beside the passes of networks on this machine, measured within seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor, nn

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.randomness import deterministic
from saq_eval.data import Dataset
from saq_eval.evaluation.speed import seconds_of
from saq_eval.metrics import Scorer, Task
from saq_eval.metrics.passes import NO_PASSES

# So many images are scored for the measurement: of metrics that make pictures as many as have so many pixels together, of
# those that read maps alone at least five, since a chance level compares an image with four others.
_PIXELS = 20_000
_OF_MAPS_ALONE = 5
_LONG = 0.3  # seconds; a shorter measurement is repeated, because the first call loads libraries


@dataclass(frozen=True)
class ScoringSpeed:
    """How long a metric takes for a map, beside the passes of the network: seconds for the score, and for its chance level."""

    score: float
    chance: float


class _Nothing(nn.Module):
    """A network that computes next to nothing: (n, c, h, w) -> zeros (n, outputs)."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return images.new_zeros(1, self.outputs).expand(len(images), -1)


def measure_scoring(
    scorers: Sequence[Scorer], sample: Dataset, outputs: int, batch_size: int, device: str
) -> dict[str, ScoringSpeed]:
    """Measure how long metrics take for random maps of a few images, with a network that computes next to nothing.

    Args:
        sample: the images; they are repeated if there are fewer than are scored.
        outputs: the number of outputs of the networks.
        batch_size: the largest number of images that pass at once.
        device: the networks' device.

    Returns:
        by the metric's label; 0 for a metric that needs the layers of a true network.
    """
    pixels = sample.images[0, 0].numel()
    with deterministic(threads=1):
        found = {}
        for scorer in scorers:
            alone = scorer.passes(sample.image_shape) == NO_PASSES
            count = max(1, _PIXELS // pixels, _OF_MAPS_ALONE if alone else 1)
            found[scorer.label] = _measured(scorer, _task(sample, min(count, 64), outputs, batch_size, device))
        return found


def _measured(scorer: Scorer, task: Task) -> ScoringSpeed:
    try:
        scored = _seconds(scorer.score, task)
        chance = _seconds(scorer.chance, task)
    except SaqEvalError:  # it needs a network with layers, or a user's function does not work on this one
        return ScoringSpeed(0.0, 0.0)
    return ScoringSpeed(scored / len(task.maps), chance / len(task.maps))


def _seconds(call: Callable[[Task], object], task: Task) -> float:
    took: list[float] = []
    while not took or (len(took) < 2 and took[0] < _LONG):
        took.append(seconds_of(lambda: call(replace(task)), task.device))  # what metrics keep is kept for one object
    return min(took)


def _task(sample: Dataset, count: int, outputs: int, batch_size: int, device: str) -> Task:
    places = np.arange(count) % len(sample)
    draws = np.random.default_rng(0)
    shape = sample.images.shape[2:]

    def explain(network: nn.Module, images: np.ndarray, targets: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return draws.standard_normal((len(images), *shape), dtype=np.float32)

    return Task(
        network=_Nothing(outputs).to(device),
        images=sample.images.numpy()[places],
        labels=sample.labels.numpy()[places],
        targets=np.zeros(count, dtype=np.int64),
        masks=sample.masks().numpy()[places],
        maps=draws.standard_normal((count, *shape), dtype=np.float32),
        baseline_maps=draws.standard_normal((count, *shape), dtype=np.float32),
        indices=np.arange(count),
        seed=0,
        batch_size=batch_size,
        device=device,
        explain=explain,
    )
