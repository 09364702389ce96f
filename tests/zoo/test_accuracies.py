from dataclasses import replace

import pytest

from saq_eval import SaqEvalError, find_models
from saq_eval.zoo.accuracies import accuracy_table, replace_section


def test_means_and_deviations_over_seeds():
    cards = {card.name: card for card, _ in find_models("digits", ["cnn-fp32", "cnn-w2a2"])}
    fp32, w2a2 = cards["cnn-fp32"], cards["cnn-w2a2"]
    table = accuracy_table(
        [
            *(
                replace(fp32, name=name, seed=seed, test_accuracy=accuracy)
                for seed, (name, accuracy) in enumerate((("cnn-fp32", 0.9), ("b", 0.92), ("c", 0.94)))
            ),
            replace(w2a2, test_accuracy=0.88),
        ]
    ).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert len(cells) == 4 and len({len(row) for row in cells}) == 1
    first, second = (dict(zip(cells[0], row, strict=True)) for row in cells[2:])
    assert (first["accuracy %"], first["Δ to fp32"], first["seeds"]) == ("92.00 ± 2.00", "", "3")
    assert (second["accuracy %"], second["Δ to fp32"], second["seeds"]) == ("88.00", "-2.00", "1")  # to its own parent
    assert (second["weights"], second["activations"], second["first/last"]) == ("2", "2", "8")


def test_networks_that_are_no_twins_have_rows_of_their_own():
    cards = {card.name: card for card, _ in find_models("digits", ["cnn-fp32", "cnn-w2a2"])}
    w2a2 = replace(cards["cnn-w2a2"], test_accuracy=0.9)
    calibrated = replace(w2a2, name="calibrated", recipe=replace(w2a2.recipe, epochs=1), test_accuracy=0.5)
    table = accuracy_table([cards["cnn-fp32"], w2a2, calibrated]).splitlines()
    assert [line.split(" | ")[1] for line in table[2:]] == ["cnn", "cnn (cnn-w2a2)", "cnn (calibrated)"]
    assert [line.split(" | ")[7] for line in table[3:]] == ["90.00", "50.00"]


def test_a_section_is_replaced_in_place(tmp_path):
    file = tmp_path / "x.md"
    file.write_text("before\n<!-- t -->\nold\n<!-- /t -->\nafter\n")
    for _ in range(2):
        replace_section(file, "t", "new\nlines")
        assert file.read_text() == "before\n<!-- t -->\nnew\nlines\n<!-- /t -->\nafter\n"
    with pytest.raises(SaqEvalError, match=r"x.md has no lines '<!-- u -->' and '<!-- /u -->'"):
        replace_section(file, "u", "new")
    with pytest.raises(SaqEvalError, match="cannot be rewritten"):
        replace_section(tmp_path / "missing.md", "t", "new")
