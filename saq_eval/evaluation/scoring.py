"""The jobs of a comparison: logits, maps and scores of one network. They depend only on arguments and on the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch

from saq_eval.attribution import CONTROLS, find_explainer
from saq_eval.core.errors import CannotWrite, SaqEvalError, Unsupported, first_line
from saq_eval.core.memory import give_back, is_out_of_memory
from saq_eval.evaluation.cells import Explained, Scored
from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.maps import JobMaps, maps_of
from saq_eval.evaluation.planning import Job
from saq_eval.evaluation.settings import Subject
from saq_eval.evaluation.shared import Shared, shared_at
from saq_eval.evaluation.store.values import explained_written, scored_of, written
from saq_eval.metrics import Scorer, is_degenerate

T = TypeVar("T")


def logits_of(shared: str, identity: str, name: str, positions: np.ndarray, fingerprint: str) -> np.ndarray:
    """Return a network's logits for images of the test set, float32 (images, classes), read batch by batch.

    Args:
        shared: the folder that `share` yields, here and in the functions below.
        identity: the network's identity.
        name: its name, for messages.
        positions: int64 (images,), positions in the test set.
        fingerprint: the fingerprint of these images.

    Raises:
        SaqEvalError: if the network fails on some of the images; the message names it.
        CannotWrite: if the store cannot be written.
    """
    work = shared_at(shared)

    def compute() -> dict[str, np.ndarray]:
        return {"logits": work.logits(identity, work.test_set.batches(work.settings.batch_size, positions))}

    try:
        entry, _ = work.store.once(work.keys.logits(identity, fingerprint), lambda: retried(work, compute))
    except CannotWrite:
        raise
    except SaqEvalError as error:
        raise SaqEvalError(f"the network {name!r}: {error}") from error
    return np.array(entry.arrays["logits"])


def retried(work: Shared, compute: Callable[[], T]) -> T:
    """Return what a function computes. If memory is short, it is called again, and half as many images pass at once.

    Raises:
        MemoryError: if memory is short even for one image, whatever error the network or the method has raised for it.
    """
    while True:
        try:
            return compute()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if not work.halve_batch():
                raise MemoryError("out of memory, with one image at a time") from error
        give_back()
        torch.cuda.empty_cache()


@dataclass(frozen=True, eq=False)
class Done:
    """A job's results.

    Attributes:
        explained: facts about the maps; `None` if the network cannot be explained, or this has failed.
        tried: whether the facts hold for every run: the network was explained, or cannot be.
        scored: the cells' values by metric.
        seconds: the seconds of each stage.
        failed: by metric, why a cell has failed; its value is a hole. It is not in the store, so the next run tries it again.
        batch_size: the number of images that have passed at once: that of the settings, or fewer if memory was short.
        damaged: what damaged files of the store were found, in sentences.
        computed: the number of cells that were computed; others were finished by another process meanwhile, or have failed.
        claimed: false if another process computes the job's cells, and nothing was done.
    """

    explained: Explained | None = None
    tried: bool = True
    scored: dict[str, Scored] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    batch_size: int = 0
    damaged: tuple[str, ...] = ()
    computed: int = 0
    claimed: bool = True


def score(shared: str, job: Job, targets: Sequence[np.ndarray]) -> Done:
    """Compute the cells of a job, and put each into the store when it is finished.

    A cell that fails becomes a hole, and the others are computed. If memory is short, half as many images pass at once.

    Args:
        targets: arrays int64 (n,) of explained classes: first those of the network's maps, then those of each network in
            `job.others`, whose maps are in the store.

    Raises:
        CannotWrite: if the store cannot be written.
    """
    give_back()  # of the job before
    work = shared_at(shared)
    with work.store.claim(work.keys.explained(job, targets)) as claimed:
        if not claimed:
            return Done(claimed=False)
        return _Scoring(work, job, targets).done()


class _Scoring:
    """A job while its cells are computed."""

    def __init__(self, work: Shared, job: Job, targets: Sequence[np.ndarray]) -> None:
        self.work, self.job, self.targets = work, job, targets
        self.clock, self.scored, self.failed = Clock(), dict[str, Scored](), dict[str, str]()
        self.store, self.keys, self.computed = work.store, work.keys, 0

    def done(self) -> Done:
        """Compute what is missing, and return the job's results."""
        explained, tried = None, True
        try:
            maps, explained = self._own_maps()
        except CannotWrite:
            raise
        except Exception as error:  # the parts of a user's network may raise anything
            maps, tried = None, False
            self.failed = dict.fromkeys(self.job.metrics, in_a_sentence(error))
        if maps is not None:
            for label in self.job.metrics:
                self._cell(label, maps)
        damaged = self.store.take_damaged()
        holes = {label: self._nothing(reason) for label, reason in self.failed.items()}
        size = self.work.settings.batch_size
        return Done(
            explained, tried, self.scored | holes, self.clock.seconds, self.failed, size, damaged, self.computed
        )

    def _own_maps(self) -> tuple[JobMaps | None, Explained | None]:
        """Compute the maps; return nothing if the network cannot be explained, which makes all cells holes."""
        maps = JobMaps(self.work, self.job, self.targets)
        key = self.keys.explained(self.job, self.targets)
        try:
            with self.clock("attribution"):
                own, computed = retried(self.work, lambda: maps.own)
        except Unsupported as error:
            nothing = self._nothing(error.reason)
            for label in self.job.metrics:
                self._put(label, nothing)
            self.work.keep(key, *explained_written(None))
            return None, None
        explained = Explained(is_degenerate(own), computed)
        self.work.keep(key, *explained_written(explained))
        return maps, explained

    def _cell(self, label: str, maps: JobMaps) -> None:
        kept = self.store.get(self.keys.cell(self.job, label, self.targets))  # of a process that was killed meanwhile
        if kept is not None:
            self.scored[label] = scored_of(kept)
            return
        try:
            self._put(label, self._compute(label, maps))
        except CannotWrite:
            raise
        except Exception as error:  # the parts of a user's network may raise anything
            self.failed[label] = in_a_sentence(error)

    def _put(self, label: str, scored: Scored) -> None:
        self.scored[label] = scored
        self.computed += 1
        self.store.put(self.keys.cell(self.job, label, self.targets), *written(scored))

    def _nothing(self, reason: str) -> Scored:
        return Scored.nothing(len(self.work.settings.sample), reason)

    def _compute(self, label: str, maps: JobMaps) -> Scored:
        scorer = self.work.settings.scorer[label]
        try:
            return retried(self.work, lambda: self._scored(scorer, maps))
        except Unsupported as error:
            return self._nothing(error.reason)

    def _scored(self, scorer: Scorer, maps: JobMaps) -> Scored:
        task = maps.task_of(scorer)
        with self.clock(scorer.metric.category):
            scores, curve = scorer.score(task)
            chance = scorer.chance(task) if self.job.subject.role != "retrained" else None
        scored = Scored(scores, curve, chance)
        return replace(scored, **self._beside(maps, scorer)) if scorer.metric.category == "similarity" else scored

    def _beside(self, maps: JobMaps, scorer: Scorer) -> dict[str, Any]:
        """Return a similarity's scores against other maps than the baseline's; see `Scored`."""
        with self.clock("attribution"):
            tasks = maps.beside
        with self.clock("similarity"):
            found = {name: scorer.score(maps.fitting(task))[0] for name, task in tasks.items()}
        controls = {control: found.pop(control) for control in CONTROLS if control in found}
        return {**found, "controls": controls}


def in_a_sentence(error: Exception) -> str:
    """Return why a cell has failed, for a table."""
    if isinstance(error, MemoryError):
        return f"failed: {error}"
    return f"failed: {error if isinstance(error, SaqEvalError) else first_line(error)}"


def surrogate_gap(shared: str, subject: Subject, targets: np.ndarray) -> tuple[float, str]:
    """Return a network's surrogate gap, see `gap_of`, and why it could not be computed; "" if it could."""
    work = shared_at(shared)

    def compute() -> dict[str, np.ndarray]:
        try:
            gap = retried(work, lambda: gap_of(work, subject, targets))
        except Unsupported:  # no gradient reaches the image
            gap = np.nan
        return {"gap": np.array([gap])}

    try:
        return float(work.store.once(work.keys.gap(subject, targets), compute)[0].arrays["gap"][0]), ""
    except CannotWrite:
        raise
    except Exception as error:  # the parts of a user's network may raise anything
        return np.nan, in_a_sentence(error)


def gap_of(work: Shared, subject: Subject, targets: np.ndarray) -> float:
    """Return Σ|Σ map − Δ| / Σ|Δ|, where the outer sums are over images and the inner sum is over a map's pixels.

    The map is by integrated gradients from black, and Δ is the logit's change from black. If the value is 0, gradients
    account for the decision. Rounding has no useful gradient, so a quantized network uses a surrogate gradient. The value
    is the surrogate's relative error.

    Args:
        targets: int64 (n,), the explained classes.

    Raises:
        Unsupported: if no gradient reaches the image.
    """
    settings = work.settings
    maps, _ = maps_of(work, subject, find_explainer("integrated_gradients"), targets)
    images = settings.sample.images
    every = torch.cat([images, torch.zeros_like(images[:1])])
    logits = work.logits(subject.identity, every.split(settings.batch_size))
    rise = (logits[:-1] - logits[-1:]).astype(np.float64)[np.arange(len(targets)), targets]
    missed = np.abs(np.asarray(maps, dtype=np.float64).sum(axis=(1, 2)) - rise).sum()
    return float(missed / np.abs(rise).sum()) if np.abs(rise).sum() > 0 else np.nan
