"""The steps from a full-precision network to a quantized one. Findings, tables and charts separate them."""

from __future__ import annotations

from typing import Literal

StepName = Literal["bits", "further training", "whole", "change"]
# The network that a network is compared with in each step. Claims about bits use the first step. A network that was
# quantized without further training is compared with its parent in the first step, and has no other.
STEPS: dict[StepName, str] = {
    "bits": "its full-precision parent, trained on alike",
    "further training": "its parent, trained on in full precision",
    "whole": "its baseline, further training included",
    "change": "its baseline, however made",
}
