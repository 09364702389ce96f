"""What a comparison costs, said before it is computed: cells, maps, passes, bytes and time."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from saq_eval.attribution import CONTROLS, Explainer, find_explainer
from saq_eval.core.errors import SaqEvalError
from saq_eval.core.randomness import deterministic
from saq_eval.evaluation.asking import asked_by, store_of
from saq_eval.evaluation.passes import Passes, layers_drawn_anew, passes_of_map, passes_of_metrics, passes_of_scores
from saq_eval.evaluation.plan import Plan
from saq_eval.evaluation.planning import Job, Jobs, plan_jobs
from saq_eval.evaluation.predicting import parts_of, targets_of
from saq_eval.evaluation.scoring_speed import measure_scoring
from saq_eval.evaluation.settings import Subject
from saq_eval.evaluation.setup import Setup, set_up
from saq_eval.evaluation.shared import Shared
from saq_eval.evaluation.speed import Speed, measure_speeds
from saq_eval.evaluation.store import Key
from saq_eval.evaluation.store.entries import digest_of_key, read_entry
from saq_eval.evaluation.store.store import open_store
from saq_eval.metrics import Scorer

# What is not measured in a dry run, found from comparisons of digits and FashionMNIST on one core (docs/scale.md). Passes take
# longer than in full batches by this factor: not all batches are full, and the order of tied pixels makes some passes twice.
OVERHEAD = 1.2
_FOR_MAPS = 0.08  # seconds for each set of maps, beside its passes
_ONCE = 3.0  # seconds for loading, statistics and the report
_BLOCK = 4096  # bytes: file systems give files whole blocks
_HEADER = 2048  # bytes of an entry's key and checksum
_TABLES, _SCORE = 120_000, 12  # bytes of the tables, and of a score in them, as they are packed


@dataclass(frozen=True)
class Estimate:
    """What a comparison costs that has not been computed yet.

    Attributes:
        networks, methods, metrics, images: the numbers of these; networks with random weights and retrained networks, and
            controls among the methods, are counted.
        cells: the number of cells, holes not counted.
        stored: the number of cells that the store holds already.
        maps: the number of sets of maps that are computed. A set is a method's maps of all images by one network, with or
            without noise.
        forward: the number of passes of an image forward alone, predictions of the test set included.
        backward: the number of passes of an image forward and backward.
        bytes: about how many bytes are added to the store.
        seconds: the expected time on this machine: the passes' measured seconds, times `OVERHEAD`, and what metrics take
            beside passes, over the workers; and some seconds for all else.
        workers: the number of processes that share the work.
        speeds: how fast the networks pass images on this machine; see `saq_eval.evaluation.speed.Speed`.
        notes: what is not counted or assumed, in sentences.
    """

    networks: int
    methods: int
    metrics: int
    images: int
    cells: int
    stored: int
    maps: int
    forward: int
    backward: int
    bytes: int
    seconds: float
    workers: int
    speeds: tuple[Speed, ...]
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> int:
        """The number of cells that are computed."""
        return self.cells - self.stored


@asked_by(Plan)
def estimate(plan: Plan) -> Estimate:
    """Say what a comparison costs, before it is computed: cells, passes of the networks, bytes and time on this machine.

    The networks and images are loaded and checked as `compare` does it, and a few passes are timed, which takes seconds. What
    the store holds already is not counted. Nothing is written.

    Args: see `saq_eval.evaluation.plan.Plan`.

    Raises:
        SaqEvalError: as `compare` does, but for folders that cannot be written.
    """
    folder = store_of(plan)
    # An empty folder takes the place of a store that is not there.
    with tempfile.TemporaryDirectory(prefix="saq_eval-") as nothing, deterministic(threads=1):
        if folder is not None and folder.is_dir() and any(folder.iterdir()):
            open_store(folder)
        setup = set_up(plan, folder or Path(nothing))
        jobs = plan_jobs(setup.subjects, setup.settings, plan.target, setup.refusals)
        return estimate_cost(setup, jobs, fresh=plan.fresh)


def estimate_cost(setup: Setup, jobs: Jobs, *, fresh: bool = False) -> Estimate:
    """Count what a comparison computes, and measure how fast its networks are on this machine. Nothing is written.

    Args:
        setup: the comparison. Its store's folder may not exist yet.
        jobs: the jobs; see `saq_eval.evaluation.planning.plan_jobs`.
        fresh: whether what the store holds is computed again.
    """
    settings = setup.settings
    shared = Shared(settings, setup.modules, setup.test_set)
    speeds = measure_speeds(setup.modules, shared.network, settings.sample.images, settings.batch_size, settings.device)
    counting = _Counting(setup, shared, speeds, fresh=fresh)
    every = [job for wave in jobs.waves for job in wave]
    counting.predictions()
    for job in every:
        counting.job(job)
    counting.surrogate_gaps()
    cells = sum(len(job.metrics) for job in every)
    counting.tables(cells)
    total = sum(counting.passes.values(), Passes())
    return Estimate(
        networks=len(setup.modules),
        methods=len(settings.explainer),
        metrics=len(settings.scorers),
        images=len(settings.sample),
        cells=cells,
        stored=counting.stored,
        maps=counting.maps,
        forward=total.forward,
        backward=total.backward,
        bytes=counting.bytes,
        seconds=_ONCE + (_seconds(counting) + _FOR_MAPS * counting.maps + counting.scoring) / setup.plan.workers,
        workers=setup.plan.workers,
        speeds=tuple(speeds),
        notes=tuple(_notes(setup, counting)),
    )


def _seconds(counting: _Counting) -> float:
    """Return the seconds of passes."""
    timed = [(passes, counting.speeds[identity]) for identity, passes in counting.passes.items()]
    forward = sum(passes.forward * speed.forward for passes, speed in timed)
    return OVERHEAD * (forward + sum(passes.backward * speed.backward for passes, speed in timed if passes.backward))


def _notes(setup: Setup, counting: _Counting) -> Iterator[str]:
    plan, settings = setup.plan, setup.settings
    unknown = [scorer.label for scorer in settings.scorers if scorer.passes(settings.sample.image_shape) is None]
    if unknown:
        yield f"the passes of {', '.join(unknown)} are not known and not counted: give the function an attribute `passes`"
    if counting.targets is None:
        yield (
            f"which classes the maps explain (target {plan.target!r}) is known when the networks have predicted the images: "
            "all cells are counted as missing"
        )
    if plan.engine == "quantus":
        yield "passes are those of the native engine; Quantus itself takes more"
    if plan.compile:
        yield "compiled passes are faster than those that were measured"
    if plan.scheduler is not None:
        yield f"the cluster's own workers are not counted, but {plan.workers}"


class _Counting:
    """Counts what a comparison computes that its store does not hold. A file that is there counts, whole or damaged.

    Attributes:
        passes: by the identity of the network that passes the images.
        maps: the number of sets of maps.
        stored: the number of cells that the store holds.
        bytes: of the entries that are added to the store.
        scoring: the seconds that metrics take beside passes.
        targets: by network, the classes that maps explain; `None` if they follow from predictions that are not known.
    """

    def __init__(self, setup: Setup, shared: Shared, speeds: Sequence[Speed], *, fresh: bool) -> None:
        self.setup, self.shared, self.settings = setup, shared, setup.settings
        self.speeds = {identity: speed for speed in speeds for identity in speed.networks}
        self.shape, self.images = self.settings.sample.image_shape, len(self.settings.sample)
        self.passes: dict[str, Passes] = {}
        self.maps = self.stored = self.bytes = 0
        self.scoring = 0.0
        at_once, device = self.settings.batch_size, self.settings.device
        self._scoring = measure_scoring(
            setup.settings.scorers, setup.settings.sample, speeds[0].outputs, at_once, device
        )
        self._fresh = fresh
        self._prints: dict[tuple[int, int], str] = {}  # of the parts of the test set
        self._counted: set[str] = set()  # maps, and what a network's cells share
        self.targets = self._known_targets()

    def predictions(self) -> None:
        """Count the predictions of the test set."""
        shown = {subject.identity for subject in self.setup.subjects if subject.role != "retrained"}
        for identity in dict.fromkeys(subject.identity for subject in self.setup.subjects):
            for part in self._parts if identity in shown else parts_of(self.setup.measured, self.settings.batch_size):
                if not self._holds_logits(identity, part):
                    self._pass(identity, Passes(forward=len(part)))
                    self._write(4 * len(part) * self.speeds[identity].outputs)

    def job(self, job: Job) -> None:
        """Count what is missing of a job."""
        keys, settings, targets = self.shared.keys, self.settings, self._targets(job)
        missing = [metric for metric in job.metrics if not self._holds(keys.cell(job, metric, targets))]
        self.stored += len(job.metrics) - len(missing)
        has_facts = self._holds(keys.explained(job, targets))
        if not missing and has_facts:
            return
        if not has_facts:
            self._write(self.images)
        scorers = [settings.scorer[metric] for metric in missing]
        self._maps_for(job, targets, similar=any(s.metric.category == "similarity" for s in scorers))
        own = [scorer for scorer in scorers if "explanations" in scorer.metric.needs]
        judged = [scorer for scorer in scorers if scorer not in own]
        self._scores(job.subject.identity, job.method, targets[0], own)
        self._scores(job.judged.identity, job.method, targets[0], judged)
        for scorer in scorers:
            self._score(job, scorer)

    def surrogate_gaps(self) -> None:
        """Count the maps by integrated gradients that the surrogate gap is computed from."""
        explainer = find_explainer("integrated_gradients")
        for subject in self.setup.subjects:
            targets = self._targets_of(subject)
            if subject.role != "model" or self._holds(self.shared.keys.gap(subject, targets)):
                continue
            self._write(8)
            if not math.isnan(self.speeds[subject.identity].backward):
                self._maps(subject, explainer, targets)
                self._pass(subject.identity, Passes(forward=self.images + 1))

    def tables(self, cells: int) -> None:
        """Count the tables of so many cells, which are kept too, if some of the cells are new."""
        if self.stored < cells:
            self._write(_TABLES + _SCORE * cells * self.images)

    def _maps_for(self, job: Job, targets: Sequence[np.ndarray], *, similar: bool) -> None:
        """Count the maps that the cells of a job need."""
        explainer, subject = self.settings.explainer[job.method], job.subject
        self._maps(subject, explainer, targets[0])
        if not similar:
            return
        for other, theirs in zip(job.others, targets[1:], strict=True):
            self._maps(other, explainer, theirs)
        if subject.is_baseline:
            for control in CONTROLS:
                self._maps(subject, self.settings.explainer[control], targets[0])
        if subject.role == "model":
            self._maps(subject, explainer, targets[0], noisy=True)

    def _maps(self, subject: Subject, explainer: Explainer, targets: np.ndarray, *, noisy: bool = False) -> None:
        key = self.shared.keys.maps(subject.identity, explainer, targets, noisy=noisy)
        if self._is_new(digest_of_key(key)) and not self._holds(key):
            self.maps += 1
            self._pass(subject.identity, passes_of_map(explainer, self.shape) * self.images)
            self._write((4 * math.prod(self.shape[1:]) + 16) * self.images)

    def _scores(self, identity: str, method: str, targets: np.ndarray, scorers: Sequence[Scorer]) -> None:
        """Count the passes by which metrics score the maps of a method as explanations of a network."""
        asked = passes_of_metrics(scorers, self.shape)
        layers = layers_drawn_anew(self.setup.modules[identity]) if asked.maps_of_layers else 0
        passes = passes_of_scores(self.settings.explainer[method], asked, self.shape, layers)
        for name, count in asked.shared.items():
            if self._is_new(f"{identity} {targets.tobytes().hex()} {name}"):
                passes += Passes(forward=count)
        self._pass(identity, passes * self.images)

    def _score(self, job: Job, scorer: Scorer) -> None:
        """Count the numbers that a cell holds, see `saq_eval.evaluation.cells.Scored`, and the time that they take."""
        metric, passes, subject = scorer.metric, scorer.passes(self.shape), job.subject
        steps = sum(passes.each.values()) if metric.curve and passes is not None else 0
        scores = 1
        if metric.category == "similarity":
            scores += (subject.role == "model") + len(job.others[1:]) + len(CONTROLS) * subject.is_baseline
        chance = metric.chance is not None and subject.role != "retrained"
        self._write(8 * self.images * (scores + steps + chance))
        speed = self._scoring[scorer.label]
        self.scoring += self.images * (scores * speed.score + chance * speed.chance)

    def _pass(self, identity: str, passes: Passes) -> None:
        self.passes[identity] = self.passes.get(identity, Passes()) + passes

    def _write(self, content: int) -> None:
        self.bytes += -(-(content + _HEADER) // _BLOCK) * _BLOCK

    def _is_new(self, what: str) -> bool:
        new = what not in self._counted
        self._counted.add(what)
        return new

    def _holds(self, key: Key) -> bool:
        return not self._fresh and self.targets is not None and self.shared.store.path(key).exists()

    def _targets(self, job: Job) -> list[np.ndarray]:
        return [self._targets_of(subject) for subject in (job.subject, *job.others)]

    def _targets_of(self, subject: Subject) -> np.ndarray:
        return self.settings.sample.labels.numpy() if self.targets is None else self.targets[subject]

    def _known_targets(self) -> dict[Subject, np.ndarray] | None:
        policy, predictions = self.setup.plan.target, {}
        for subject in self.setup.subjects if policy != "label" else ():
            if subject.role != "retrained":
                logits = self._stored_logits(subject.identity)
                if logits is None:
                    return None
                predictions[subject.name] = logits.argmax(axis=1)
        return targets_of(self.setup.subjects, policy, predictions, self.settings)

    def _stored_logits(self, identity: str) -> np.ndarray | None:
        """Return a network's logits of the sample; `None` if the store does not hold them all."""
        rows: dict[int, np.ndarray] = {}
        for part in self._parts:
            if not self._holds_logits(identity, part):
                return None
            try:
                entry = read_entry(self.shared.store.path(self._key_of_logits(identity, part)))
            except (OSError, SaqEvalError):  # it is damaged, and a run would compute it again
                return None
            rows |= zip(part.tolist(), entry.arrays["logits"], strict=True)
        return np.stack([rows[position] for position in self._positions])

    @cached_property
    def _positions(self) -> list[int]:
        positions = self.settings.sample.positions
        assert positions is not None  # a sample always has them
        return positions.tolist()

    @cached_property
    def _parts(self) -> list[np.ndarray]:
        """The positions of the images that networks predict, in parts: those that accuracy is measured on, and the sample."""
        measured = self.setup.measured
        parts = parts_of(measured, self.settings.batch_size)
        return parts if set(self._positions) <= set(measured.tolist()) else [*parts, np.array(self._positions)]

    def _holds_logits(self, identity: str, part: np.ndarray) -> bool:
        # A fingerprint may take a reading of all images, so it is asked for only where there are logits at all.
        there = not self._fresh and (self.shared.store.folder / "logits").is_dir()
        return there and self.shared.store.path(self._key_of_logits(identity, part)).exists()

    def _key_of_logits(self, identity: str, part: np.ndarray) -> Key:
        first = int(part[0]), len(part)
        if first not in self._prints:
            self._prints[first] = self.setup.test_set.subset(part).fingerprint
        return self.shared.keys.logits(identity, self._prints[first])
