"""A zoo to train into."""

import pytest


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """An empty zoo in place of the built-in one."""
    (tmp_path / "zoo").mkdir()
    monkeypatch.setattr("saq_eval.zoo.finding.builtin_zoo", lambda: tmp_path / "zoo")
    return tmp_path / "zoo"


@pytest.fixture
def untrainable(monkeypatch):
    """Training that must not be reached."""
    monkeypatch.setattr("saq_eval.studies.driver.fit", lambda *_: pytest.fail("training began"))
