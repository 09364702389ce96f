"""Results in formats other than CSV: for programs (Parquet, JSON), for discussions (Markdown), for papers (LaTeX)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from saq_eval.analysis.record import Record
from saq_eval.analysis.steps import STEPS
from saq_eval.analysis.verdicts import first_step, verdict_table
from saq_eval.core.errors import unknown_name
from saq_eval.reporting.names import short, visible
from saq_eval.reporting.verdicts import VERDICTS

Tables = dict[str, pd.DataFrame]

_COMMENT = 60_000  # characters; a comment on a pull request may have 65,536
_MARKS = {
    "worse": r"\downarrow",
    "better": r"\uparrow",
    "worse, but within the margin": r"\downarrow\approx",
    "better, but within the margin": r"\uparrow\approx",
    "negligible": r"\approx",
}
_TEX = {
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", '"': r"\textquotedbl{}", "'": r"\textquotesingle{}"},
    **{"`": r"\textasciigrave{}", "-": "{-}", **{character: f"\\{character}" for character in "{}$&#_%"}},
}
_MARKDOWN = set("\\`*_{}[]()#!|<>~@&$")  # "+" is markup only at the start of a line


def check_formats(names: Iterable[str]) -> tuple[str, ...]:
    """Return the formats' names without repetitions.

    Raises:
        SaqEvalError: if a name is not in `FORMATS`.
    """
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    return names


def write_parquet(folder: Path, tables: Tables, run: Record) -> None:
    """Write each table to a Parquet file, with the types of its columns."""
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", engine="pyarrow", index=False)


def write_json(folder: Path, tables: Tables, run: Record) -> None:
    """Write each table to a JSON file, as a list of records; undefined values are null."""
    for name, table in tables.items():
        table.to_json(folder / f"{name}.json", orient="records", double_precision=10, lines=False)


def write_markdown(folder: Path, tables: Tables, run: Record) -> None:
    """Write the headline and the verdicts to `summary.md`, short enough for a comment on a pull request."""
    (folder / "summary.md").write_text(markdown(tables, run), encoding="utf-8", newline="\n")


def write_latex(folder: Path, tables: Tables, run: Record) -> None:
    """Write the effects to `tables.tex`, to be included by `\\input` in a document that uses the package booktabs."""
    (folder / "tables.tex").write_text(latex(tables["effects"]), encoding="utf-8", newline="\n")


FORMATS: dict[str, Callable[[Path, Tables, Record], None] | None] = {
    "csv": None,  # always written, since runs are read from it
    "parquet": write_parquet,
    "json": write_json,
    "markdown": write_markdown,
    "latex": write_latex,
}


def markdown(tables: Tables, run: Record) -> str:
    """Return the headline, the networks, and their verdicts by metric."""
    models = [
        (
            *(as_markdown(short(row.model)), f"{100 * row.accuracy:.2f}", f"{100 * row.accuracy_delta:+.2f}"),
            *(f"{row.size_kib:.1f}", "" if pd.isna(row.surrogate_gap) else f"{100 * row.surrogate_gap:.0f}"),
        )
        for row in tables["models"].itertuples()
    ]
    verdicts = verdict_table(tables)
    verdicts = first_step(verdicts[verdicts["method"] == ""])
    metrics = list(dict.fromkeys(verdicts["metric"]))
    cells = {
        (row.networks, row.metric): f"{VERDICTS[row.verdict].sign} {row.delta:+.3f}" for row in verdicts.itertuples()
    }
    matrix = [
        (f"{as_markdown(short(networks))} ({step})", *(cells.get((networks, metric), "") for metric in metrics))
        for networks, step in dict.fromkeys(zip(verdicts["networks"], verdicts["step"], strict=True))
    ]
    against = "; ".join(f"{step}: {text}" for step, text in STEPS.items() if step in set(verdicts["step"]))
    legend = ", ".join(f"{look.sign} {word}" for word, look in VERDICTS.items() if word in set(verdicts["verdict"]))
    parts = [
        f"### {as_markdown(short(run['dataset']))}: explanations under quantization",
        "\n".join(f"{place}. {as_markdown(text)}" for place, text in enumerate(run["headline"], start=1)),
        _pipes(("network", "accuracy %", "Δ points", "KiB", "surrogate gap %"), models),
        *([_pipes(("networks", *(as_markdown(short(metric)) for metric in metrics)), matrix)] if matrix else []),
        f"Mean difference over attribution methods, and what at least half of them say: {legend}. Compared with, by step: "
        f"{as_markdown(against)}. "
        f"{run['samples']} test images, seed {run['seed']}."
        if matrix
        else f"{run['samples']} test images, seed {run['seed']}.",
    ]
    return "\n\n".join(parts) + "\n"


def _pipes(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    used = sum(map(len, lines))
    for place, row in enumerate(rows):
        line = "| " + " | ".join(row) + " |"
        used += len(line)
        if used > _COMMENT // 2:
            return "\n".join([*lines, f"| … {len(rows) - place} more |" + " |" * (len(head) - 1)])
        lines.append(line)
    return "\n".join(lines)


def as_markdown(text: object) -> str:
    """Return a text that Markdown shows literally: no markup, link, mention or reference."""
    escaped = "".join(f"&#{ord(sign)};" if sign in _MARKDOWN else sign for sign in visible(text))
    escaped = re.sub(r"^\+", "&#43;", escaped)
    return escaped.replace("://", "&#58;//").replace("www.", "www&#46;")


def latex(effects: pd.DataFrame) -> str:
    """Return a table for each dataset, training, step and metric: methods by networks, mean ± half the 95 % interval's width.

    An arrow marks a mean with a significant difference in the step; ≈ marks a difference within the margin.
    """
    tables = []
    keys = ["dataset", "training", "step", "metric"]
    for number, ((dataset, training, step, metric), rows) in enumerate(effects.groupby(keys, sort=False), start=1):
        networks, methods = list(dict.fromkeys(rows["networks"])), list(dict.fromkeys(rows["method"]))
        cells = {(row.method, row.networks): _tex_cell(row) for row in rows.itertuples()}
        direction = "higher" if bool(rows["higher_is_better"].iloc[0]) else "lower"
        body = [
            " & ".join([as_latex(short(method)), *(cells.get((method, each), "") for each in networks)])
            for method in methods
        ]
        caption = (
            f"{as_latex(short(metric))} on {as_latex(short(dataset))}, {as_latex(short(training))} training "
            rf"({direction} is better). Mean $\pm$ half of the 95\,\% interval's width. $\downarrow$ worse and "
            rf"$\uparrow$ better than {as_latex(STEPS[step])}, beyond chance; $\approx$ within the margin."
        )
        tables.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"\centering",
                    rf"\caption{{{caption}}}",
                    rf"\label{{tab:saq-eval-{number}}}",
                    rf"\begin{{tabular}}{{l{'r' * len(networks)}}}",
                    r"\toprule",
                    " & ".join(["method", *(as_latex(short(each)) for each in networks)]) + r" \\",
                    r"\midrule",
                    *(f"{line} \\\\" for line in body),
                    r"\bottomrule",
                    r"\end{tabular}",
                    r"\end{table}",
                ]
            )
        )
    return "\n\n".join(["% Needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}.", *tables]) + "\n"


def _tex_cell(row: Any) -> str:
    if pd.isna(row.mean):
        return "--"
    width = "" if pd.isna(row.ci_low) else rf" \pm {(row.ci_high - row.ci_low) / 2:.3f}"
    mark = f"^{{{_MARKS[row.verdict]}}}" if row.verdict in _MARKS else ""
    return f"${row.mean:.3f}{width}{mark}$"


def as_latex(text: object) -> str:
    """Return a text that LaTeX prints literally; characters that its standard fonts lack become "?"."""
    plain = unicodedata.normalize("NFC", visible(text).replace("…", "..."))
    return "".join(_TEX.get(sign, sign) if " " <= sign <= "~" or "À" <= sign <= "ÿ" else "?" for sign in plain)


def write_formats(folder: Path, tables: Tables, run: Record, formats: Iterable[str] = tuple(FORMATS)) -> None:
    """Write a result into a folder, in each of the formats."""
    for name in check_formats(formats):
        if (write := FORMATS[name]) is not None:
            write(folder, tables, run)
