"""Tables of the zoo for its documentation."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from saq_eval.errors import SaqEvalError
from saq_eval.paths import user_path
from saq_eval.zoo.cards import Card


def accuracy_table(cards: Sequence[Card]) -> str:
    """Return a Markdown table: test accuracy in per cent, mean ± standard deviation over seeds, and costs.

    A row is a dataset × architecture × training × scheme, in the order of `cards`; its difference to
    full precision is that of the means over seeds; sizes are means.
    """
    groups: dict[tuple[str, str, str, str], list[Card]] = {}
    for card in cards:
        groups.setdefault((card.dataset, card.architecture.name, card.training, card.scheme.name), []).append(card)
    mean = {key: 100 * statistics.fmean(card.test_accuracy for card in group) for key, group in groups.items()}
    lines = [
        "| dataset | network | training | scheme | weights | activations | first/last | accuracy % | Δ to fp32 | seeds "
        "| ideal KiB | MBOPs |",
        "|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for (dataset, architecture, training, scheme), group in groups.items():
        key, parent = (dataset, architecture, training, scheme), (dataset, architecture, training, "fp32")
        spread = f" ± {statistics.stdev(100 * c.test_accuracy for c in group):.2f}" if len(group) > 1 else ""
        bits = group[0].scheme
        cells = (
            dataset,
            architecture,
            training,
            scheme,
            bits.hidden_bits("weight_bits"),
            bits.hidden_bits("activation_bits"),
            bits.ends.weight_bits,
            f"{mean[key]:.2f}{spread}",
            f"{mean[key] - mean[parent]:+.2f}" if scheme != "fp32" and parent in mean else "",
            len(group),
            f"{statistics.fmean(card.ideal_bytes for card in group) / 1024:.1f}",
            f"{statistics.fmean(card.bops for card in group) / 1e6:.0f}",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def replace_section(file: Path, name: str, text: str) -> None:
    """Replace what stands in a file between the lines `<!-- name -->` and `<!-- /name -->`.

    Raises:
        SaqEvalError: if the file cannot be read or written, or has no such lines.
    """
    path = user_path(file)
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    try:
        content = path.read_text(encoding="utf-8")
        if not 0 <= content.find(start) < content.find(end):
            raise SaqEvalError(f"{path} has no lines {start.strip()!r} and {end!r} to write between")
        before, rest = content.split(start, 1)
        path.write_text(before + start + text + "\n" + end + rest.split(end, 1)[1], encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SaqEvalError(f"{path} cannot be rewritten: {error}") from error
