from pathlib import Path

import pytest

from saq_eval import SaqEvalError
from saq_eval.core.paths import check_file, check_name, user_path


def test_the_home_folder_is_filled_in(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert user_path("~/zoo") == user_path(Path("~/zoo")) == Path("/somewhere/zoo")
    assert user_path("zoo") == Path("zoo")
    with pytest.raises(SaqEvalError, match="^~nobody-of-that-name/zoo: "):
        user_path("~nobody-of-that-name/zoo")
    with pytest.raises(SaqEvalError, match="a path is a text, not 7"):
        user_path(7)


@pytest.mark.parametrize("name", ["a", "cnn-w2a2", "My.net_3", "x" * 100])
def test_names(name):
    check_name("model", name)


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "_a", "a b", "a/b", "../x", "ä", "a\n", "x" * 101, None, 7])
def test_what_is_no_name(name):
    with pytest.raises(SaqEvalError, match="^a model's name has up to 100 letters, .* not "):
        check_name("model", name)


def test_a_file_is_looked_at_before_it_is_read(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 2**21)
    check_file(file, "cannot be read", most_bytes=2**21)
    for path, message in (
        (tmp_path / "missing", "missing: cannot be read: No such file"),
        (tmp_path, "cannot be read: it is a folder, not a file"),
        (Path("/dev/zero"), "cannot be read: it is a device or a pipe, not a file"),
        (tmp_path / "a\0b", "cannot be read: embedded null byte"),
    ):
        with pytest.raises(SaqEvalError, match=message):
            check_file(path, "cannot be read", most_bytes=2**21)
    with pytest.raises(SaqEvalError, match="cannot be read: it has 2 MiB, at most 1 may be"):
        check_file(file, "cannot be read", most_bytes=2**20)
