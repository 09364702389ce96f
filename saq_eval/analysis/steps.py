"""The steps from a full-precision network to a quantized one, which findings, tables and charts tell apart."""

from __future__ import annotations

from typing import Literal

StepName = Literal["bits", "further training", "whole"]
# What a network is compared with in each step; the first is what a claim about bits rests on.
STEPS: dict[StepName, str] = {
    "bits": "its parent trained on alike in full precision",
    "further training": "its parent, trained on in full precision",
    "whole": "its baseline, further training included",
}
