"""The look of verdicts: one colour, one sign and one meaning for each, in charts, tables and text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """A verdict's look.

    Attributes:
        colour: a background colour, different from the others with all common kinds of colour blindness (after Okabe and
            Ito), with a contrast above 7 to dark text.
        sign: identifies the verdict without colour.
        meaning: half a sentence.
    """

    colour: str
    sign: str
    meaning: str


VERDICTS = {
    "worse": Verdict("#f2a97c", "▼", "worse than what it is compared with, beyond chance"),
    "better": Verdict("#86bdea", "▲", "better, beyond chance"),
    "worse, but within the margin": Verdict("#fadfcd", "▽", "worse beyond chance, by less than matters"),
    "better, but within the margin": Verdict("#d3e7f8", "△", "better beyond chance, by less than matters"),
    "negligible": Verdict("#c9e4c5", "=", "the same within the margin"),
    "undecided": Verdict("#dfe3e8", "·", "neither a difference nor sameness can be shown"),
    "too few images": Verdict("#f4efdc", "?", "too few images have a score: none is given"),
    "mixed": Verdict("#e9d8f4", "±", "no verdict holds for half of the methods"),
}
SIMILARITY_MEANINGS = {
    "worse": "the maps differ from the baseline's more than retraining with another seed makes them differ",
    "better": "they differ less than that",
    "negligible": "they are practically the same maps",
}
