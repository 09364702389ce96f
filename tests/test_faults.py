"""Runs that are killed, stopped or helped go on where they were, and give the same bytes."""

import functools
import os
import random
import signal
import time

import pytest

from tests.faulty import Server

COMPARE = ("compare", "--dataset", "digits", "--models", "cnn-w2a2", "--methods", "saliency,input_x_gradient")
COMPARE += ("--metrics", "PointingGame,PixelFlipping:features_in_step=196,SSIM", "--samples", "8")
COMPARE += ("--accuracy-on", "16", "--quiet", "--output", "report")
GOES_ON = "all that is finished is kept, and the same command goes on\n"


@functools.cache
def server():
    return Server()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """An unbroken run: its tables by name, its seconds, and the names of the files in its store."""
    folder = tmp_path_factory.mktemp("unbroken") / "here"
    folder.mkdir()
    server()
    start = time.monotonic()
    done = server().run(*COMPARE, "--workers", "1", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return tables(folder), time.monotonic() - start, {path.name for path in entries(folder)}


@pytest.fixture
def here(tmp_path):
    """A folder to run in, with the system's temporary files beside it."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def start(here, *more, workers=1):
    temporary = str(here.parent / "temporary")
    return server().start(*COMPARE, "--workers", workers, *more, cwd=here, TMPDIR=temporary)


def tables(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / "report").glob("*.csv"))}


def entries(folder):
    """Return the finished files of the store, with what changes if one is written again."""
    found = {}
    for path in (folder / "report" / "store").rglob("*.safetensors"):
        about = path.stat()
        found[path] = (about.st_ino, about.st_mtime_ns)
    return found


def left_behind(here):
    return [path.name for path in (here.parent / "temporary").iterdir() if path.name.startswith("saq_eval-")]


def check_it_is_whole(here, run, unbroken):
    expected, _, names = unbroken
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert tables(here) == expected and {path.name for path in entries(here)} == names
    assert left_behind(here) == []


class Finished:
    """The files of a store that were finished: none of them may be written again."""

    def __init__(self, here):
        self.here, self.before = here, {}

    def look(self):
        now = entries(self.here)
        assert {path: now.get(path) for path in self.before} == self.before
        self.before = now


def killed_once(here, finished, draw, seconds):
    """Start the run, and kill it soon after it has computed something, or at any moment; return how it ended."""
    run = start(here)
    if draw.random() < 0.75:
        run.wait(until=lambda: len(entries(here)) > len(finished.before))
    moment = time.monotonic() + draw.uniform(0.0, 0.3 * seconds)
    run.wait(until=lambda: time.monotonic() > moment).kill()
    run.wait()
    finished.look()
    return run


@pytest.mark.parametrize("times", [6, pytest.param(14, marks=pytest.mark.validation)])
def test_a_run_that_is_killed_at_random_moments_goes_on(times, here, unbroken):
    draw, kills, reports = random.Random(times), 0, 0
    while kills < times:
        finished, run = Finished(here), None
        while run is None or run.returncode == -signal.SIGKILL:
            run = killed_once(here, finished, draw, unbroken[1])
            kills += run.returncode == -signal.SIGKILL
        check_it_is_whole(here, run, unbroken)
        reports += 1
        (here / "report").rename(here / f"report-{reports}")


@pytest.mark.validation  # the workers import everything anew each time
@pytest.mark.parametrize("whom", ["the group", "the main process", "a worker"])
def test_a_run_with_workers_that_is_killed_at_random_moments_goes_on(whom, here, unbroken):
    draw, finished, kills = random.Random(whom), Finished(here), 0
    while kills < 2:
        run = start(here, workers=2)
        run.wait(until=lambda: len(entries(here)) > len(finished.before))  # the workers compute
        moment = time.monotonic() + draw.uniform(0.0, 1.0)
        run.wait(until=lambda moment=moment: time.monotonic() > moment)
        if whom == "a worker":  # the run itself goes on
            os.kill(run.workers[0], signal.SIGKILL)
            break
        run.kill(group=whom == "the group")
        kills += run.wait().returncode == -signal.SIGKILL
        assert run.all_gone()
        finished.look()
    if whom != "a worker":
        run = start(here)
    run.wait()
    finished.look()
    check_it_is_whole(here, run, unbroken)


@pytest.mark.parametrize(
    ("how", "code", "said"), [(signal.SIGTERM, 143, "stopped"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_run_that_is_stopped_says_so_and_leaves_nobody_behind(how, code, said, here, unbroken):
    finished = Finished(here)
    run = start(here).wait(until=lambda: len(entries(here)) > 8)
    asked = time.monotonic()
    run.kill(how)
    assert (run.wait().returncode, run.stdout, run.stderr) == (code, "", f"saq-eval: {said}; {GOES_ON}")
    assert time.monotonic() - asked < 10 and left_behind(here) == [] and not list(here.rglob(".partial-*"))
    finished.look()
    check_it_is_whole(here, start(here).wait(), unbroken)
    finished.look()


def test_workers_are_stopped_too(here):
    run = start(here, workers=2).wait(until=lambda: len(entries(here)) > 8)
    asked = time.monotonic()
    run.kill(signal.SIGTERM, group=True)  # a cluster tells all processes
    assert (run.wait().returncode, run.stdout, run.stderr) == (143, "", f"saq-eval: stopped; {GOES_ON}")
    assert time.monotonic() - asked < 10 and left_behind(here) == [] and run.all_gone()


def test_the_output_folder_is_one_runs_and_another_may_join(here, unbroken):
    first = start(here).wait(until=lambda: len(entries(here)) > 8)
    first.kill(signal.SIGSTOP)
    second = start(here).wait()
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr.startswith(f"saq-eval: report is being written by process {first.pid} on ")
    assert second.stderr.count("\n") == 1 and "--join" in second.stderr
    finished = Finished(here)
    finished.look()
    third, until = start(here, "--join"), time.monotonic() + 20
    third.wait(until=lambda: len(entries(here)) > len(finished.before) + 3 or time.monotonic() > until)
    first.kill(signal.SIGCONT)
    assert [(run.wait().returncode, run.stderr) for run in (first, third)] == [(0, ""), (0, "")]
    finished.look()
    check_it_is_whole(here, first, unbroken)


def test_what_prune_leaves_is_all_that_the_same_command_needs(here, unbroken):
    check_it_is_whole(here, start(here).wait(), unbroken)
    before = entries(here)
    pruned = server().run("store", "prune", "report", cwd=here)
    assert (pruned.returncode, pruned.stderr) == (0, "")
    left = entries(here)
    again = start(here).wait()
    assert again.returncode == 0 and entries(here) == left and tables(here) == unbroken[0]
    assert before.items() >= left.items()
