"""Comparisons by Dask, and in parts, give the same bytes as in one process, whatever dies meanwhile."""

import ast
import inspect
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import saq_eval
from saq_eval.comparison import compute_part
from saq_eval.evaluation.executors import dask as dask_module
from saq_eval.evaluation.executors.dask_local import LocalCluster, silence
from saq_eval.evaluation.plan import Plan
from saq_eval.evaluation.store.store import Store
from saq_eval.evaluation.store.upkeep import info
from tests import ROOT
from tests.cli.process import run_in_turn
from tests.test_readme import commands_of

PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")


def sharpness(task):
    """A metric of a user: the greatest value of each map's absolute values, of their sum."""
    maps = abs(task.maps).reshape(len(task.maps), -1)
    return maps.max(axis=1) / maps.sum(axis=1)


def asked():
    def spread(task):  # a closure, which no worker can import
        return task.maps.reshape(len(task.maps), -1).std(axis=1)

    return {
        "models": ["cnn-fp32", "cnn-w2a2"],
        "methods": ["saliency", "input_x_gradient"],
        "metrics": ["PointingGame", "SSIM", sharpness, spread],
        "samples": 8,
        "accuracy_on": 40,
        "progress": False,
    }


def tables(folder):
    found = {path.name: path.read_bytes() for path in sorted(Path(folder).glob("*.csv"))}
    assert len(found) > 5
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    saq_eval.compare("digits", **asked(), output=folder)
    return tables(folder)


@pytest.fixture(scope="module")
def cluster():
    from distributed import Client

    levels = silence()
    cluster = LocalCluster(2)
    with Client(cluster.address, set_as_default=False) as client:
        cluster.wait(client)
    yield cluster
    cluster.stop()
    for logger, level in levels.items():
        logger.setLevel(level)


def by_dask(cluster, output, **more):
    return saq_eval.compare("digits", **asked(), executor="dask", scheduler=cluster.address, output=output, **more)


def entries(folder):
    return {held.kind: held.entries for held in info(Store(Path(folder)))}


def test_a_worker_that_is_killed_in_the_middle_changes_nothing(cluster, alone, tmp_path):
    first = cluster.processes[0]

    def kill():
        while not any((tmp_path / "store" / "cells").glob("??/*.safetensors")):
            time.sleep(0.01)
        os.kill(first.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    run = by_dask(cluster, tmp_path).run
    killer.join()
    assert first.poll() == -signal.SIGKILL and cluster.processes[0] is not first
    assert tables(tmp_path) == alone
    assert sum(run["cells"].values()) == entries(tmp_path / "store")["cells"]  # a cell may have been its last


def test_workers_that_do_not_see_the_store_send_back_what_they_compute(cluster, alone, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_module, "identity_of", lambda folder: "of a folder with the same name elsewhere")
    run = by_dask(cluster, tmp_path).run
    assert tables(tmp_path) == alone
    kept = entries(tmp_path / "store")
    assert run["cells"]["computed"] == kept["cells"] > 0 and kept["logits"] > 0
    part = compute_part(Plan("digits", **asked(), output=tmp_path), 1, 1)
    assert (part.computed, part.stored) == (0, kept["cells"])


PARTS = """
import os
from saq_eval.comparison import compute_part
from saq_eval.evaluation.plan import Plan
from tests.test_clusters import asked

plan, children = Plan("digits", **asked(), store="cells"), []
for number in (1, 2, 3):
    child = os.fork()
    if child == 0:
        part = compute_part(plan, number, 3)
        os._exit(0 if part.computed and not part.failed else 1)
    children.append(child)
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
"""


def test_three_parts_at_once_in_one_store_leave_nothing_to_compute(alone, tmp_path):
    (tmp_path / "parts.py").write_text(PARTS)
    (done,) = run_in_turn([["python", "parts.py"]], cwd=tmp_path)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    after = saq_eval.compare("digits", **asked(), store=tmp_path / "cells", output=tmp_path / "after")
    assert after.run["cells"] == {"computed": 0, "stored": entries(tmp_path / "cells")["cells"]}
    assert tables(tmp_path / "after") == alone


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_pages_cluster_of_one_machine_and_its_parts_give_the_same(tmp_path):
    """The page's own lines, in an empty folder, with a free port instead of Dask's usual one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (by_hand,) = blocks("sh dask")
    assert "8786" in by_hand
    (parts,) = blocks("sh")
    python = f'"{sys.executable}" -m'  # that of the tests; the commands of the environment may be another one's
    head = (
        f'saq-eval() {{ {python} saq_eval "$@"; }}\n'
        f'dask() {{ exec {python} dask "$@" > "dask-$1.log" 2>&1; }}\n'
        "trap 'kill $(jobs -p)' EXIT\n"
    )
    done = subprocess.run(
        ["bash", "-euc", head + by_hand.replace("8786", port)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr + done.stdout
    commands = commands_of(parts)
    assert [words[-2:] for words in commands[:2]] == [["--shard", "1/2"], ["--shard", "2/2"]]
    for each in run_in_turn(commands, cwd=tmp_path):
        assert each.returncode == 0, each.stderr
    assert tables(tmp_path / "reports/dask") == tables(tmp_path / "reports/parts")


def test_the_pages_scripts_call_compare_as_it_is():
    scripts = blocks("python")
    fields = inspect.signature(saq_eval.compare).parameters
    assert [re.search(r"(\w+Cluster)\(", script)[1] for script in scripts] == [
        *("SLURMCluster", "PBSCluster", "KubeCluster")
    ]
    for script in scripts:
        calls = [node for node in ast.walk(ast.parse(script)) if isinstance(node, ast.Call)]
        (compare,) = [call for call in calls if ast.unparse(call.func) == "saq_eval.compare"]
        assert {keyword.arg for keyword in compare.keywords} <= fields.keys()
    assert "--shard" in PAGE and "SLURM_ARRAY_TASK_ID" in PAGE
