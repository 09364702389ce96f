"""Jobs shared by processes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing import resource_tracker
from typing import Any

import joblib
from tqdm import tqdm

from saq_eval.core.randomness import deterministic


def run_all(jobs: Iterable[tuple[Callable[..., Any], tuple]], workers: int) -> Iterator[Any]:
    """Yield the results of jobs, (function, arguments), in order, each computed on one thread by one of the workers.

    One thread whatever the number of workers, since sums in floating point depend on how many threads share them.
    """
    calls = (joblib.delayed(_on_one_thread)(function, arguments) for function, arguments in jobs)
    with _interruptions_held_back() if workers > 1 else nullcontext():
        results = joblib.Parallel(
            n_jobs=workers, return_as="generator", max_nbytes="4M", initializer=_keep_bars_private
        )(calls)
    yield from results


@contextmanager
def _interruptions_held_back() -> Iterator[None]:
    # A process that starts meanwhile never gets a Ctrl-C, which a terminal sends to all: it would tell of it at length.
    # It reaches this process, at the latest when the workers have started, and this one ends them.
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # which would let it through again when it starts, in some versions of Python
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _keep_bars_private() -> None:
    # A worker's progress bars, Quantus' among them, would share a lock with other processes by a semaphore, of which
    # Python warns when the worker is killed, as it is at an interruption.
    tqdm.set_lock(threading.RLock())


def _on_one_thread(function: Callable[..., Any], arguments: tuple) -> Any:
    with deterministic(threads=1):
        return function(*arguments)
