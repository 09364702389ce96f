import itertools
from typing import get_args

import pytest

from saq_eval.analysis.statistics import Verdict
from saq_eval.reporting.figures import looks
from saq_eval.reporting.verdicts import SIMILARITY_MEANINGS, VERDICTS


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_dark_text_is_read_on_every_verdict():
    assert all(contrast(look.colour, "#14171a") >= 7 for look in VERDICTS.values())
    assert len({look.sign for look in VERDICTS.values()}) == len(VERDICTS)
    assert len({look.colour for look in VERDICTS.values()}) == len(VERDICTS)


def test_every_verdict_has_looks():
    assert set(VERDICTS) == set(get_args(Verdict)) - {""} | {"mixed"}
    assert set(SIMILARITY_MEANINGS) < set(VERDICTS)


@pytest.mark.parametrize("plain", ["worse", "better"])
def test_a_difference_within_the_margin_is_a_paler_shade_on_which_dark_text_is_read(plain):
    within, full = VERDICTS[f"{plain}, but within the margin"], VERDICTS[plain]
    assert contrast(within.colour, "#14171a") >= 7
    assert luminance(within.colour) > luminance(full.colour)
    shades = [[int(look.colour[place : place + 2], 16) for place in (1, 3, 5)] for look in (within, full)]
    assert sorted(range(3), key=shades[0].__getitem__) == sorted(range(3), key=shades[1].__getitem__), "of one hue"


def test_schemes_are_seen_on_both_grounds():
    assert all(contrast(colour, ground) >= 3 for colour in looks.COLOURS for ground in ("#ffffff", "#14171a"))


# Machado, Oliveira and Fernandes 2009, severity 1: what people without red, green or blue cones see.
_BLINDNESS = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def lab(colour: str, matrix) -> list[float]:
    from skimage.color import rgb2lab

    rgb = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb]
    seen = [min(1, max(0, sum(m * part for m, part in zip(row, linear, strict=True)))) for row in matrix]
    coded = [12.92 * part if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055 for part in seen]
    return rgb2lab([[coded]])[0, 0]


@pytest.mark.parametrize("blindness", _BLINDNESS)
def test_verdicts_that_oppose_each_other_are_told_apart_by_the_colour_blind(blindness):
    matrix = _BLINDNESS[blindness]
    pairs = list(itertools.combinations(("worse", "better", "undecided"), 2))
    pairs += [(word, f"{word}, but within the margin") for word in ("worse", "better")]
    pairs.append(tuple(f"{word}, but within the margin" for word in ("worse", "better")))
    for one, other in pairs:
        distance = (
            sum(
                (a - b) ** 2
                for a, b in zip(lab(VERDICTS[one].colour, matrix), lab(VERDICTS[other].colour, matrix), strict=True)
            )
            ** 0.5
        )
        assert distance > 12, (one, other)
