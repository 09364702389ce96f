"""The other side: the script that a user would write with Captum, Quantus and scikit-image for the same maps and scores.

Of the suite it takes only the networks, the images with their masks, and the numbers that the suite sets by the image's
size, such as how many pixels are hidden at once. It is written with care for time: whole batches wherever the libraries
allow it, nothing computed twice that a line can keep. Where it differs from the suite:

- Tied pixels come in the order in which NumPy sorts them, and not in both orders.
- `ROAD` averages over images, and over those of the first batch only, so it is called for each image.
- Quantus has no SymmetricRelevanceGain. It is PixelFlipping of the map turned round minus PixelFlipping of the map, and
  the latter is at hand.
- Quantus' blur is a box that is computed at each step. As in the suite, the fill is a Gaussian blur, computed once.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import quantus
import torch
from captum.attr import InputXGradient, IntegratedGradients, LayerAttribution, LayerGradCam, Occlusion, Saliency
from scipy.stats import spearmanr
from skimage.filters import gaussian
from skimage.metrics import structural_similarity
from torch import Tensor, nn

from benchmarks.speed.answer import Answer
from benchmarks.speed.study import Study
from saq_eval import load_dataset, load_model
from saq_eval.attribution.base import find_explainer
from saq_eval.metrics.base import find_scorer

Settings = dict[str, Any]


@contextmanager
def script(study: Study) -> Iterator[Callable[[], Answer]]:
    """Yield a function that computes the study's maps and scores by Captum and Quantus."""
    if study.side is not None or study.networks[0] != "cnn-fp32":
        raise ValueError("the script compares a data set's networks with cnn-fp32, which comes first")
    sample = load_dataset(study.dataset).sample(study.images, study.seed)
    shape = sample.image_shape
    networks = {name: load_model(study.dataset, name).network.eval().to(study.device) for name in study.networks}
    methods = {method: find_explainer(method).settings(shape) for method in study.methods}
    metrics = {metric: find_scorer(metric).settings(shape) for metric in study.metrics}
    images, labels, masks = sample.images, sample.labels, sample.masks().numpy()
    answer = Answer()

    def work() -> Answer:
        warnings.simplefilter("ignore")  # Quantus warns of pixels that do not change when they are hidden
        np.random.seed(study.seed)
        blurred = blur(images.numpy())
        for name, network in networks.items():
            for method, parameters in methods.items():
                with answer.stage(f"maps by {method}"):
                    maps = maps_by(method, parameters, network, images, labels, study)
                answer.maps[name, method] = maps
                scorer = Scoring(network, images.numpy(), labels.numpy(), masks, maps, blurred, study)
                reference = answer.maps[study.networks[0], method]
                for metric, settings in metrics.items():
                    with answer.stage(metric):
                        answer.scores[name, method, metric] = scorer.score(metric, settings, reference)
        return answer

    yield work


def blur(images: np.ndarray) -> np.ndarray:
    sigma = images.shape[2] / 7
    return np.stack([gaussian(image, sigma=sigma, channel_axis=0, mode="nearest") for image in images])


def maps_by(
    method: str, parameters: Settings, network: nn.Module, images: Tensor, labels: Tensor, study: Study
) -> np.ndarray:
    """Return maps, float32 (n, h, w), a batch at a time."""
    maps = []
    for pixels, targets in zip(images.split(study.batch_size), labels.split(study.batch_size), strict=True):
        pixels, targets = pixels.to(study.device).requires_grad_(), targets.to(study.device)
        maps.append(attributions(method, parameters, network, pixels, targets, study).detach().sum(dim=1).cpu().numpy())
    return np.concatenate(maps)


def attributions(
    method: str, parameters: Settings, network: nn.Module, pixels: Tensor, targets: Tensor, study: Study
) -> Tensor:
    """Return Captum's attributions of a batch, (m, c, h, w)."""
    if method == "saliency":
        return Saliency(network).attribute(pixels, target=targets, abs=True)
    if method == "input_x_gradient":
        return InputXGradient(network).attribute(pixels, target=targets)
    if method == "integrated_gradients":
        steps = parameters["n_steps"]
        size = max(study.batch_size, len(pixels))
        return IntegratedGradients(network).attribute(
            pixels, baselines=0, target=targets, n_steps=steps, internal_batch_size=size
        )
    if method == "gradcam":
        coarse = LayerGradCam(network, last_activation(network)).attribute(
            pixels, target=targets, relu_attributions=True
        )
        return LayerAttribution.interpolate(coarse, tuple(pixels.shape[2:]), "bilinear")
    if method == "occlusion":
        window, stride = parameters["window"], parameters["stride"]
        with torch.no_grad():
            return Occlusion(network).attribute(
                pixels,
                (pixels.shape[1], window, window),
                (pixels.shape[1], stride, stride),
                baselines=0,
                target=targets,
            )
    raise ValueError(f"the script has no {method}")


def last_activation(network: nn.Module) -> nn.Module:
    """Return the layer after the last convolution."""
    layers = [layer for layer in network.modules() if not list(layer.children())]
    last = max(place for place, layer in enumerate(layers) if isinstance(layer, nn.Conv2d))
    return layers[last + 1]


def put_fill(arr: np.ndarray, indices: np.ndarray, *, fill: np.ndarray, **_: Any) -> np.ndarray:
    """Replace pixels, int (m, k), of flat images (m, pixels) by those of a fill, as Quantus' perturbations do."""
    changed = arr.copy()
    np.put_along_axis(changed, indices, np.take_along_axis(fill, indices, axis=1), axis=1)
    return changed


ALWAYS: Settings = {"normalise": False, "return_aggregate": False, "disable_warnings": True}


class Scoring:
    """The scores of one network's maps by one method; images whose map is constant have none, and Quantus fails on them."""

    def __init__(
        self,
        network: nn.Module,
        images: np.ndarray,
        labels: np.ndarray,
        masks: np.ndarray,
        maps: np.ndarray,
        blurred: np.ndarray,
        study: Study,
    ) -> None:
        self.network, self.study, self.masks = network, study, masks
        self.images, self.labels = images, labels
        self.maps = scaled(maps)  # Quantus' own scaling divides by the batch's largest magnitude
        self.fills = {"black": np.zeros_like(images), "blur": blurred.astype(images.dtype)}
        self.usable = np.flatnonzero(maps.max(axis=(1, 2)) > maps.min(axis=(1, 2)))
        self.flipped: dict[Any, np.ndarray] = {}

    def score(self, metric: str, settings: Settings, reference: np.ndarray) -> np.ndarray:
        """Return a metric's scores, float64 (n,).

        Args:
            reference: float32 (n, h, w), the baseline's maps by the same method.
        """
        scores = np.full(len(self.maps), np.nan)
        if metric in ("SSIM", "Spearman"):
            compared = self.usable[np.ptp(reference[self.usable], axis=(1, 2)) > 0]
            ours, theirs = np.abs(self.maps[compared]), np.abs(scaled(reference[compared]))
            pairs = zip(ours, theirs, strict=True)
            scores[compared] = [similarity(metric, settings, a, b) for a, b in pairs]
        elif metric == "ROAD":
            scores[self.usable] = [self._road(i, settings) for i in self.usable]
        else:
            parts = np.split(self.usable, range(self.study.batch_size, len(self.usable), self.study.batch_size))
            for part in parts if len(self.usable) else []:
                scores[part] = self._of_part(metric.partition(":")[0], settings, part)
        return scores

    def _of_part(self, metric: str, settings: Settings, part: np.ndarray) -> np.ndarray:
        """Return the scores of a batch of images, int (m,)."""
        kind: Any
        if metric == "FaithfulnessCorrelation":
            runs, size = settings["nr_runs"], settings["subset_size"]
            hiding = self._hiding(settings, part)
            kind = quantus.FaithfulnessCorrelation(nr_runs=runs, subset_size=size, **hiding, **ALWAYS)
            return self._ask(kind, part, softmax=False)
        if metric == "FaithfulnessEstimate":
            size = settings["features_in_step"]
            kind = quantus.FaithfulnessEstimate(features_in_step=size, **self._hiding(settings, part), **ALWAYS)
            return self._ask(kind, part, softmax=False)
        if metric == "PixelFlipping":
            return self._flip(settings, part, 1)
        if metric == "SymmetricRelevanceGain":
            return self._flip(settings, part, -1) - self._flip(settings, part, 1)
        kinds = {"PointingGame": quantus.PointingGame, "RelevanceRankAccuracy": quantus.RelevanceRankAccuracy}
        if metric in kinds:
            return self._ask(kinds[metric](abs=True, **ALWAYS), part, masks=self.masks[part])
        if metric == "Sparseness":
            return self._ask(quantus.Sparseness(abs=True, **ALWAYS), part)
        raise ValueError(f"the script has no {metric}")

    def _hiding(self, settings: Settings, part: np.ndarray) -> Settings:
        fill = self.fills[settings["fill"]][part]
        return {"perturb_func": put_fill, "perturb_func_kwargs": {"fill": fill.reshape(len(part), -1)}}

    def _flip(self, settings: Settings, part: np.ndarray, sign: int) -> np.ndarray:
        """Return the mean height of the curves of PixelFlipping, of the maps or of their negatives."""
        size = settings["features_in_step"]
        key = (size, settings["fill"], int(part[0]), sign)
        if key not in self.flipped:
            kind = quantus.PixelFlipping(
                features_in_step=size, return_auc_per_sample=True, **self._hiding(settings, part), **ALWAYS
            )
            # Quantus refuses maps without a value above 0; only the order counts.
            maps = self.maps if sign > 0 else self.maps.max(axis=(1, 2), keepdims=True) - self.maps
            steps = maps[0].size // size
            self.flipped[key] = self._ask(kind, part, maps=maps) / (steps - 1)
        return self.flipped[key]

    def _road(self, image: int, settings: Settings) -> float:
        kind = quantus.ROAD(percentages=settings["percentages"], noise=settings["noise"], **ALWAYS)
        still: Any = kind(**self._given(np.array([image])), softmax=False)
        return float(np.trapezoid(list(still.values())) / (len(still) - 1))

    def _ask(
        self,
        kind: Any,
        part: np.ndarray,
        *,
        softmax: bool = True,
        masks: np.ndarray | None = None,
        maps: np.ndarray | None = None,
    ) -> np.ndarray:
        given = self._given(part) | {"s_batch": masks, "softmax": softmax}
        if maps is not None:
            given["a_batch"] = maps[part][:, None]
        return np.asarray(kind(**given), dtype=np.float64)

    def _given(self, part: np.ndarray) -> Settings:
        return {
            "model": self.network,
            "x_batch": self.images[part],
            "y_batch": self.labels[part],
            "a_batch": self.maps[part][:, None],
            "channel_first": True,
            "device": self.study.device,
            "batch_size": self.study.batch_size,
        }


def scaled(maps: np.ndarray) -> np.ndarray:
    """Return maps, float64 (n, h, w), over each one's largest magnitude."""
    largest = np.abs(maps.astype(np.float64)).max(axis=(1, 2), keepdims=True)
    return maps / np.where(largest > 0, largest, 1)


def similarity(metric: str, settings: Settings, a: np.ndarray, b: np.ndarray) -> float:
    if metric == "Spearman":
        return float(spearmanr(a.ravel(), b.ravel()).statistic)
    return float(
        structural_similarity(
            a, b, data_range=1.0, gaussian_weights=True, sigma=settings["sigma"], use_sample_covariance=False
        )
    )
