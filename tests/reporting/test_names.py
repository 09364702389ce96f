import pytest

from saq_eval.reporting.names import short, short_names, visible
from tests.reporting.fake_run import HOSTILE


@pytest.mark.parametrize("text", [*HOSTILE, "a\x00b", "\ud800", "\u200bzero", "\u2028", "ﬁne", "木", "🦊"])
def test_visible_texts_have_one_line_and_one_direction(text):
    shown = visible(text)
    assert len(shown) == len(text)
    assert len(shown.splitlines()) == 1
    assert not set(shown) & {"\u202e", "\u200f", "\u2067", "\u200b", "\x00", "\ud800"}
    shown.encode()


def test_plain_texts_stay_as_they_are():
    assert visible("cnn-w4a4, schön, 木, <b>") == "cnn-w4a4, schön, 木, <b>"
    assert short("cnn-w4a4") == "cnn-w4a4"


def test_long_texts_lose_their_middle():
    text = short("begin" + "x" * 200 + "end", 20)
    assert len(text) == 20 and text.startswith("begin") and text.endswith("end") and "…" in text


def test_short_names_stay_apart():
    names = ["x" * 200 + str(place) for place in range(3)] + ["a\n", "a\r", "a\n"]
    shown = short_names(names)
    assert len(shown) == 5 == len(set(shown.values()))
    assert all(len(text) <= 40 for text in shown.values())
