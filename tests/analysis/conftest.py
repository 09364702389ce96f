"""A comparison made by hand."""

from functools import partial

import pytest

from tests.analysis import made


@pytest.fixture
def make_grid(digits, tmp_path):
    """Build a filled grid; see `tests.analysis.made.make_grid`, whose first two arguments are given."""
    return partial(made.make_grid, digits, tmp_path)
