from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ConfigDict

from saq_eval import SaqEvalError
from saq_eval.core.records import parse, read_record, read_yaml


@dataclass(frozen=True)
class Inner:
    __pydantic_config__ = ConfigDict(extra="forbid")

    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SaqEvalError(f"A size is at least 1, not {self.size}")


@dataclass(frozen=True)
class Outer:
    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    inner: Inner
    numbers: tuple[float, ...] = ()


def test_fields_are_converted_to_their_types():
    assert parse(Outer, {"name": "a", "inner": {"size": "3"}, "numbers": [1, "2.5"]}, "here") == Outer(
        "a", Inner(3), (1.0, 2.5)
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"inner": {}}, "here: name: field required"),
        ({"name": "a", "inner": {"size": "x"}}, "here: inner.size: input should be a valid integer"),
        ({"name": "a", "inner": {"size": 0}}, "here: inner: a size is at least 1, not 0"),
        ({"name": "a", "inner": {}, "colour": 1}, "here: colour: unexpected keyword argument"),
        ({"name": "a", "inner": {}, "numbers": [1, "x"]}, "here: numbers.1: input should be a valid number"),
        ([1], "here: input should be"),
    ],
)
def test_the_first_wrong_field_is_named(data, message):
    with pytest.raises(SaqEvalError, match=f"^{message}"):
        parse(Outer, data, "here")


def test_a_file_is_read_as_plain_data(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("name: ä\ninner: {size: 2}\n", encoding="utf-8")
    assert read_yaml(file) == {"name": "ä", "inner": {"size": 2}}
    assert read_record(Outer, file) == Outer("ä", Inner(2))


@pytest.mark.parametrize(
    "content", [b"{", b"a: [", b"\x00", b"\xff", b"!!python/object:os.system {}", b"[" * 5000], ids=repr
)
def test_what_is_no_yaml_is_one_sentence_with_the_file(tmp_path, content):
    file = tmp_path / "a.yaml"
    file.write_bytes(content)
    with pytest.raises(SaqEvalError, match=r"a\.yaml: cannot be read as YAML: ") as caught:
        read_yaml(file)
    assert "\n" not in str(caught.value)


def test_a_large_file_is_not_read(tmp_path):
    with open(tmp_path / "large.yaml", "wb") as large:
        large.truncate(2**25)  # takes no room on the disk
    with pytest.raises(SaqEvalError, match="cannot be read as YAML: it has 32 MiB, at most 4 may be"):
        read_yaml(Path(large.name))
