import sys

import pytest

from saq_eval import SaqEvalError
from saq_eval.core.extras import import_extra


def test_an_installed_package_is_imported():
    assert import_extra("json.decoder", "json", "a test").JSONDecoder().decode("[1]") == [1]


def test_the_message_says_how_to_install_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # Python's way to say that a module is not there
    with pytest.raises(SaqEvalError, match="a network of timm needs the package timm"):
        import_extra("timm", "timm", "a network of timm")
    with pytest.raises(SaqEvalError, match=r"no_such_package, which is not installed: pip install 'saq_eval\[some\]'"):
        import_extra("no_such_package.part", "some", "a test")


def test_a_package_that_fails_is_named(tmp_path, monkeypatch):
    (tmp_path / "package_that_fails.py").write_text("raise OSError('no library')")
    (tmp_path / "package_that_lacks.py").write_text("import another_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SaqEvalError, match="package_that_fails, which cannot be imported: OSError: no library"):
        import_extra("package_that_fails", "x", "a test")
    with pytest.raises(SaqEvalError, match="package_that_lacks, .* No module named 'another_that_is_not_there'"):
        import_extra("package_that_lacks", "x", "a test")
