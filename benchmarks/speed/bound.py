"""The bound: the bare passes of the networks that a study's maps and metrics need, and nothing else.

What is counted, for each image and network:

- for each method its passes, as the method states them; gradients are counted as passes forward and backward;
- for a metric with random pictures that do not depend on the map, its draws and the image itself, once for all methods;
- for the other metrics that hide pixels, for each method, one picture for each step, in one order of tied pixels, and the
  further maps that a metric computes;
- a curve that several metrics read, once: PixelFlipping's is one of the two of SymmetricRelevanceGain;
- nothing for metrics that read the maps alone.

Equal pictures are counted as often as they are asked for: that black hidden behind black is the image again is not used,
and the suite may so take less than the bound. Batches are full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from benchmarks.speed.answer import Answer
from benchmarks.speed.study import Study
from benchmarks.speed.suite import opened
from saq_eval.attribution import Explainer
from saq_eval.core.randomness import deterministic
from saq_eval.evaluation.passes import Passes, passes_of_map, passes_of_metrics, passes_of_scores
from saq_eval.metrics import Scorer


def passes_of_image(explainers: Sequence[Explainer], scorers: Sequence[Scorer], shape: tuple[int, int, int]) -> Passes:
    """Return the passes that an image (c, h, w) of a network takes."""
    for scorer in scorers:
        passes = scorer.passes(shape)
        if passes is None or passes.maps_of_layers:
            raise ValueError(f"the passes of {scorer.label} are not counted")
    metrics = passes_of_metrics(scorers, shape)
    total = Passes(forward=sum(metrics.shared.values()))
    for explainer in explainers:
        total += passes_of_map(explainer, shape) + passes_of_scores(explainer, metrics, shape, layers=0)
    return total


@contextmanager
def bound(study: Study) -> Iterator[Callable[[], Answer]]:
    """Yield a function that makes the study's passes."""
    with opened(study) as setup:
        settings = setup.settings
        each = passes_of_image(settings.explainers, settings.scorers, settings.sample.image_shape)
        total = each * study.images
        identities = {s.name: s.identity for s in setup.subjects if s.role == "model"}
        networks = [setup.modules[identities[name]].to(study.device) for name in study.networks]
        images, labels = _filled(settings.sample.images, settings.sample.labels, settings.batch_size, study.device)
        passed = total * len(networks)
        answer = Answer(passes={"forward": passed.forward, "forward and backward": passed.backward})

        def work() -> Answer:
            with deterministic(threads=1):
                for network in networks:
                    with answer.stage("forward"), torch.inference_mode():
                        for size in _batches(total.forward, settings.batch_size):
                            network(images[:size])
                    with answer.stage("forward and backward"):
                        for size in _batches(total.backward, settings.batch_size):
                            _gradient(network, images[:size], labels[:size])
            return answer

        yield work


def _filled(images: Tensor, labels: Tensor, size: int, device: str) -> tuple[Tensor, Tensor]:
    """Return a batch of `size` images and their labels; images are repeated if there are fewer."""
    places = torch.arange(size) % len(images)
    return images[places].to(device), labels[places].to(device)


def _batches(count: int, size: int) -> list[int]:
    """Return the sizes of batches that hold so many images."""
    return [size] * (count // size) + ([count % size] if count % size else [])


def _gradient(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    leaf = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(network(leaf).gather(1, labels[:, None]).sum(), leaf)
    return gradient
