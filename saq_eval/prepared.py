"""A comparison that is set up: its networks, jobs and store, what computes, and the output folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm.auto import tqdm

from saq_eval.evaluation.asking import store_of
from saq_eval.evaluation.clock import Clock
from saq_eval.evaluation.executors import Executor, Here, Processes
from saq_eval.evaluation.how import How
from saq_eval.evaluation.plan import Plan
from saq_eval.evaluation.planning import Jobs, plan_jobs
from saq_eval.evaluation.predicting import prediction_passes
from saq_eval.evaluation.running import Work, part_of
from saq_eval.evaluation.setup import Setup, set_up
from saq_eval.evaluation.shared import Shared
from saq_eval.evaluation.store import Key
from saq_eval.evaluation.store.store import STORE
from saq_eval.evaluation.store.upkeep import note_run, opened
from saq_eval.reporting.formats import check_formats
from saq_eval.reporting.holding import held
from saq_eval.reporting.output import check_writable

_BAR = "{percentage:3.0f}% |{bar}| {elapsed} gone, {remaining} left, {desc}"


@dataclass(frozen=True, eq=False)
class Ready:
    """A comparison that is set up, before anything is computed.

    Attributes:
        holds_output: whether this process writes to the output folder.
        note: notes that the run needs the entry of a key; see `saq_eval.evaluation.store.upkeep.prune`.
    """

    plan: Plan
    output: Path | None
    setup: Setup
    shared: Shared
    jobs: Jobs
    how: How
    clock: Clock
    holds_output: bool
    note: Callable[[Key], object]

    @property
    def work(self) -> Work:
        """What is computed."""
        setup = self.setup
        return Work(setup.subjects, self.shared, self.jobs, setup.measured, self.plan.target)

    @contextmanager
    def output_held(self) -> Iterator[bool]:
        """Yield whether this process may write to the output folder now: it holds it, or the one that held it has ended."""
        if self.holds_output or self.output is None:
            yield self.holds_output
            return
        with held(self.output, join=True) as ours:
            yield ours

    @contextmanager
    def progress(self) -> Iterator[Callable[[str, float], object]]:
        """Show a progress bar, and yield a function to call when a part of the work is done.

        The bar counts passes of the networks, so that its remaining time is a good estimate for all parts.
        """
        jobs = [job for wave in self.jobs.waves for job in wave]
        share = 1.0
        if self.how.part is not None:
            jobs, share = part_of(jobs, *self.how.part), 1 / self.how.part[1]
        predictions = len(self.setup.modules) * prediction_passes(
            len(self.setup.measured), len(self.setup.settings.sample)
        )
        total = share * predictions + sum(job.passes for job in jobs)
        with tqdm(total=total, unit="pass", bar_format=_BAR, disable=None if self.plan.progress else True) as bar:

            def on_step(description: str, passes: float) -> None:
                bar.set_description(description)
                bar.update(passes)

            yield on_step


@contextmanager
def ready_for(plan: Plan, output: Path | None, *, part: tuple[int, int] | None = None) -> Iterator[Ready]:
    """Set a comparison up, with its store and executor, which end with the context.

    Args:
        output: the output folder.
        part: (number, count) for one part of a comparison. Parts share the output folder, and write nothing there.

    Raises:
        SaqEvalError: as `saq_eval.compare` does, before anything is written.
    """
    clock = Clock()
    given = store_of(plan)
    with contextlib.ExitStack() as stack:
        with clock("loading"):
            check_formats(plan.formats)
            if output is not None:
                check_writable(output)
            setup = set_up(plan, given or Path(STORE))
            ours = False
            if output is not None:
                ours = stack.enter_context(held(output, join=plan.join or part is not None))
            # From here on, something is written.
            store = stack.enter_context(opened(given, fresh=plan.fresh))
            setup = replace(setup, settings=replace(setup.settings, store=store.folder))
            jobs = plan_jobs(setup.subjects, setup.settings, plan.target, setup.refusals)
            executor = stack.enter_context(_executor(setup.plan))
        needed: list[Key] = []

        def note(*keys: Key) -> None:
            needed.extend(keys)
            # Not before the cells are known: the note takes the place of that of the last run, which prune goes by.
            if given is not None and any(key["kind"] == "cells" for key in needed):
                note_run(store, output or given, needed, part)

        how = How(executor, plan.fail_fast, part, on_keys=lambda keys: note(*keys))
        shared = Shared(setup.settings, setup.modules, setup.test_set)
        yield Ready(plan, output, setup, shared, jobs, how, clock, ours, note)


def _executor(plan: Plan) -> Executor:
    if plan.executor == "dask":
        from saq_eval.evaluation.executors.dask import dask_executor  # needs an extra

        return dask_executor(plan.scheduler, plan.workers)
    return Processes(plan.workers) if plan.workers > 1 else Here()
