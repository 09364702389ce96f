"""A Dask cluster on this machine."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

from saq_eval.evaluation.executors.dask_local import LocalCluster, silence


def runs(pid):
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


# A script as users write them: nothing guards it from being run again by the workers.
SCRIPT = """
import os, sys, time
from distributed import Client
from saq_eval.evaluation.executors.dask_local import LocalCluster, silence

silence()
cluster = LocalCluster(1)
with Client(cluster.address) as client:
    cluster.wait(client)
    print(cluster.processes[0].pid, os.getpid(), client.submit(os.getcwd).result(), flush=True)
time.sleep(60)
"""


def test_workers_end_with_the_process_that_started_them_and_do_not_run_its_script(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    main = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    worker, own, folder = main.stdout.readline().split()
    assert int(own) == main.pid and folder == str(tmp_path) and runs(int(worker))
    main.kill()
    wait_for(lambda: not runs(int(worker)), 30)
    assert main.communicate() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]  # Dask's files are elsewhere


def test_a_cluster_ends_at_once_and_leaves_nothing():
    cluster = LocalCluster(1)
    process, folder = cluster.processes[0], cluster._folder.name
    start = time.monotonic()
    cluster.stop()
    assert time.monotonic() - start < 5 and not runs(process.pid) and not os.path.exists(folder)


def test_silence_says_the_levels_before():
    logger = logging.getLogger("distributed.some_part")
    logger.setLevel(logging.INFO)
    before = silence()
    assert before[logger] == logging.INFO and not logger.isEnabledFor(logging.CRITICAL)
    for each, level in before.items():
        each.setLevel(level)
    assert logger.isEnabledFor(logging.INFO)
