from typing import Annotated, Literal

import pytest
from pydantic import Field

from saq_eval import SaqEvalError
from saq_eval.attribution import find_explainers
from saq_eval.core.specs import Count, defaults, fill_parameters, label, parse_spec, split_specs, stated
from saq_eval.metrics import find_scorers


def blur(image, *, sigma: Annotated[float, Field(gt=0)] = 1.5, mode: Literal["near", "far"] = "near", taps: int = 3):
    """A function with parameters."""


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("a,b", ["a", "b"]),
        (" a , b:x=1,y=2 ,c ", ["a", "b:x=1,y=2", "c"]),
        ("b:x=1,y=2,c:z=3,w=4", ["b:x=1,y=2", "c:z=3,w=4"]),
        (",", []),
        ("", []),
        ("a:x=1:2,b", ["a:x=1:2", "b"]),
    ],
)
def test_split(text, specs):
    assert split_specs(text) == specs


def test_parse():
    assert parse_spec("a") == ("a", {})
    assert parse_spec("a: x = 1 ,y=b") == ("a", {"x": "1", "y": "b"})
    for text in ("a:", "a:x", "a:x=", "a:=1", "a:x=1,,y=2"):
        with pytest.raises(SaqEvalError, match="a parameter is written name=value"):
            parse_spec(text)
    with pytest.raises(SaqEvalError, match="'x' is given twice"):
        parse_spec("a:x=1,x=2")


def test_parameters_are_checked_and_converted():
    assert defaults(blur) == {"sigma": 1.5, "mode": "near", "taps": 3}
    assert fill_parameters("blur", blur, {"sigma": "2", "mode": "far"}) == {"sigma": 2.0, "mode": "far", "taps": 3}
    for given, message in (
        ({"sigma": "0"}, "blur: sigma=0: input should be greater than 0"),
        ({"mode": "middle"}, "blur: mode=middle: input should be 'near' or 'far'"),
        ({"taps": "1.5"}, "blur: taps=1.5: input should be a valid integer"),
        ({"sigmas": "1"}, "unknown parameter of blur 'sigmas'; did you mean 'sigma'"),
    ):
        with pytest.raises(SaqEvalError, match=message):
            fill_parameters("blur", blur, given)


def test_counts_have_a_limit():
    def smooth(*, n_samples: Count = 25):
        """A function that draws."""

    assert fill_parameters("smooth", smooth, {"n_samples": "10000"}) == {"n_samples": 10_000}
    with pytest.raises(SaqEvalError, match="smooth: n_samples=1000000000: input should be less than or equal to 10000"):
        fill_parameters("smooth", smooth, {"n_samples": "1000000000"})


def test_sets_and_names_in_any_case():
    assert [e.label for e in find_explainers(["Quick"])] == [e.label for e in find_explainers(["quick"])]
    assert [s.label for s in find_scorers(["ssim", "SSIM", "pixelflipping:fill=blur"])] == [
        "SSIM",
        "PixelFlipping:fill=blur",
    ]


def test_former_names_go_on_working():
    def hide(image, *, fill: Literal["black", "blur"] = "black"):
        """A function whose parameter was once called `baseline`."""

    def compare(image, *, baseline: int = 1, fill: int = 2):
        """A function that has a parameter of the old name."""

    filled = fill_parameters("hide", hide, {"baseline": "blur"})
    assert filled == {"fill": "blur"} and label("hide", filled, hide) == "hide:fill=blur"
    for given in ({"baseline": "blur", "fill": "black"}, {"fill": "blur", "baseline": "blur"}):
        with pytest.raises(SaqEvalError, match="^hide: baseline is the old name of fill: give one of the two$"):
            fill_parameters("hide", hide, given)
    with pytest.raises(SaqEvalError, match="hide: baseline=white: input should be 'black' or 'blur'"):
        fill_parameters("hide", hide, {"baseline": "white"})
    with pytest.raises(SaqEvalError, match="unknown parameter of blur 'baseline'"):
        fill_parameters("blur", blur, {"baseline": "blur"})
    assert fill_parameters("compare", compare, {"baseline": "3"}) == {"baseline": 3, "fill": 2}


def test_labels_are_read_back():
    filled = fill_parameters("blur", blur, {"taps": 5, "sigma": 1.5, "mode": "far"})
    assert label("blur", filled, blur) == "blur:mode=far,taps=5"
    assert fill_parameters("blur", blur, parse_spec(label("blur", filled, blur))[1]) == filled
    assert label("blur", defaults(blur), blur) == "blur"


def test_parameters_are_stated_as_they_are_given():
    assert stated({"sigma": 2.0, "mode": "far"}) == "sigma=2.0,mode=far" and stated({}) == ""
    given = {"taps": "5", "mode": "far"}
    assert parse_spec(f"blur:{stated(given)}") == ("blur", given)
    assert split_specs(f"blur:{stated(given)},other") == [f"blur:{stated(given)}", "other"]
