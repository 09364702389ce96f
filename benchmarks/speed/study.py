"""The work that all sides of the benchmark do, as plain data that is sent to their processes.

This module imports nothing large: the process that starts the sides stays small (see `measuring`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Side = Literal["suite", "script", "bound", "comparison"]


@dataclass(frozen=True)
class Study:
    """Which networks, methods, metrics and images.

    Attributes:
        dataset: a registered name.
        images: the number of test images.
        networks: names of zoo models of the dataset; each one's baseline is among them, before it.
        methods: attribution methods, with the suite's default parameters.
        metrics: metrics, as `saq_eval.metrics.base.find_scorer` reads them.
        device: "cpu" or "cuda".
        batch_size: the largest number of images in a pass, on every side.
        compile: whether the suite compiles the networks' passes; the other sides do not.
        seed: of the choice of images, and of random metrics.
        side: if given, made-up colour pictures of so many pixels a side, and a ResNet-18 with random weights, take the
            place of the dataset and its networks.
    """

    dataset: str = "fashionmnist"
    images: int = 64
    networks: tuple[str, ...] = ("cnn-fp32", "cnn-w4a4", "cnn-w2a2", "cnn-mixed")
    methods: tuple[str, ...] = ("saliency", "input_x_gradient", "integrated_gradients", "gradcam", "occlusion")
    metrics: tuple[str, ...] = (
        *("FaithfulnessCorrelation", "FaithfulnessCorrelation:fill=blur", "FaithfulnessEstimate", "PixelFlipping"),
        *("SymmetricRelevanceGain", "ROAD", "PointingGame", "RelevanceRankAccuracy", "Sparseness", "SSIM", "Spearman"),
    )
    device: str = "cpu"
    batch_size: int = 64
    compile: bool = False
    seed: int = 0
    side: int | None = None

    def quick(self) -> Study:
        """Return a study of the same methods and metrics on eight images and two networks, for tests."""
        return replace(self, images=8, networks=("cnn-fp32", "cnn-w2a2"))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Study:
        fields: dict[str, Any] = json.loads(text)
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return cls(**(fields | lists))
