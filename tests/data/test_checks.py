"""What is wrong with images, in words; all sentences about a dataset stand in test_images.py."""

import pytest
import torch

from saq_eval.data.checks import is_int64, kind_of, label_problems, outside
from tests.data.made import made


def test_labels_of_images_that_are_read_one_by_one_are_checked_alike():
    images = made()
    assert list(label_problems(images, len(images))) == []
    assert next(label_problems(images, len(images) + 1)).startswith("labels are an int64 tensor")


@pytest.mark.parametrize(("low", "high", "hint"), [(0, 255, "; divide by 255"), (0, 300, ""), (-1, 1, "")])
def test_pixels_that_may_be_bytes_are_told_to_be(low, high, hint):
    assert outside(low, high) == f"pixels lie in [0, 1], not between {low} and {high}{hint}"


def test_kinds_are_short():
    assert kind_of(torch.zeros(2, 3)) == "torch.float32 (2, 3)" and kind_of([1]) == "[1]"
    assert is_int64(torch.tensor([1, 2]), 2) and not is_int64(torch.tensor([1, 2]), 3) and not is_int64([1, 2], 2)
