"""The steps from a full-precision network to a quantized one. Findings, tables and charts separate them."""

from __future__ import annotations

from typing import Literal

StepName = Literal["bits", "further training", "whole"]
# The network that a network is compared with in each step. Claims about bits use the first step.
STEPS: dict[StepName, str] = {
    "bits": "its parent trained on alike in full precision",
    "further training": "its parent, trained on in full precision",
    "whole": "its baseline, further training included",
}
