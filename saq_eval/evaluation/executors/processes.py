"""Running calls in several processes of this machine (loky), and what happens when one of them is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from loky import ProcessPoolExecutor
from tqdm import tqdm

from saq_eval.core.errors import CannotWrite, SaqEvalError
from saq_eval.evaluation.executors.base import Call, Died, Executor, on_one_thread

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# Loky takes growth by 300 MB for a leak, and starts the worker anew. But a worker keeps what its next calls need.
_KEPT = {"LOKY_MAX_MEMORY_LEAK_SIZE": "1e18"}
_STARTS = 3  # so many times in a row, processes may die before they compute
_RUNNING = "running-"  # files in the shared folder: what each worker is doing
KILLED = "failed: its process was killed twice, which the system does when memory is short"


class Processes(Executor):
    """Runs calls in processes of this machine, which start when the first call comes.

    If a process is killed, all of them are started anew. Each call that was running then runs alone, once more.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def run(self, calls: Sequence[Call], place: str) -> Iterator[tuple[int, Any]]:
        left, idle_deaths = dict(enumerate(calls)), 0
        while left:
            try:
                for number, result in self._results(left, place):
                    del left[number]
                    idle_deaths = 0
                    yield number, result
            except BrokenProcessPool as error:
                self.stop()
                killed = self._were_running(left, place)
                idle_deaths = 0 if killed else idle_deaths + 1
                if idle_deaths == _STARTS:
                    raise SaqEvalError(
                        f"{_STARTS} times the system killed processes before they computed anything, as it does when memory is "
                        "short: ask for fewer workers"
                    ) from error
                yield from self._alone({number: left.pop(number) for number in killed}, place)

    def _results(self, calls: dict[int, Call], place: str) -> Iterator[tuple[int, Any]]:
        if self._pool is None:
            self._pool = _pool(self.workers)
        with _interruptions_held_back():
            futures = {
                self._pool.submit(_marked, place, number, call.function, call.arguments): number
                for number, call in calls.items()
            }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            self.stop()  # with the other calls; loky fails to end processes whose calls were cancelled one by one
            raise

    def _were_running(self, calls: dict[int, Call], place: str) -> list[int]:
        """Return the numbers of the calls that were running when a process was killed, and forget them."""
        marks = list(Path(place).glob(f"{_RUNNING}*"))
        numbers = {int(mark.read_text() or -1) for mark in marks}
        for mark in marks:
            mark.unlink(missing_ok=True)
        return sorted(numbers & calls.keys())

    def _alone(self, calls: dict[int, Call], place: str) -> Iterator[tuple[int, Any]]:
        """Run calls one after the other in one process, which starts anew if it is killed; a result is `Died` then."""
        pool: ProcessPoolExecutor | None = None
        try:
            for number, call in calls.items():
                with _interruptions_held_back():
                    pool = pool or _pool(1)
                    future = pool.submit(_marked, place, number, call.function, call.arguments)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    pool.shutdown(kill_workers=True)
                    pool, result = None, Died(KILLED)
                    self._were_running(calls, place)
                yield number, result
        finally:
            if pool is not None:
                pool.shutdown(kill_workers=True)

    def stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(kill_workers=True)
            self._pool = None


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, initializer=prepare, initargs=(os.getpid(),), env=ONE_THREAD | _KEPT)


def _marked(place: str, number: int, function: Any, arguments: tuple[Any, ...]) -> Any:
    mark = Path(place) / f"{_RUNNING}{os.getpid()}"
    try:
        mark.write_text(str(number))
    except OSError as error:
        raise CannotWrite(mark, error) from error
    try:
        return on_one_thread(function, (place, *arguments))
    finally:
        mark.unlink(missing_ok=True)


@contextmanager
def _interruptions_held_back() -> Iterator[None]:
    # A terminal sends Ctrl-C to all processes, and each worker would print a traceback. A cluster may send SIGTERM to all, and
    # killed workers would be started anew. Processes that start inside this context get neither. This process gets them, at
    # the latest when the workers have started, and ends the workers.
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # else, in some versions of Python, its start would unblock SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prepare(parent: int) -> None:
    """Prepare a process that works for another one, its parent, and ends with it."""
    # By default, tqdm's progress bars (Quantus has some) share a lock with other processes through a semaphore. Python
    # warns about this semaphore when a worker is killed, for example by Ctrl-C. A lock of the process avoids this.
    tqdm.set_lock(threading.RLock())
    os.dup2(2, 1)  # what networks print is not the command's output, which programs read
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent has been killed, since nobody waits for its results."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
