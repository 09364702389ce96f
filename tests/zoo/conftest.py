"""A small zoo, and changes of its cards."""

import shutil

import pytest

from tests import BUILTIN


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A zoo of its own with two digits models in place of the built-in one."""
    for name in ("cnn-fp32", "cnn-w2a2"):
        shutil.copytree(BUILTIN / "digits" / name, tmp_path / "zoo" / "digits" / name)
    monkeypatch.setattr("saq_eval.zoo.finding.builtin_zoo", lambda: tmp_path / "zoo")
    return tmp_path / "zoo"
