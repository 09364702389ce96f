"""Running jobs in one or more processes."""

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
    """Yield the results of jobs, (function, arguments), in order. A worker computes each job on one thread.

    The number of threads is one for any number of workers, because floating-point sums depend on the number of threads.
    """
    calls = (joblib.delayed(_on_one_thread)(function, arguments) for function, arguments in jobs)
    with _interruptions_held_back() if workers > 1 else nullcontext():
        results = joblib.Parallel(
            n_jobs=workers, return_as="generator", max_nbytes="4M", initializer=_keep_bars_private
        )(calls)
    yield from results


@contextmanager
def _interruptions_held_back() -> Iterator[None]:
    # A terminal sends Ctrl-C to all processes, and each worker would print a traceback. Processes that start inside this
    # context do not get it. This process gets it, at the latest when the workers have started, and ends the workers.
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # else, in some versions of Python, its start would unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _keep_bars_private() -> None:
    # By default, tqdm's progress bars (Quantus has some) share a lock with other processes through a semaphore. Python
    # warns about this semaphore when a worker is killed, for example by Ctrl-C. A lock of the process avoids this.
    tqdm.set_lock(threading.RLock())


def _on_one_thread(function: Callable[..., Any], arguments: tuple) -> Any:
    with deterministic(threads=1):
        return function(*arguments)
