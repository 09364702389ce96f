"""The definition of an executor, and the one that computes in this process."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from saq_eval.core.randomness import deterministic


@dataclass(frozen=True)
class Call:
    """A call of a function that depends only on its arguments, on shared data and on the store.

    Attributes:
        function: gets the name of the folder of shared data (see `saq_eval.evaluation.shared.shared_at`) and the arguments.
        arguments: plain data.
        networks: the identities of the networks that the call uses.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    networks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Died:
    """The result of a call whose process has died twice, as when the system ran out of memory.

    Attributes:
        reason: how it has died, as text for a table.
    """

    reason: str


class Executor(ABC):
    """Runs calls, each on one thread. Floating-point sums depend on the number of threads, so results are the same for all.

    Attributes:
        workers: the number of calls that run at once.
        apart: whether calls run in other processes, which read the shared data from files.
    """

    workers: int = 1
    apart: bool = True

    @abstractmethod
    def run(self, calls: Sequence[Call], place: str) -> Iterator[tuple[int, Any]]:
        """Yield each call's number and its result or `Died`, in the order in which they end.

        An error of a call is raised, and the other calls are given up.

        Args:
            place: the folder of the shared data.
        """

    @abstractmethod
    def stop(self) -> None:
        """End the processes at once, with whatever they are doing."""

    @contextlib.contextmanager
    def stops_on_error(self) -> Iterator[None]:
        """End the processes if the context ends by an error, so that none of them still uses what is removed then."""
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Here(Executor):
    """Runs calls in this process, one after the other."""

    apart = False

    def run(self, calls: Sequence[Call], place: str) -> Iterator[tuple[int, Any]]:
        for number, call in enumerate(calls):
            yield number, on_one_thread(call.function, (place, *call.arguments))

    def stop(self) -> None:
        """There are no processes to end."""


def on_one_thread(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call a function with torch on one thread."""
    with deterministic(threads=1):
        return function(*arguments)
