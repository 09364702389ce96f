"""The keys of the store: what determines maps, scores and predictions.

A key is plain data. It names a network by its identity, images by their contents, a method or metric by its name, parameters
and code, and the versions of the libraries that compute. It holds no path, no name of a network and nothing about how the
work is shared, so that other runs and machines find what is there.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from saq_eval.attribution import Explainer, find_explainer
from saq_eval.core.code import checksum_of_files, checksum_of_packages
from saq_eval.data.images import digest_of
from saq_eval.evaluation.planning import Job
from saq_eval.evaluation.settings import INPUT_NOISE, Settings, Subject
from saq_eval.evaluation.store.entries import Key, digest_of_key

_OF_MAPS = ("saq_eval", "torch", "captum", "zennit", "numpy", "scikit-image")
OF_SCORES = (*_OF_MAPS, "quantus", "scipy", "pot")


class Keys:
    """The keys of one comparison's entries.

    Args:
        settings: the settings that hold for every network.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._hashes: dict[tuple[str, str, bytes], str] = {}

    @cached_property
    def _images(self) -> str:
        return digest_of(self.settings.sample.images, self.settings.sample.indices)

    @cached_property
    def _sample(self) -> str:
        sample = self.settings.sample
        return digest_of(sample.labels, sample.masks(), *sample.class_names)

    @cached_property
    def _background(self) -> str:
        background = self.settings.background
        return "" if background is None else digest_of(background)

    def maps(self, identity: str, explainer: Explainer, targets: np.ndarray, *, noisy: bool = False) -> Key:
        """Return the key of a network's maps of the sample.

        Args:
            identity: the network's identity.
            targets: int64 (n,), the explained classes.
            noisy: whether tiny noise is added to the images.
        """
        method, settings = explainer.method, self.settings
        return {
            "kind": "maps",
            "network": identity if method.uses_network else "any",
            "method": method.name,
            "parameters": explainer.settings(settings.sample.image_shape),
            "code": method.code,
            "images": self._images,
            "noise": INPUT_NOISE if noisy else 0.0,
            "targets": _digest(targets),
            "background": self._background if method.needs_background else "",
            "seed": settings.seed,
            "device": settings.device,
            "libraries": versions(_OF_MAPS),
        }

    def explained(self, job: Job, targets: Sequence[np.ndarray]) -> Key:
        """Return the key of the facts about a job's maps; see `saq_eval.evaluation.cells.Explained`."""
        return {"kind": "explained", "maps": self._of(job, 0, targets)}

    def cell(self, job: Job, metric: str, targets: Sequence[np.ndarray]) -> Key:
        """Return the key of a cell.

        Args:
            metric: the metric's label.
            targets: arrays int64 (n,), the explained classes: of the network, and of each network in `job.others`.
        """
        settings, scorer, subject = self.settings, self.settings.scorer[metric], job.subject
        similar = scorer.metric.category == "similarity"
        others = range(len(job.others)) if similar else ()
        return {
            "kind": "cells",
            "maps": self._of(job, 0, targets),
            # Those of the networks that a similarity compares with explain the same classes, but for few images perhaps.
            "others": [self._of(job, 1 + place, targets) for place in others],
            "judged": job.judged.identity,
            "role": f"{subject.role}{' baseline' if subject.is_baseline and similar else ''}",
            "metric": scorer.metric.name,
            "parameters": scorer.parameters,
            "engine": scorer.engine,
            "code": f"{scorer.metric.code}-{_code_of_scoring()}",
            "sample": self._sample,
            "compile": settings.compile,
            "libraries": versions(OF_SCORES),
        }

    def _of(self, job: Job, place: int, targets: Sequence[np.ndarray]) -> str:
        """Return the hash of the key of maps: the job's own (0), or those of one of the others (from 1)."""
        subject: Subject = (job.subject, *job.others)[place]
        what = (subject.identity, job.method, targets[place].tobytes())
        if what not in self._hashes:
            key = self.maps(subject.identity, self.settings.explainer[job.method], targets[place])
            # Networks may share maps, but not their scores.
            self._hashes[what] = digest_of_key({**key, "network": subject.identity})
        return self._hashes[what]

    def gap(self, subject: Subject, targets: np.ndarray) -> Key:
        """Return the key of a network's surrogate gap for the explained classes, int64 (n,)."""
        maps = self.maps(subject.identity, find_explainer("integrated_gradients"), targets)
        return {"kind": "gaps", "maps": maps, "code": _code_of_scoring(), "compile": self.settings.compile}

    def logits(self, identity: str, images: str) -> Key:
        """Return the key of a network's logits.

        Args:
            images: the images' fingerprint.
        """
        return {
            "kind": "logits",
            "network": identity,
            "images": images,
            "code": checksum_of_packages("core", "data", "networks", "quantization"),
            "device": self.settings.device,
            "compile": self.settings.compile,
            "libraries": versions(_OF_MAPS),
        }


def _digest(targets: np.ndarray) -> str:
    return digest_of(torch.from_numpy(np.ascontiguousarray(targets)))


@functools.cache
def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the installed versions of packages, by name."""
    return {name: importlib.metadata.version(name) for name in packages}


@functools.cache
def _code_of_scoring() -> str:
    from saq_eval.evaluation import cells, maps, scoring, settings  # some of them import this module

    return checksum_of_files([Path(inspect.getfile(module)) for module in (cells, maps, scoring, settings)])
