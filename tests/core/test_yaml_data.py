import datetime
import time

import pytest

from saq_eval import SaqEvalError
from saq_eval.core import yaml_data
from saq_eval.core.yaml_data import plain_data


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("a: 1\nb: [0x10, 1.5, yes, ~]", {"a": 1, "b": [16, 1.5, True, None]}),
        ('{"a": {"b": [1e-3]}}', {"a": {"b": ["1e-3"]}}),  # YAML 1.1 wants a point in a float
        ("a: &x [1, 2]\nb: *x", {"a": [1, 2], "b": [1, 2]}),
        ("a: &x {k: 1}\nb: {<<: *x, l: 2}", {"a": {"k": 1}, "b": {"k": 1, "l": 2}}),
        ("9" * 100, int("9" * 100)),
        ("2020-02-29", datetime.date(2020, 2, 29)),
    ],
)
def test_plain_data(text, data):
    assert plain_data(text) == data


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x" * (4 * 2**20 + 1), "4,194,305 characters, at most 4,194,304"),
        ("9" * 101, "a number has 101 digits, at most 100"),
        ("1" + ":59" * 50 + ".5", "a number has 153 digits"),
        ("[" * 51 + "]" * 51, "more than 50 deep"),
        ("[" + "1," * 200_001 + "]", "more than 200,000 values"),
        ("{" + ",".join(f"{n}: 1" for n in range(1001)) + "}", "more than 1,000 keys"),
        ("a: &a [x, *a]", "with its aliases written out"),
        ("a: &a " + "x" * 3_000_000 + "\nb: *a", "or 4,194,304 characters"),
        ("!!int []", "expected a scalar node"),
        ("!!int ''", "a value does not fit its kind .IndexError"),
        ("!!bool x", "a value does not fit its kind .KeyError"),
        ("2020-02-30", "a value does not fit its kind .ValueError: day is out of range"),
        ("!!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("!" + "t" * 5000 + " x", "…$"),
    ],
)
def test_what_is_too_large_or_no_plain_data_is_refused_with_the_reason(text, reason):
    start = time.process_time()
    with pytest.raises(SaqEvalError, match=reason) as caught:
        plain_data(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert time.process_time() - start < 5


def test_what_is_at_the_limits_is_read():
    assert len(plain_data("[" + "1," * 199_999 + "]")) == 199_999
    assert len(plain_data("{" + ",".join(f"{n}: 1" for n in range(1000)) + "}")) == 1000
    assert plain_data("[" * 50 + "]" * 50)


def test_without_libyaml_the_limits_are_the_same(monkeypatch):
    import importlib

    import yaml

    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    try:
        slow = importlib.reload(yaml_data)
        assert slow._Base is yaml.SafeLoader and slow.plain_data("a: [1]") == {"a": [1]}
        for text in ("[" * 51, "9" * 101, "a: &a [*a]"):
            with pytest.raises(SaqEvalError):
                slow.plain_data(text)
    finally:
        monkeypatch.undo()
        importlib.reload(yaml_data)
