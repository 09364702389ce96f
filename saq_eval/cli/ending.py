"""How a command ends when it is told to: by Ctrl-C, or by SIGTERM, which a cluster's scheduler sends before it kills."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from types import FrameType

from saq_eval.cli.console import complain
from saq_eval.core.errors import Stopped

GRACE = 8.0  # seconds that a command has to end after SIGTERM, before its process is ended
STOPPED, INTERRUPTED = 128 + signal.SIGTERM, 128 + signal.SIGINT  # exit codes, as a shell gives them

_kept: list[str] = []  # what the running command keeps


def say_what_is_kept(text: str) -> None:
    """Set what is said about the running command's work if the command is stopped."""
    _kept[:] = [text]


def complain_of_end(code: int) -> None:
    """Print one sentence that the command was stopped or interrupted, and what is kept."""
    complain("; ".join(["stopped" if code == STOPPED else "interrupted", *_kept]))


@contextlib.contextmanager
def ends_when_told() -> Iterator[None]:
    """Raise `Stopped` in the context when SIGTERM arrives.

    If the process has not ended `GRACE` seconds later, because it computes outside of Python or waits for something, it is
    ended at once. What is in the store is complete at any moment.
    """
    _kept.clear()
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield  # only the main thread may handle signals; Windows has no SIGTERM
        return

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Stopped

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = signal.signal(signal.SIGTERM, stop)
    # A handler in Python waits until Python code runs in the main thread. The number of a signal is sent at once.
    sent_to = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_end_later, args=(ours,), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(sent_to)
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
        theirs.close()


def _end_later(signals: socket.socket) -> None:
    """End this process `GRACE` seconds after SIGTERM; return when the context has ended without one."""
    with signals:
        while number := signals.recv(1):
            if number[0] == signal.SIGTERM:
                time.sleep(GRACE)
                complain_of_end(STOPPED)
                os._exit(STOPPED)
