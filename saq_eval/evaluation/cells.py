"""One cell of a comparison: a network's maps by a method, computed and scored.

A cell depends on nothing but its arguments and the maps on disk.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from saq_eval.attribution import CONTROLS, Explainer, explain, find_explainer
from saq_eval.core.randomness import derived_seed
from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.plan import Target
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.evaluation.store import MapKey, MapStore, checksum
from saq_eval.metrics import Task, is_degenerate
from saq_eval.networks.inference import predict

INPUT_NOISE = 0.01  # standard deviation, of pixels in [0, 1]: invisible, two and a half of 255 steps


@dataclass(frozen=True)
class Cell:
    """One network's maps by one method, scored. Keys are metrics' labels, arrays float64 (n,), one value per image.

    Attributes:
        scores: the scores. Maps of a network with random weights are scored as explanations of its baseline.
            The methods `random` and `edges` have no similarity; a retrained network that is a model, too, nothing else.
        curves: of the metrics that follow one, (n, steps).
        chances: what unrelated maps score, of metrics for which that is known.
        to_fine_tuned: of similarities, to the maps of the network that was trained on in full precision.
        noise: of similarities, the network's own maps under tiny input noise against its maps without.
        controls: of a baseline's similarities, by (metric, control), how alike the control's maps are to the method's.
        degenerate: bool (n,), which maps say nothing.
        computed: whether the maps were computed now, not taken from disk.
        seconds: by stage.
    """

    scores: dict[str, np.ndarray]
    curves: dict[str, np.ndarray]
    chances: dict[str, np.ndarray]
    to_fine_tuned: dict[str, np.ndarray]
    noise: dict[str, np.ndarray]
    controls: dict[tuple[str, str], np.ndarray]
    degenerate: np.ndarray
    computed: bool
    seconds: dict[str, float]


def logits_of(network: nn.Module, images: np.ndarray, device: str, batch_size: int) -> np.ndarray:
    """Return a network's logits of images, float32 (n, c, h, w) -> float32 (n, classes)."""
    return predict(network.to(device), torch.from_numpy(np.array(images)), batch_size).numpy()


def choose_targets(
    subject: Subject, policy: Target, labels: np.ndarray, predicted: dict[str, np.ndarray]
) -> np.ndarray:
    """Return the classes that a network's maps explain: int64 (n,).

    Args:
        policy: see `saq_eval.compare`.
        labels: int64 (n,).
        predicted: by model, the classes predicted, int64 (n,).
    """
    if policy == "label":
        return labels
    if policy == "predicted" and subject.role == "model":
        return predicted[subject.name]
    # A control explains what its baseline does: it is to be told from it, not to be right.
    return predicted[subject.baseline]


def maps_of(
    subject: Subject,
    explainer: Explainer,
    targets: np.ndarray,
    settings: Settings,
    store: MapStore,
    *,
    noisy: bool = False,
) -> np.ndarray:
    """Return a network's maps of the sample, from disk where they are: float32 (n, h, w), memory-mapped.

    Args:
        targets: int64 (n,), the classes explained.
        noisy: of the images under tiny noise.
    """
    pixels, indices = settings.sample.images.numpy(), settings.sample.indices.numpy()
    if noisy:
        pixels = _with_noise(pixels, indices, settings.seed)
    images = checksum(pixels, indices)
    if explainer.method.needs_background:
        images += "-" + checksum(settings.background.numpy())
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("saq_eval", "captum", "zennit", "torch")]
    version = " ".join([*versions, explainer.method.code])
    key = MapKey(
        settings.sample.name,
        subject.name,
        subject.identity,
        f"{explainer.label} under noise" if noisy else explainer.label,
        explainer.parameters,
        settings.seed,
        images,
        version,
    )
    return store.fetch(
        key, targets, indices, lambda: _explain(explainer, settings, subject.network, pixels, targets, indices)
    )


def _explain(
    explainer: Explainer,
    settings: Settings,
    network: nn.Module,
    images: np.ndarray,
    targets: np.ndarray,
    indices: np.ndarray,
) -> np.ndarray:
    return explain(
        explainer,
        network.to(settings.device),
        torch.from_numpy(np.ascontiguousarray(images)).to(settings.device),
        torch.from_numpy(np.ascontiguousarray(targets)).to(settings.device),
        indices=indices,
        seed=settings.seed,
        batch_size=settings.batch_size,
        background=settings.background,
    ).numpy()


def evaluate(
    subject: Subject,
    targets: np.ndarray,
    others: tuple[tuple[Subject, np.ndarray], ...],
    explainer: Explainer,
    settings: Settings,
    *,
    only_similarity: bool = False,
) -> Cell:
    """Compute one cell.

    Args:
        targets: int64 (n,), the classes that the network's maps explain.
        others: the networks that it is compared with, its baseline first (or itself), then, if there is one, the one that
            was trained on in full precision, each with the classes that its maps explain, which are on disk.
        only_similarity: leave the other metrics out.
    """
    clock, store, sample = Clock(), MapStore(settings.maps), settings.sample
    pixels, indices = sample.images.numpy(), sample.indices.numpy()
    masks = sample.masks().numpy()

    def again(network: nn.Module, images: np.ndarray, classes: np.ndarray, which: np.ndarray) -> np.ndarray:
        return _explain(explainer, settings, network, images, classes, which)

    def task(network: nn.Module, maps: np.ndarray, baseline_maps: np.ndarray) -> Task:
        return Task(
            network=network.to(settings.device),
            images=pixels,
            labels=sample.labels.numpy(),
            targets=targets,
            masks=masks,
            maps=maps,
            baseline_maps=baseline_maps,
            indices=indices,
            seed=settings.seed,
            batch_size=settings.batch_size,
            device=settings.device,
            explain=again,
        )

    is_control = explainer.label in CONTROLS
    similarities = [s for s in settings.scorers if s.metric.category == "similarity" and not is_control]
    rest = [s for s in settings.scorers if s.metric.category != "similarity" and not only_similarity]
    with clock("attribution"):
        maps = maps_of(subject, explainer, targets, settings, store)
        computed = store.computed > 0
        references = [
            _reference_maps(other, theirs, targets, explainer, settings, store)
            for other, theirs in (others if similarities else others[:1])
        ]
    baseline, baseline_maps = others[0][0], references[0]
    scores, curves, chances, to_fine_tuned, noise, controls = {}, {}, {}, {}, {}, {}
    # What an untrained network sees, passed off as the baseline's explanation: faithful to itself it may well be. But
    # where images are explained anew, it is the network that explained them that does it.
    own = task(subject.network, maps, baseline_maps)
    judged = own if subject.role != "control" else task(baseline.network, maps, baseline_maps)
    for scorer in (*rest, *similarities):
        given = own if "explanations" in scorer.metric.needs else judged
        with clock(scorer.metric.category):
            scores[scorer.label], curve = scorer.score(given)
            if curve is not None:
                curves[scorer.label] = curve
            chance = scorer.chance(given) if subject.role != "retrained" else None
            if chance is not None:
                chances[scorer.label] = chance
    for fine_tuned_maps in references[1:]:
        with clock("similarity"):
            for scorer in similarities:
                to_fine_tuned[scorer.label] = scorer.score(task(subject.network, maps, fine_tuned_maps))[0]
    if similarities and subject.is_baseline:
        for control in CONTROLS:
            control_maps = maps_of(subject, find_explainer(control), targets, settings, store)
            with clock("similarity"):
                for scorer in similarities:
                    controls[scorer.label, control] = scorer.score(replace(own, maps=control_maps))[0]
    if similarities and subject.role == "model":
        with clock("attribution"):
            noisy = maps_of(subject, explainer, targets, settings, store, noisy=True)
        with clock("similarity"):
            for scorer in similarities:
                noise[scorer.label] = scorer.score(task(subject.network, noisy, maps))[0]
    return Cell(scores, curves, chances, to_fine_tuned, noise, controls, is_degenerate(maps), computed, clock.seconds)


def _reference_maps(
    other: Subject,
    other_targets: np.ndarray,
    targets: np.ndarray,
    explainer: Explainer,
    settings: Settings,
    store: MapStore,
) -> np.ndarray:
    """Return another network's maps of the classes that a network's maps explain."""
    maps = maps_of(other, explainer, other_targets, settings, store)
    differs = np.flatnonzero(targets != other_targets)
    if len(differs):
        maps = np.array(maps)
        pixels, indices = settings.sample.images.numpy()[differs], settings.sample.indices.numpy()[differs]
        maps[differs] = _explain(explainer, settings, other.network, pixels, targets[differs], indices)
    return maps


def _with_noise(images: np.ndarray, indices: np.ndarray, seed: int) -> np.ndarray:
    draws = [
        np.random.default_rng(derived_seed(seed, "input noise", int(index))).standard_normal(image.shape)
        for image, index in zip(images, indices, strict=True)
    ]
    return np.clip(images + INPUT_NOISE * np.stack(draws), 0.0, 1.0).astype(np.float32)


def surrogate_gap(subject: Subject, targets: np.ndarray, settings: Settings) -> float:
    """Return Σ|Σ map − Δ| / Σ|Δ| over images, where the map is integrated gradients' from black and Δ the logit's change.

    Where it is 0, gradients account for the decision. Rounding has no useful gradient: a quantized network's is a
    surrogate's, and misses by this much.
    """
    maps = maps_of(subject, find_explainer("integrated_gradients"), targets, settings, MapStore(settings.maps))
    images = settings.sample.images.numpy()
    logits = logits_of(
        subject.network, np.concatenate([images, np.zeros_like(images[:1])]), settings.device, settings.batch_size
    )
    rise = (logits[:-1] - logits[-1:]).astype(np.float64)[np.arange(len(targets)), targets]
    missed = np.abs(np.asarray(maps, dtype=np.float64).sum(axis=(1, 2)) - rise).sum()
    return float(missed / np.abs(rise).sum()) if np.abs(rise).sum() > 0 else np.nan
