import io
import os
import re
import shutil
import sys

from saq_eval.cli import console
from saq_eval.cli.console import complain, print_any_character, print_table
from saq_eval.core.errors import SaqEvalWarning

COLUMNS, ROWS = ("method", "RelevanceMassAccuracy"), [("saliency", 0.25), ("x" * 30, "[b]1[/b]")]


def test_a_pipe_gets_whole_lines(capsys):
    print_table(COLUMNS, ROWS)
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split() == list(COLUMNS) and first.split() == ["saliency", "0.25"]
    assert second.split() == ["x" * 30, "[b]1[/b]"]  # as it is, no markup


def test_characters_that_the_locale_lacks_are_printed_as_escapes(monkeypatch):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="latin-1") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    print_any_character()
    print_table(("α", "b"), [("1 – 2", "\udce9")])
    complain("no ☃")
    for stream in streams:
        stream.flush()
    said = [stream.buffer.getvalue().decode("latin-1") for stream in streams]
    assert "1 \\u2013 2" in said[0] and "\\u03b1" in said[0] and "\\udce9" in said[0]
    assert said[1] == "saq-eval: no \\u2603\n"


def test_a_terminal_gets_narrow_columns_without_broken_words(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(
        shutil, "get_terminal_size", lambda fallback=None: os.terminal_size((10, 24))
    )  # pytest asks, too
    print_table(COLUMNS, ROWS)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert [line.split()[-1] for line in shown.splitlines()[:3]] == ["Relevance", "Mass", "Accuracy"]
    assert "x" * 30 in shown  # wider than the terminal


def test_a_complaint_is_one_line(capsys):
    complain("two\n  lines")
    assert tuple(capsys.readouterr()) == ("", "saq-eval: two lines\n")


def test_a_terminal_obeys_no_name(capsys):
    complain("the model \x1b[2J\u202eb\ud800é is …")
    assert capsys.readouterr().err == "saq-eval: the model \\x1b[2J\\u202eb\\ud800é is …\n"
    print_table(("name",), [("a\x07\nb",)])
    assert capsys.readouterr().out.splitlines()[1].split() == ["a\\x07\\nb"]


def test_a_very_long_complaint_is_cut_in_the_middle(capsys):
    complain("start " + "x" * 100_000 + " end")
    said = capsys.readouterr().err
    assert len(said) < 4_100 and said.startswith("saq-eval: start xxx") and said.endswith("xxx end\n") and " … " in said


def test_our_warnings_are_one_line_and_others_are_left_as_they_are(capsys, monkeypatch):
    others = []
    monkeypatch.setattr(console, "_show_warning", lambda *where, **details: others.append((where, details)))
    console.show_warning(SaqEvalWarning("few images"), SaqEvalWarning, "file.py", 7)
    assert capsys.readouterr().err == "saq-eval: warning: few images\n" and others == []
    warning = UserWarning("another")
    console.show_warning(warning, UserWarning, "file.py", 7, line="code")
    assert capsys.readouterr().err == "" and others == [((warning, UserWarning, "file.py", 7), {"line": "code"})]


def test_the_warning_of_pillow_about_large_pictures_is_left_out(capsys, monkeypatch):
    from PIL import Image

    others = []
    monkeypatch.setattr(console, "_show_warning", lambda *where, **details: others.append(where))
    console.show_warning(Image.DecompressionBombWarning("large"), Image.DecompressionBombWarning, "file.py", 7)
    assert tuple(capsys.readouterr()) == ("", "") and others == []
