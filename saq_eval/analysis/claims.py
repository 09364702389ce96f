"""Tests of claims on the data of a comparison, with results in numbers and plain sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from saq_eval.analysis import statistics
from saq_eval.analysis.questions import NO_PAIR, UNITS, Question, questions_of
from saq_eval.analysis.results import Results
from saq_eval.analysis.wording import Found, beside, in_words, signed

ClaimVerdict = Literal[
    "supported",
    "contradicted",
    "supported, but within the margin",
    "contradicted, but within the margin",
    "negligible",
    "not shown",
    "too few images",
    "",
]


def answer(results: Results) -> list[dict[str, Any]]:
    """Test the claims, and return a row for each claim and group of networks (over all seeds of the group).

    Returns:
        Rows with these fields, among others. `delta` is in `unit`. `ci_low` and `ci_high` are one-sided 95 % limits,
        corrected like the p-values. `p_adjusted` belongs to the claim, `p_opposite` to the opposite of the claim; both are
        one-sided and corrected over the claim's rows. `verdict` is a `ClaimVerdict`, "" if nothing can be measured.
        `margin_in_spreads` is the margin over the standard deviation between retrained networks. `without_low` and
        `without_high` are the range of the difference when one of the methods is left out. `words` is the result as a
        phrase, `text` the result as a sentence.
    """
    questions = questions_of(results)
    found: dict[int, dict[str, Any]] = {}
    for claim in dict.fromkeys(question.claim for question in questions):
        places = [place for place, question in enumerate(questions) if question.claim == claim]
        found |= dict(zip(places, _tested([questions[place] for place in places]), strict=True))
    return [
        {
            "dataset": results.dataset,
            "claim": question.claim,
            "step": question.step,
            "quantity": question.quantity,
            "networks": question.networks,
            "group": question.group,
            "training": question.training,
            "seeds": question.seeds,
            "unit": UNITS[question.quantity],
            "margin": question.margin,
            "margin_in_spreads": question.margin_in_spreads,
            "without_low": question.without[0],
            "without_high": question.without[1],
            **found[place],
        }
        for place, question in enumerate(questions)
    ]


def _tested(questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Test the rows of one claim, with p-values corrected together."""
    nothing = np.full(1, np.nan)
    effects = statistics.compare_paired(
        statistics.padded([question.differences for question in questions]),
        np.array([question.margin for question in questions]),
        np.ones(len(questions), dtype=bool),
        margin=1.0,
        reach=np.array([question.reach for question in questions]),
        retrained=statistics.padded([nothing if q.retrained is None else q.retrained for q in questions]),
        by_retraining=np.array([question.by_retraining for question in questions]),
    )
    estimates = effects.estimates
    family = np.zeros(len(questions), dtype=int)
    lower = np.array([question.lower for question in questions])
    below, above = estimates.below(), estimates.above()
    below_adjusted, above_adjusted = statistics.adjust(below, family), statistics.adjust(above, family)
    # Each limit gets the same correction as the p-value that it belongs to, so that the two never disagree.
    low, _ = estimates.limits(statistics.LEVEL * statistics.correction(above, above_adjusted))
    _, high = estimates.limits(statistics.LEVEL * statistics.correction(below, below_adjusted))
    numbers = {
        "scope": effects.scope,
        "delta": effects.delta,
        "ci_low": low,
        "ci_high": high,
        "p_value": np.where(lower, below, above),
        "p_adjusted": np.where(lower, below_adjusted, above_adjusted),
        "p_opposite": np.where(lower, above_adjusted, below_adjusted),
        "p_equivalence": effects.p_equivalence,
        "retraining_low": effects.retraining_low,
        "retraining_high": effects.retraining_high,
        "retraining": effects.retraining,
    }
    rows = []
    for place, question in enumerate(questions):
        row = {name: values[place] for name, values in numbers.items()}
        row["verdict"] = _verdict(question, row, images=effects.n[place])
        found = Found(
            delta=row["delta"],
            low=row["ci_low"],
            high=row["ci_high"],
            margin=question.margin,
            verdict=row["verdict"],
            quantity=question.quantity,
            lower=question.lower,
            networks_needed=effects.networks_needed[place],
            images_needed=effects.images_needed[place] if question.quantity != "accuracy" else np.nan,
        )
        row["words"] = in_words(found)
        rows.append(row | {"text": _sentence(question, row)})
    return rows


def _verdict(question: Question, row: dict[str, Any], images: int) -> ClaimVerdict:
    same = row["p_equivalence"] < statistics.LEVEL
    if question.unknown == NO_PAIR:
        return ""
    if images < statistics.ENOUGH:
        return "too few images"
    if row["p_adjusted"] < statistics.LEVEL:
        return "supported, but within the margin" if same else "supported"
    if row["p_opposite"] < statistics.LEVEL:
        return "contradicted, but within the margin" if same else "contradicted"
    if same:
        return "negligible"
    return "" if np.isnan(row["p_adjusted"]) else "not shown"


def _sentence(question: Question, row: dict[str, Any]) -> str:
    if row["verdict"] in ("too few images", ""):
        return f"{question.networks}: nothing can be said: {question.unknown}."
    if row["scope"] == "scheme":
        over = f"{question.seeds} seeds"
    else:
        over = "these networks alone" if question.seeds > 1 else "this network alone"
    parts = [f"{question.networks}: {row['words']}", over]
    if not np.isnan(question.without[0]):
        ends = " to ".join(signed(end, 2) for end in question.without)
        parts.append(f"without one of the methods {ends}")
    if not np.isnan(question.margin_in_spreads):
        parts.append(f"the margin is {question.margin_in_spreads:.1f} spreads between retrained networks")
    if row["retraining"] and not question.by_retraining:
        parts.append(beside(row["retraining"]))
    return "; ".join(parts) + "."
