"""The wording of findings: one phrase for a result, with the part of it that is certain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_UNITS: dict[str, tuple[int, str, int, str, str]] = {  # factor, unit, digits, the words for less and for more
    "accuracy": (100, " points", 2, "lower", "higher"),
    "interpretability": (1, " SD", 2, "lower", "higher"),
    "similarity": (100, " %", 1, "less alike", "more alike"),
}


OPPOSITE = "the opposite: "


@dataclass(frozen=True)
class Found:
    """The result of a test, to be put into words.

    Attributes:
        delta, low, high: the difference and its limits, in the quantity's unit.
        margin: differences up to this size do not matter.
        verdict: the verdict on the claim; see `saq_eval.analysis.claims.answer`.
        quantity: "accuracy", "interpretability" or "similarity".
        lower: whether the claim is that the difference is below 0.
        networks_needed, images_needed: how many would decide; NaN if it is not known.
    """

    delta: float
    low: float
    high: float
    margin: float
    verdict: str
    quantity: str
    lower: bool
    networks_needed: float = np.nan
    images_needed: float = np.nan


def in_words(found: Found) -> str:
    """Return a result as a phrase; "" if nothing can be said.

    Examples: "lower, by at least 0.82 points"; "within ±0.5 points"; "lower, but within ±0.5 points"; "the opposite:
    higher, by at least 0.1 SD"; "undecided: anywhere from −0.1 to +0.3 SD; about 7 seeds or 260 images would decide".
    """
    factor, unit, digits, less, more = _UNITS[found.quantity]
    margin = f"within ±{factor * found.margin:.{digits}g}{unit}"
    if found.verdict in ("", "too few images"):
        return ""
    if found.verdict == "negligible":
        return margin
    if found.verdict == "not shown":
        ends = f"{signed(factor * found.low, digits)} to {signed(factor * found.high, digits)}{unit}"
        return f"undecided: anywhere from {ends}{_needed(found)}"
    claimed = found.verdict.startswith("supported")
    goes_down = claimed == found.lower
    direction = less if goes_down else more
    opposite = "" if claimed else OPPOSITE
    if found.verdict.endswith("within the margin"):
        return f"{opposite}{direction}, but {margin}"
    nearest = -found.high if goes_down else found.low
    return f"{opposite}{direction}, by at least {factor * nearest:.{digits}f}{unit}"


def in_a_word(verdict: str, delta: float, quantity: str) -> str:
    """Return only a finding's direction: "lower", "lower, within the margin", "same", "undecided" or "–"."""
    if verdict.startswith(("supported", "contradicted")):
        *_, less, more = _UNITS[quantity]
        direction = less if delta < 0 else more
        return f"{direction}, within the margin" if verdict.endswith("within the margin") else direction
    return {"negligible": "same", "not shown": "undecided"}.get(verdict, "–")


def _needed(found: Found) -> str:
    ways = [
        f"{number:.0f} {name}"
        for number, name in ((found.networks_needed, "seeds"), (found.images_needed, "images"))
        if np.isfinite(number)
    ]
    return f"; about {' or '.join(ways)} would decide" if ways else ""


def signed(number: float, digits: int = 2) -> str:
    """Return a number with its sign; the minus sign is "−", not a hyphen."""
    return f"{number:+z.{digits}f}".replace("-", "−")


def beside(retraining: str) -> str:
    """Return a phrase that says that a difference is within, or beyond, what retraining does."""
    return f"{retraining} what retraining does"
