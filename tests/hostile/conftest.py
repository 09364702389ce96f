"""Folders for commands on hostile input."""

import sys

import pytest

import saq_eval.comparison
import saq_eval.panel  # noqa: F401  # commands import what they need, which is not to count as their time


@pytest.fixture
def here(tmp_path):
    """The working directory of a command, inside a folder that is looked at too."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture(scope="module")
def below(tmp_path_factory):
    """The same for the examples of hypothesis: each makes a folder of its own below."""
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Forget the modules called `strange…` that a test's commands import, and where they were."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.startswith("strange")]:
        del sys.modules[name]
