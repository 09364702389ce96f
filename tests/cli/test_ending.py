"""A command that is told to end does so, whatever it is doing."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from saq_eval.cli import ending
from saq_eval.cli.ending import GRACE, complain_of_end, ends_when_told, say_what_is_kept
from saq_eval.core.errors import Stopped
from tests import ROOT

TOLD = "saq-eval: stopped; everything is kept\n"


def test_sigterm_raises_what_no_handler_of_errors_catches():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped), ends_when_told():
        assert signal.getsignal(signal.SIGTERM) != before
        signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)  # as a signal would, which also starts the last seconds
    assert signal.getsignal(signal.SIGTERM) == before and not issubclass(Stopped, Exception)


def test_what_was_there_before_is_there_again():
    handler, sent_to = signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)
    threads = threading.active_count()
    with ends_when_told():
        pass
    assert signal.getsignal(signal.SIGTERM) == handler and signal.set_wakeup_fd(sent_to) == -1
    deadline = time.monotonic() + 10
    while threading.active_count() > threads:
        assert time.monotonic() < deadline


def test_another_thread_than_the_main_one_handles_no_signal():
    seen = []
    thread = threading.Thread(
        target=lambda: [seen.append(signal.getsignal(signal.SIGTERM)) for _ in "a" if in_context()]
    )

    def in_context():
        with ends_when_told():
            return True

    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    thread.join()
    assert seen == [before]


def test_one_sentence_says_how_it_ended_and_what_is_kept(capsys):
    with ends_when_told():
        pass
    complain_of_end(143)
    say_what_is_kept("everything is kept")
    complain_of_end(143)
    complain_of_end(130)
    assert capsys.readouterr().err == f"saq-eval: stopped\n{TOLD}saq-eval: interrupted; everything is kept\n"
    ending._kept.clear()


def run(program):
    code = (
        "import hashlib, os, signal, sys, threading, time\nfrom saq_eval.cli import ending\n"
        "from saq_eval.core.errors import Stopped\nending.GRACE = 1.0\n"
        "with ending.ends_when_told():\n  ending.say_what_is_kept('everything is kept')\n"
        f"  threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()\n  {program}\n"
    )
    start = time.monotonic()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    return done, time.monotonic() - start


@pytest.mark.parametrize(
    "program",
    [
        "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",  # minutes outside of Python, as a long pass of a network
        "exec('try: time.sleep(60)\\nfinally: time.sleep(60)')",  # cleaning up takes long
        "exec('try: time.sleep(60)\\nexcept BaseException: time.sleep(60)')",  # somebody catches everything
    ],
    ids=["outside of Python", "cleaning up", "caught"],
)
def test_a_process_that_does_not_end_by_itself_is_ended(program):
    done, seconds = run(program)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", TOLD) and 1.2 < seconds < 30
    assert GRACE < 10


def test_a_process_that_waits_ends_at_once():
    done, _ = run("exec('try: time.sleep(60)\\nexcept Stopped: sys.exit(7)')")
    assert (done.returncode, done.stderr) == (7, "")
