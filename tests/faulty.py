"""Commands that a test stops, kills or runs beside each other: forks of a process that has imported everything."""

import contextlib
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from saq_eval.cli import main
from saq_eval.core import plugins
from tests import ROOT
from tests.cli.process import SILENT

WAIT = 1200  # seconds that anything may take on a busy machine


class Server:
    """A process that has imported everything, and whose forks run commands. Imports take longer than a small comparison."""

    def __init__(self):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "LOKY_MAX_CPU_COUNT": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from tests.faulty import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.ask()

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, *arguments, cwd, **environment):
        """Start `saq-eval …`, or a file of Python if there is one argument, in a fork; return it as a `Run`."""
        return Run(self, [str(argument) for argument in arguments], cwd, environment)

    def run(self, *arguments, cwd, **environment):
        """Run a command to its end, and return it."""
        return self.start(*arguments, cwd=cwd, **environment).wait()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(WAIT)


class Run:
    """A command in a fork, the leader of a process group that its workers belong to."""

    def __init__(self, server, arguments, cwd, environment):
        self.server, self.returncode = server, None
        self.said = [Path(tempfile.mkstemp(prefix="said-", dir=cwd.parent)[1]) for _ in range(2)]
        said = [str(path) for path in self.said]
        self.pid = server.ask(start=arguments, cwd=str(cwd), environment=environment, said=said)

    def poll(self):
        """Return the exit code as `subprocess` gives it, `None` while the command runs."""
        if self.returncode is None:
            self.returncode = self.server.ask(poll=self.pid)
        return self.returncode

    def wait(self, until=lambda: False):
        """Wait until the command has ended, or a condition is true."""
        deadline = time.monotonic() + WAIT
        while self.poll() is None and not until():
            assert time.monotonic() < deadline, self.stderr
            time.sleep(0.01)
        return self

    def kill(self, how=signal.SIGKILL, group=False):
        """Send a signal to the command, or to all of its processes."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, how)

    @property
    def workers(self):
        """The processes that compute, by number."""
        return [number for number, _, command in processes_of(self.pid) if "LokyProcess" in command]

    def all_gone(self):
        """Wait until no process of the command is left; tell whether that is so within some seconds."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if all(state == "Z" for _, state, _ in processes_of(self.pid)):
                return True
            time.sleep(0.1)
        return False

    @property
    def stdout(self):
        return self.said[0].read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self):
        return self.said[1].read_text(encoding="utf-8", errors="replace")


def processes_of(group):
    """Return the processes of a group: their numbers, states and command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group:
                found.append((int(folder.name), state, (folder / "cmdline").read_bytes().decode(errors="replace")))
    return found


def serve():
    """Answer a server's requests, each a line of JSON."""
    for module in (
        "saq_eval.comparison",
        "saq_eval.analysis.kept",
        "pyarrow.parquet",
        "quantus",
        "captum.attr",
        "plotly.io",
    ):
        importlib.import_module(module)
    assert not plugins._state["loaded"]
    ended = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            number = request["poll"]
            if number not in ended:
                found, status = os.waitpid(number, os.WNOHANG)
                if found:
                    ended[number] = os.waitstatus_to_exitcode(status)
            answer = ended.get(number)
        elif "start" not in request:  # only asks whether everything is imported
            answer = None
        else:
            answer = os.fork()
            if answer == 0:
                _become(request)
        print(json.dumps(answer), flush=True)


def _become(request):
    """Run a command in this process, and end it as Python would."""
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which may be ignored where the tests run
        for descriptor, path in enumerate(request["said"], 1):
            os.dup2(os.open(path, os.O_WRONLY), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(request["environment"])
        sys.path[:0] = filter(None, request["environment"].get("PYTHONPATH", "").split(os.pathsep))
        tempfile.tempdir = None  # which may be another now
        os.chdir(request["cwd"])
        for category in SILENT:
            import warnings

            warnings.simplefilter("ignore", category)
        code = _run(request["start"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(arguments):
    try:
        if arguments[0].endswith(".py"):
            sys.argv = arguments
            runpy.run_path(arguments[0], run_name="__main__")
        else:
            sys.argv = ["saq-eval", *arguments]
            main()
    except SystemExit as end:
        return end.code or 0
    return 0
