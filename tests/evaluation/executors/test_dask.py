"""Calls on the workers of a Dask cluster."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.core.errors import CannotWrite, SaqEvalWarning
from saq_eval.evaluation.executors import Call, Died
from saq_eval.evaluation.executors import dask as executor_module
from saq_eval.evaluation.executors.dask import dask_executor
from saq_eval.evaluation.executors.dask_local import LocalCluster
from saq_eval.evaluation.shared import share, shared_at
from tests.evaluation.made import make_settings, make_shared


@pytest.fixture(scope="module")
def executor():
    with dask_executor(None, 2) as executor:
        yield executor


def results(executor, calls, place):
    found = dict(executor.run(calls, str(place)))
    return [found[number] for number in range(len(calls))]


def double(place, number):
    time.sleep(0.05)
    return 2 * number, torch.get_num_threads(), os.getpid()


def test_every_call_has_its_result_computed_on_one_thread_in_other_processes(executor, tmp_path):
    found = results(executor, [Call(double, (number,)) for number in range(8)], tmp_path)
    assert [each[:2] for each in found] == [(2 * number, 1) for number in range(8)]
    assert len({each[2] for each in found} - {os.getpid()}) == 2 == executor.workers
    assert results(executor, [], tmp_path) == []


def total(network):
    return sum(parameter.sum().item() for parameter in network.parameters())


def seen(place, identity):
    """Return what a worker's folder holds, what it has read from there, and which file is which."""
    work = shared_at(place)
    names = sorted(path.name for path in Path(place).iterdir() if path.suffix != ".lock")
    return (
        names,
        len(work.test_set),
        total(work.network(identity)),
        str(work.store.folder),
        (Path(place) / "settings").stat().st_mtime_ns,
    )


def test_files_go_to_workers_once_and_only_those_that_a_call_needs(executor, networks, digits, tmp_path):
    shared = make_shared(digits, make_settings(digits, tmp_path / "store"), networks)
    with share(shared, apart=True) as place:
        first = results(executor, [Call(seen, ("b",), ("b",))] * 4, place)
        second = results(executor, [Call(seen, ("d",), ("d",))] * 4, place)
    assert {tuple(each[0]) for each in first} == {("identities", "network-1", "settings", "test_set")}
    assert all("network-3" in each[0] for each in second)
    assert len({each[4] for each in (*first, *second)}) == 1  # both workers share one folder, and write it once
    sums = {key: total(networks[key]) for key in "bd"}
    assert {each[2] for each in first} == {sums["b"]} and {each[2] for each in second} == {sums["d"]}
    assert {each[1] for each in first} == {20} and {each[3] for each in first} == {str(tmp_path / "store")}


def test_a_worker_that_does_not_see_the_store_uses_one_of_its_machine(
    executor, networks, digits, tmp_path, monkeypatch
):
    monkeypatch.setattr(executor_module, "identity_of", lambda folder: "that of another machine's folder")
    shared = make_shared(digits, make_settings(digits, tmp_path / "store"), networks)
    with share(shared, apart=True) as place:
        found = results(executor, [Call(seen, ("a",), ("a",))] * 2, place)
    assert len({each[3] for each in found}) == 1 and Path(found[0][3]).name == "store"
    assert found[0][3] != str(tmp_path / "store")


def fail(place, error):
    raise error


@pytest.mark.parametrize(
    "error",
    [ValueError("one"), SaqEvalError("a sentence"), CannotWrite("a/b", OSError(28, "No space left on device"))],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_raised_as_it_is_and_the_workers_go_on(executor, error, tmp_path):
    calls = [Call(double, (1,)), Call(fail, (error,)), *[Call(double, (2,))] * 4]
    with pytest.raises(type(error)) as raised:
        list(executor.run(calls, str(tmp_path)))
    assert str(raised.value) == str(error)
    assert results(executor, [Call(double, (4,))], tmp_path)[0][0] == 8


def die(place):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_call_whose_workers_are_killed_has_died_and_the_others_are_computed(executor, tmp_path, capfd):
    calls = [Call(double, (number,)) for number in range(6)]
    found = results(executor, [*calls[:3], Call(die), *calls[3:]], tmp_path)
    died = found.pop(3)
    assert isinstance(died, Died) and "killed" in died.reason
    assert [each[0] for each in found] == [0, 2, 4, 6, 8, 10]
    assert capfd.readouterr().err == ""  # Dask's own loggers are silent


def test_nobody_listens_at_an_address(monkeypatch):
    monkeypatch.setattr(executor_module, "_CONNECT", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(SaqEvalError, match=f"no Dask scheduler answers at '{address}'"):
            dask_executor(address, 1)
    with pytest.raises(SaqEvalError, match="no Dask scheduler answers at 'no address'"):
        dask_executor("no address", 1)


def test_a_scheduler_that_is_lost(tmp_path):
    cluster = LocalCluster(0)
    with (
        pytest.warns(SaqEvalWarning, match="no workers yet"),
        dask_executor(cluster.address, 1) as executor,
    ):
        stop = threading.Timer(1, cluster.stop)
        stop.start()
        with pytest.raises(SaqEvalError, match="was lost .*all that is finished is kept"):
            list(executor.run([Call(double, (1,))] * 3, str(tmp_path)))
        stop.join()


def test_a_worker_without_saq_eval_is_said(tmp_path):
    cluster = LocalCluster(0)
    program = (
        "import sys, asyncio; sys.modules['saq_eval'] = None\nfrom distributed import Worker\n"
        "async def work():\n    async with Worker(sys.argv[1], nthreads=1, local_directory=sys.argv[2]) as worker:\n"
        "        await worker.finished()\nasyncio.run(work())"
    )
    bare = subprocess.Popen([sys.executable, "-c", program, cluster.address, str(tmp_path)], stderr=subprocess.DEVNULL)
    try:
        with (
            pytest.warns(SaqEvalWarning),
            dask_executor(cluster.address, 1) as executor,
            pytest.raises(SaqEvalError, match="cannot import saq_eval as it is here.*install the same version"),
        ):
            list(executor.run([Call(double, (1,))], str(tmp_path)))
    finally:
        bare.kill()
        bare.wait()
        cluster.stop()


def test_dask_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SaqEvalError, match=r"pip install 'saq_eval\[dask\]'"):
        dask_executor(None, 1)
