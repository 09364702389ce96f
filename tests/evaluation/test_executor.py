"""Processes that share the work."""

import subprocess
import sys
from unittest.mock import patch

import torch
from joblib.externals.loky import get_reusable_executor
from tqdm import tqdm

from saq_eval.evaluation.executor import run_all


def double(number):
    return 2 * number, torch.get_num_threads()


def test_results_come_in_the_jobs_order_each_on_one_thread():
    jobs = [(double, (number,)) for number in range(5)]
    assert list(run_all(jobs, workers=1)) == list(run_all(jobs, workers=2)) == [(2 * n, 1) for n in range(5)]


def _semaphores():
    with patch("multiprocessing.resource_tracker.register") as register:
        list(tqdm(range(2), disable=True))
    return [call.args for call in register.call_args_list]


def test_workers_bars_hold_no_semaphore_that_a_killed_worker_would_leave():
    get_reusable_executor().shutdown()  # with the workers of other tests, whose bars have been there
    assert list(run_all([(_semaphores, ())] * 4, workers=2)) == [[]] * 4


def test_a_worker_never_sees_an_interruption():
    program = (
        "import signal\nfrom saq_eval.evaluation.executor import run_all\n"
        "masks = run_all([(signal.pthread_sigmask, (signal.SIG_BLOCK, ()))] * 4, workers=2)\n"
        "print([signal.SIGINT in mask for mask in masks], signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    )  # in a process that has started no other yet
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True, True, True] False\n"
