import html
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest

from saq_eval.analysis.steps import STEPS
from saq_eval.analysis.verdicts import first_step, verdict_table
from saq_eval.core.errors import SaqEvalError
from saq_eval.reporting import write_report
from saq_eval.reporting.formats import as_latex, as_markdown, check_formats, latex, markdown, write_formats
from saq_eval.reporting.verdicts import VERDICTS
from tests.reporting.fake_run import HOSTILE, TAKEN, fake_run


def test_parquet_gives_every_table_back(hostile, tmp_path):
    tables, run, _ = hostile
    write_formats(tmp_path, tables, run, ["parquet"])
    for name, table in tables.items():
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / f"{name}.parquet"), table, check_dtype=False)


def test_json_holds_every_name_and_no_bare_nan(hostile, tmp_path):
    tables, run, _ = hostile
    write_formats(tmp_path, tables, run, ["json"])
    rows = json.loads((tmp_path / "models.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert [row["model"] for row in rows] == list(tables["models"]["model"])
    assert rows[0]["accuracy"] == pytest.approx(tables["models"]["accuracy"][0])
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))[0]["chance"] is None


def test_markdown_says_the_finding_and_the_verdicts(result):
    tables, run, _ = result
    text = markdown(tables, run)
    for sentence in run["headline"]:
        assert sentence in html.unescape(text)
    assert re.search(r"^\| cnn-w2a2 \| 9\d\.\d\d \| [+-]\d\.\d\d \| 39\.7 \| 67 \|$", text, re.MULTILINE)
    assert len([line for line in text.splitlines() if line.startswith("| cnn-w2a2 |")]) == 1


def test_markdown_has_a_row_for_each_group_of_networks_in_its_first_step(result):
    tables, run, _ = result
    text = markdown(tables, run)
    table = first_step(verdict_table(tables).query("method == ''"))
    assert set(table["step"]) == {"bits", "further training"}
    for (name, step), cells in table.groupby(["networks", "step"]):
        shown = " | ".join(f"{VERDICTS[cell.verdict].sign} {cell.delta:+.3f}" for cell in cells.itertuples())
        assert f"| {name} ({step}) | {shown} |" in text.splitlines()
    assert f"bits: {STEPS['bits']}; further training: {STEPS['further training']}. " in text
    for word, look in VERDICTS.items():
        assert (f"{look.sign} {word}" in text) == (word in set(table["verdict"]))


def test_markdown_shows_the_whole_step_where_there_is_no_other():
    tables, run, _ = fake_run(schemes=("fp32", "w4a4"), methods=("lrp",), metrics=("PixelFlipping",), gallery=1)
    text = markdown(tables, run)
    assert f"by step: whole: {STEPS['whole']}. " in text and "| w4a4, standard (whole) | " in text


def test_markdown_of_a_baseline_alone(alone):
    text = markdown(alone.tables, alone.run)
    assert "| cnn-fp32 |" in text and text.endswith("\n\n10 test images, seed 0.\n")


def test_markdown_fits_a_comment():
    tables, run, _ = fake_run(samples=2, seeds=range(48), gallery=1, methods=("saliency",))
    text = markdown(tables, run)
    assert len(text) < 65_536 and " more |" in text


def test_markdown_shows_hostile_names_as_they_are(hostile):
    tables, run, _ = hostile
    text = markdown(tables, run)
    assert not re.search(r"<\w|\]\(|@\w|://|[^\\]`", text)
    columns = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert columns == {6, 5}  # five and four columns: no name adds one
    assert as_markdown("a|b @c #1\n") == "a&#124;b &#64;c &#35;1�"
    assert as_markdown("+0.00 to +1") == "&#43;0.00 to +1"  # where a line begins with it, it would be a list's


def test_latex_is_a_table_for_each_metric_training_and_step(result):
    tables, _, _ = result
    text = latex(tables["effects"])
    assert text.count(r"\begin{table}") == 5 * 2 * 3 == text.count(r"\bottomrule")
    for step in TAKEN:
        assert text.count(f"better than {as_latex(STEPS[step])}, beyond chance") == 5 * 2
    row = tables["effects"].iloc[0]
    assert f"${row['mean']:.3f} \\pm {(row['ci_high'] - row['ci_low']) / 2:.3f}" in text
    marks = {
        "worse": r"^{\downarrow}",
        "better": r"^{\uparrow}",
        "worse, but within the margin": r"^{\downarrow\approx}",
        "negligible": r"^{\approx}",
        "undecided": "",
    }
    for verdict, mark in marks.items():
        row = tables["effects"][tables["effects"]["verdict"] == verdict].iloc[0]
        assert f"${row['mean']:.3f} \\pm {(row['ci_high'] - row['ci_low']) / 2:.3f}{mark}$" in text


def test_latex_has_a_column_for_each_group_of_networks(result):
    """Two of one scheme and training, as a calibrated network and a trained one are, used to share a cell."""
    effects = result[0]["effects"]
    other = effects[effects["scheme"] == "w4a4"].assign(networks="w4a4 (cnn-w4a4-calibrated)", mean=0.123)
    text = latex(pd.concat([effects, other]))
    steps = other["step"].nunique()
    assert steps == 2 and text.count("w4a4 (cnn{-}w4a4{-}calibrated)") == 5 * 2 * steps
    assert text.count("$0.123") == len(other) and len(latex(effects).split("$")) < len(text.split("$"))


def test_latex_escapes_what_means_something():
    assert as_latex("50 % of_a & b\\c {d} $e$ #f ~g ^h") == (
        r"50 \% of\_a \& b\textbackslash{}c \{d\} \$e\$ \#f \textasciitilde{}g \textasciicircum{}h"
    )
    assert as_latex("Süß α 漢") == "Süß ? ?"


def test_latex_compiles(hostile, tmp_path):
    tables, run, _ = hostile
    names = dict(zip(tables["effects"]["method"].unique(), HOSTILE, strict=False))
    networks = dict(zip(tables["effects"]["networks"].unique(), HOSTILE[2:], strict=False))
    names["lrp"] = "Çà et là: ÿ × ÷"
    effects = tables["effects"].replace({"method": names, "networks": networks, "metric": {"SSIM": HOSTILE[7]}})
    write_formats(tmp_path, tables | {"effects": effects}, run, ["latex"])
    text = (tmp_path / "tables.tex").read_text(encoding="utf-8")
    assert text.count("{") == text.count("}")
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex: only the braces were counted")
    document = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}\begin{document}"
    (tmp_path / "paper.tex").write_text(document + r"\input{tables.tex}\end{document}", encoding="ascii")
    command = ["pdflatex", "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000


def test_an_unknown_format_is_refused_before_anything_is_written(result, tmp_path):
    with pytest.raises(SaqEvalError, match="unknown format 'latx'; did you mean 'latex'"):
        check_formats(["csv", "latx"])
    with pytest.raises(SaqEvalError, match="unknown format"):
        write_report(tmp_path / "out", *result, formats=["latx"])
    assert not (tmp_path / "out").exists()


def test_formats_are_written_beside_the_report(result, tmp_path):
    paths = write_report(tmp_path, *result, formats=["markdown", "latex", "csv"])
    assert {"summary.md", "tables.tex", "summary.csv", "report.html"} <= {path.name for path in paths}
