"""Processes that share the work."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from tqdm import tqdm

from saq_eval import SaqEvalError
from saq_eval.core.errors import CannotWrite
from saq_eval.evaluation.executors import Call, Died, Here, Processes, processes


def double(place, number):
    return place, 2 * number, torch.get_num_threads()


def results(executor, calls, place):
    with executor:
        found = dict(executor.run(calls, str(place)))
    return [found[number] for number in range(len(calls))]


def test_every_call_has_its_result_computed_on_one_thread(tmp_path):
    calls = [Call(double, (number,)) for number in range(5)]
    expected = [(str(tmp_path), 2 * number, 1) for number in range(5)]
    assert results(Here(), calls, tmp_path) == results(Processes(2), calls, tmp_path) == expected


def fail(place, number):
    if number == 1:
        raise ValueError("one")
    return number


@pytest.mark.parametrize("executor", [Here(), Processes(2)])
def test_an_error_is_raised_and_the_processes_end(executor, tmp_path):
    with pytest.raises(ValueError, match="one"), executor:
        list(executor.run([Call(fail, (number,)) for number in range(3)], str(tmp_path)))
    assert results(executor, [Call(fail, (0,))], tmp_path) == [0]  # and start anew


def die(place, number, times):
    """Kill this process, the first so many times that the call runs."""
    if number == 3:
        before = len(list(Path(place).glob("died-*")))
        if before < times:
            (Path(place) / f"died-{before}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number


def test_a_call_whose_process_is_killed_runs_once_more(tmp_path):
    calls = [Call(die, (number, 1)) for number in range(8)]
    assert results(Processes(2), calls, tmp_path) == list(range(8))
    assert [file.name for file in tmp_path.iterdir()] == ["died-0"]  # no mark is left of what was running


def test_a_call_that_kills_its_process_again_has_died_and_the_others_are_computed(tmp_path):
    found = results(Processes(2), [Call(die, (number, 9)) for number in range(8)], tmp_path)
    assert isinstance(found[3], Died) and "killed twice" in found[3].reason
    assert found[:3] + found[4:] == [0, 1, 2, 4, 5, 6, 7]
    assert len(list(tmp_path.glob("died-*"))) == 2


def die_at_once(parent):
    os.kill(os.getpid(), signal.SIGKILL)


def test_processes_that_never_begin_are_not_started_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "prepare", die_at_once)
    with pytest.raises(SaqEvalError, match="3 times the system killed processes before they computed anything"):
        results(Processes(1), [Call(double, (1,))], tmp_path)


def test_a_call_that_cannot_say_that_it_runs_ends_the_run(tmp_path):
    with pytest.raises(
        CannotWrite, match="running-.* cannot be written: No such file or directory; all that is finished"
    ):
        results(Processes(1), [Call(double, (1,))], tmp_path / "missing")


def test_processes_end_with_the_one_that_started_them(tmp_path):
    program = (
        "import os, pathlib, sys, time\nfrom saq_eval.evaluation.executors import Call, Processes\n"
        "from tests.evaluation.executors.test_processes import wait\n"
        "list(Processes(2).run([Call(wait, (60,))] * 2, sys.argv[1]))"
    )
    main = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    workers: list[int] = []
    while len(workers) < 2:
        time.sleep(0.1)
        workers = [int(file.name.partition("-")[2]) for file in tmp_path.glob("worker-*")]
        assert main.poll() is None
    main.kill()
    main.wait()
    end = time.monotonic() + 10
    while any(_runs(pid) for pid in workers):
        assert time.monotonic() < end
        time.sleep(0.1)


def wait(place, seconds):
    (Path(place) / f"worker-{os.getpid()}").touch()
    time.sleep(seconds)


def _runs(pid):
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


_held: list[bytes] = []


def grow(place, size, seconds):
    """Keep so many bytes more in this process, and return its number."""
    _held.append(b"1" * size)
    time.sleep(seconds)
    return os.getpid()


def test_a_process_that_keeps_much_for_its_next_calls_goes_on(tmp_path):
    calls = [Call(grow, (size, seconds)) for size, seconds in ((1, 0), (400_000_000, 1.1), (1, 0), (1, 0))]
    assert len(set(results(Processes(1), calls, tmp_path))) == 1


def _semaphores(place):
    with patch("multiprocessing.resource_tracker.register") as register:
        list(tqdm(range(2), disable=True))
    return [call.args for call in register.call_args_list]


def test_workers_bars_hold_no_semaphore_that_a_killed_worker_would_leave(tmp_path):
    assert results(Processes(2), [Call(_semaphores)] * 4, tmp_path) == [[]] * 4


def blocked(place):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_worker_never_sees_an_interruption(tmp_path):
    program = (
        "import signal, sys\nfrom saq_eval.evaluation.executors import Call, Processes\n"
        "from tests.evaluation.executors.test_processes import blocked\n"
        "with Processes(2) as executor:\n"
        "    masks = [mask for _, mask in executor.run([Call(blocked)] * 4, sys.argv[1])]\n"
        "print(masks, signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    )  # in a process that has started no other yet
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True, True, True] False\n"
