"""Class names from files, and their match with a network's outputs."""

import pytest
import torch

from saq_eval import SaqEvalError
from saq_eval.data.classes import match_labels, numbered, read_classes

LABELS = torch.tensor([0, 1, 1])


def match(own, names, labels=LABELS):
    return match_labels("mine", labels, own, names).tolist()


def test_names_come_one_per_line_or_as_a_json_list(tmp_path):
    (tmp_path / "lines.txt").write_text("\ufeffcat\n\n  hot dog \n", encoding="utf-8")
    (tmp_path / "list.json").write_text('["cat", "hot dog"]')
    assert read_classes(tmp_path / "lines.txt") == read_classes(str(tmp_path / "list.json")) == ("cat", "hot dog")
    assert read_classes(["cat", "dog"]) == ("cat", "dog")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "one per line"),
        (b"[1, 2]", "one per line"),
        (b'["cat"', "cannot be read"),
        (b"\xff\xfe\xfa", "cannot be read"),
    ],
)
def test_a_file_without_names_is_named(tmp_path, content, message):
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(SaqEvalError, match=rf"names.txt: .*{message}"):
        read_classes(tmp_path / "names.txt")
    with pytest.raises(SaqEvalError, match="nothing.txt: cannot be read as class names: No such file"):
        read_classes(tmp_path / "nothing.txt")


def test_classes_are_matched_by_name_whatever_their_case_and_separators():
    assert match(("golden_retriever", "T-Shirt"), ("t shirt", "cat", "Golden Retriever")) == [2, 0, 0]
    assert match(("c", "C"), ("C", "c")) == [1, 0, 0]  # exactly, where that is possible


def test_equal_lists_are_matched_by_position_though_a_name_is_there_twice():
    assert match(("crane", "Crane"), ("crane", "crane")) == [0, 1, 1]
    with pytest.raises(SaqEvalError, match="mine: the class 'crane' fits the outputs 1 .* and 2"):
        match(("crane", "dog"), ("dog", "Crane", "CRANE"))


def test_numbered_classes_are_matched_by_position():
    assert match(numbered(LABELS), ("cat", "dog", "fish")) == [0, 1, 1]
    assert match(("0", "1"), ("1", "0")) == [1, 0, 0]
    with pytest.raises(SaqEvalError, match="labels up to 2, but only 2 class names"):
        match(("0", "1", "2"), ("cat", "dog"), torch.tensor([2]))


def test_a_missing_class_is_named_with_the_nearest():
    with pytest.raises(SaqEvalError, match=r"mine: the class 'kat' is not among the 2 classes .*did you mean 'cat'\?"):
        match(("kat", "dog"), ("cat", "dog"))
    with pytest.raises(SaqEvalError, match="the class 'a' and 1 others are not among"):
        match(("a", "b"), ("cat", "dog"))
    assert match(("dog", "dodo"), ("cat", "dog"), torch.tensor([0, 0])) == [1, 1]  # no image shows a dodo
