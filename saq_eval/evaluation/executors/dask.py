"""Running calls on the workers of a Dask cluster: one on this machine, or one whose scheduler's address is given."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import uuid
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cloudpickle

from saq_eval.core.errors import SaqEvalError, SaqEvalWarning, first_line
from saq_eval.core.extras import import_extra
from saq_eval.evaluation.executors.base import Call, Died, Executor
from saq_eval.evaluation.executors.dask_local import LocalCluster, silence
from saq_eval.evaluation.executors.dask_worker import Sender, compute, forget, receive, software
from saq_eval.evaluation.shared import files_of, shared_at
from saq_eval.evaluation.store.store import identity_of

_CONNECT, _LEAVE = 10.0, 3.0  # seconds
_PART = 2**24  # bytes of a file that are sent at once
KILLED = "failed: the Dask workers that computed it were killed, which the system does when memory is short"


def dask_executor(scheduler: str | None, workers: int) -> Executor:
    """Return an executor of the workers of a Dask cluster.

    Args:
        scheduler: the address of the cluster's scheduler; `None` for a cluster on this machine.
        workers: the number of worker processes of that.

    Raises:
        SaqEvalError: if Dask is not installed, or no scheduler answers.
    """
    library = import_extra("distributed", "dask", "the executor dask")
    levels = silence()
    cluster = None
    try:
        if scheduler is None:
            cluster = LocalCluster(workers)
        client = _connected(library, cluster.address if cluster is not None else str(scheduler))
        if cluster is not None:
            cluster.wait(client)
        elif not client.scheduler_info(n_workers=-1)["workers"]:
            warnings.warn(
                f"the Dask cluster at {scheduler} has no workers yet: the work begins when the first one comes",
                SaqEvalWarning,
                stacklevel=4,
            )
    except BaseException:
        if cluster is not None:
            cluster.stop()
        raise
    return Dask(library, client, cluster, levels, workers)


def _connected(library: Any, address: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions; those that matter are compared by `compute`
            return library.Client(address, timeout=_CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError, ImportError) as error:
        raise SaqEvalError(
            f"no Dask scheduler answers at {address!r} ({first_line(error)}): an address is such as tcp://10.0.0.1:8786, as "
            "`dask scheduler` prints it, and without one the workers are processes of this machine"
        ) from error


class _Made:
    """A call of `compute` that is made when it is unpickled.

    Dask unpickles a task while it reads a message, and breaks the connection if that fails, as where saq_eval is not
    installed. So a task is `pickle.loads` of bytes, which fails as a task does.
    """

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return compute, self.arguments


class Dask(Executor):
    """Runs calls as tasks of a Dask cluster.

    If a worker dies, Dask runs its calls again on others. A call that Dask has given up then runs alone, once more, since
    another call may have been what the worker died of.

    Args:
        library: the module `distributed`.
        client: a client of it.
        cluster: the cluster, if it is one of this machine.
        levels: the levels of Dask's loggers, which are set again at the end.
    """

    def __init__(
        self, library: Any, client: Any, cluster: LocalCluster | None, levels: dict[Any, int], workers: int
    ) -> None:
        self._library, self._client, self._cluster, self._levels = library, client, cluster, levels
        self.workers = workers
        self._address = client.scheduler.address
        self._senders: dict[str, Sender] = {}  # by folder of shared data
        self._sending: set[asyncio.Task] = set()
        self._stopped = False

    def run(self, calls: Sequence[Call], place: str) -> Iterator[tuple[int, Any]]:
        again = []
        for number, result in self._results(dict(enumerate(calls)), place):
            if isinstance(result, Died):
                again.append(number)
            else:
                yield number, result
        for number in again:
            yield from self._results({number: calls[number]}, place)

    def _results(self, calls: dict[int, Call], place: str) -> Iterator[tuple[int, Any]]:
        with self._lost_as_error():
            futures = {self._submit(call, place): number for number, call in calls.items()}
            ended = self._library.as_completed(list(futures), loop=self._client.loop)
        try:
            while futures:
                with self._lost_as_error():
                    future = next(ended)
                    result = self._result(future)
                number = futures.pop(future)
                future.release()
                yield number, result
        finally:
            ended.clear()
            for future in futures:  # Dask gives up what nobody waits for
                future.release()

    def _submit(self, call: Call, place: str) -> Any:
        sender, files = self._sender(place), files_of(place, call.networks)
        task = pickle.dumps(_Made(sender, files, call.networks, cloudpickle.dumps((call.function, call.arguments))))
        return self._client.submit(pickle.loads, task, key=f"saq_eval-{uuid.uuid4()}", pure=False)

    def _sender(self, place: str) -> Sender:
        if place not in self._senders:
            store = identity_of(shared_at(place).store.folder) if files_of(place, ()) else ""
            sender = self._senders[place] = Sender(uuid.uuid4().hex, software(), store)
            self._client.subscribe_topic(sender.run, lambda event: self._on_request(place, event[1]))
        return self._senders[place]

    def _on_request(self, place: str, request: dict[str, str]) -> None:
        task = asyncio.ensure_future(self._send(place, **request))
        self._sending.add(task)  # a task that nothing refers to may vanish
        task.add_done_callback(self._sending.discard)

    async def _send(self, place: str, name: str, request: str, worker: str) -> None:
        """Send a file of the shared data to a worker that has asked for it, in parts."""
        if name not in files_of(place, list(shared_at(place).networks)):
            return
        run, size = self._senders[place].run, (Path(place) / name).stat().st_size
        with (Path(place) / name).open("rb") as file:
            while data := file.read(_PART):
                last = file.tell() == size
                await self._client.run(receive, run, request, data, last, workers=[worker], on_error="ignore")

    def _result(self, future: Any) -> Any:
        error = future.exception() if future.status == "error" else None
        if isinstance(error, self._library.KilledWorker):
            return Died(KILLED)
        if isinstance(error, SaqEvalError):
            raise error
        if isinstance(error, ImportError | AttributeError) and "saq_eval" in str(error):
            raise SaqEvalError(
                f"a worker of the Dask cluster at {self._address} cannot import saq_eval as it is here "
                f"({first_line(error)}): install the same version on every worker"
            ) from error
        if error is not None:
            raise error
        return future.result()

    @contextlib.contextmanager
    def _lost_as_error(self) -> Iterator[None]:
        try:
            yield
        except SaqEvalError:
            raise
        except Exception as error:
            if self._client.status == "running" and not isinstance(error, asyncio.CancelledError):
                raise
            raise self._lost(error) from error
        except asyncio.CancelledError as error:
            raise self._lost(error) from error

    def _lost(self, error: BaseException) -> SaqEvalError:
        return SaqEvalError(
            f"the Dask scheduler at {self._address} was lost ({first_line(error)}); all that is finished is kept, and the "
            "same command goes on"
        )

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        if self._cluster is None:
            with contextlib.suppress(Exception):  # a cluster that is lost keeps its files
                self._client.sync(self._forget)
        else:
            self._cluster.stop()
        with contextlib.suppress(Exception):
            self._client.close(timeout=_LEAVE)
        for logger, level in self._levels.items():
            logger.setLevel(level)

    async def _forget(self) -> None:
        runs = [sender.run for sender in self._senders.values()]
        await asyncio.wait_for(self._client.run(forget, runs, on_error="ignore"), _LEAVE)
