"""Only one process writes to an output folder."""

import os

import pytest

from saq_eval import SaqEvalError
from saq_eval.reporting.holding import held


def test_the_second_is_told_who_holds_the_folder(tmp_path):
    folder = tmp_path / "new" / "report"
    with held(folder, join=False) as ours:
        assert ours
        with (
            pytest.raises(SaqEvalError, match=f"report is being written by process {os.getpid()} on .*--join"),
            held(folder, join=False),
        ):
            pass
        with held(folder, join=True) as joined:
            assert not joined
    assert list(folder.iterdir()) == []
    with held(folder, join=True) as again:
        assert again


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(SaqEvalError, match="the output folder .*file/report cannot be written"),
        held(tmp_path / "file" / "report", join=False),
    ):
        pass


def test_who_holds_it_may_be_unknown(tmp_path):
    with held(tmp_path, join=False):
        (tmp_path / ".holder").unlink()
        with pytest.raises(SaqEvalError, match="is being written by another process"), held(tmp_path, join=False):
            pass
