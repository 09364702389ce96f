"""Every module has tests of its own: those of `saq_eval/x/y.py` are in `tests/x/test_y.py`."""

from pathlib import Path

import pytest

import saq_eval

PACKAGE, TESTS = Path(saq_eval.__file__).parent, Path(__file__).parent
MODULES = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py")) if not path.stem.startswith("__")]


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_a_file_of_tests(module):
    tests = TESTS / module.with_name(f"test_{module.name}")
    assert tests.is_file(), f"saq_eval/{module} has no tests: {tests.relative_to(TESTS.parent)} is missing"
    assert "\ndef test_" in tests.read_text(encoding="utf-8"), f"{tests.relative_to(TESTS.parent)} tests nothing"
