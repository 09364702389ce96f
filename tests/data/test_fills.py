"""What stands in for hidden pixels."""

import pytest
import torch

from saq_eval.data.fills import fill_images


def test_fills(digits):
    images = digits.images[:6]
    assert (fill_images(images, "black") == 0).all()
    torch.testing.assert_close(fill_images(images, "mean")[2], torch.full((1, 28, 28), images[2].mean().item()))
    blurred = fill_images(images, "blur")
    assert blurred.std() < 0.7 * images.std() and blurred.mean() == pytest.approx(images.mean().item(), abs=0.02)
