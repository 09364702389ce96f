"""A Dask cluster on this machine: a scheduler in this process, and workers in others, which are replaced when they die."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.extras import import_extra
from saq_eval.evaluation.executors.processes import ONE_THREAD, prepare

_START = f"from {__name__} import run_worker; import sys; run_worker(*sys.argv[1:])"
_LOOK = 0.2  # seconds between two looks at whether workers live
_NOISY = ("distributed", "tornado")
_SETTINGS = {
    "distributed.scheduler.worker-saturation": 1.0,  # a worker that dies takes no waiting calls with it
    "distributed.scheduler.worker-ttl": None,  # a long computation may keep a worker from telling that it lives
    "distributed.worker.profile.enabled": False,
}


class LocalCluster:
    """A scheduler and worker processes of one thread each.

    The workers are no children of `multiprocessing`, which would run a user's script again in each. A terminal's Ctrl-C does
    not reach them, and they end with this process, however it ends.

    Attributes:
        address: the scheduler's address.
    """

    def __init__(self, workers: int) -> None:
        self._stopped = threading.Event()
        self._folder = tempfile.TemporaryDirectory(prefix="saq_eval-", ignore_cleanup_errors=True)
        with _configured(self._folder.name) as library:
            self._cluster = library.LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",  # a free port
                silence_logs=False,
                # A call whose worker dies fails at once, and `Dask` tries it once more by itself.
                scheduler_kwargs={"dashboard": False, "allowed_failures": 0},
            )
        self.address = self._cluster.scheduler_address
        self.processes = [self._start() for _ in range(workers)]
        self._watch = threading.Thread(target=self._replace_dead, daemon=True)

    def _start(self) -> subprocess.Popen:
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        return subprocess.Popen(
            [sys.executable, "-c", _START, self.address, self._folder.name, str(os.getpid())],
            stdin=subprocess.DEVNULL,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
            start_new_session=True,
        )

    def wait(self, client: Any) -> None:
        """Wait until all workers have started, and watch them from then on.

        Raises:
            SaqEvalError: if one of them ends instead.
        """
        while len(client.scheduler_info(n_workers=-1)["workers"]) < len(self.processes):
            if any(process.poll() is not None for process in self.processes):
                raise SaqEvalError("a Dask worker of this machine has ended while it started; use executor processes")
            self._stopped.wait(_LOOK / 4)
        self._watch.start()

    def _replace_dead(self) -> None:
        while not self._stopped.wait(_LOOK):
            for place, process in enumerate(self.processes):
                if process.poll() is not None:
                    self.processes[place] = self._start()

    def stop(self) -> None:
        """End the workers at once, and the scheduler."""
        self._stopped.set()
        if self._watch.is_alive():
            self._watch.join()
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        with contextlib.suppress(Exception):  # whatever Dask has left to say
            self._cluster.close(timeout=2)
        self._folder.cleanup()


@contextlib.contextmanager
def _configured(folder: str) -> Iterator[Any]:
    """Use Dask's settings for a cluster on this machine, which writes into a folder; yield the module `distributed`."""
    library = import_extra("distributed", "dask", "the executor dask")  # first, since it adds its settings
    with import_extra("dask", "dask", "the executor dask").config.set({**_SETTINGS, "temporary-directory": folder}):
        yield library


def run_worker(address: str, folder: str, parent: str) -> None:
    """Be a worker until the scheduler ends, or the process that has started this one; see `LocalCluster`."""
    prepare(int(parent))
    importlib.import_module("saq_eval.evaluation.executors.dask_worker")  # now, and not in the first call

    async def work() -> None:
        with _configured(folder) as library:
            silence()
            options = {"nthreads": 1, "memory_limit": 0, "local_directory": folder, "dashboard": False}
            async with library.Worker(address, **options) as worker:
                await worker.finished()

    with contextlib.suppress(OSError, TimeoutError):  # the scheduler has ended meanwhile
        asyncio.run(work())


def silence() -> dict[logging.Logger, int]:
    """Let Dask write nothing to the terminal; return the levels of its loggers before."""
    names = [name for name in logging.root.manager.loggerDict if name.partition(".")[0] in _NOISY]
    loggers = [logging.getLogger(name) for name in (*_NOISY, *names)]
    before = {logger: logger.level for logger in loggers}
    for logger in before:
        logger.setLevel(logging.CRITICAL + 1)
    return before
