"""What robustness asks of a method."""

import numpy as np
import pytest

from tests.metrics.quantus.conftest import score


@pytest.mark.parametrize(
    "name", ["MaxSensitivity", "AvgSensitivity", "LocalLipschitzEstimate", "Continuity", "RelativeInputStability"]
)
def test_random_methods_see_the_same_noise_again(name, noisy):
    np.testing.assert_allclose(score(name, noisy), 0, atol=1e-9)
