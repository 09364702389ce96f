"""Tables of the zoo for its documentation."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from saq_eval.core.errors import SaqEvalError
from saq_eval.core.paths import check_file, user_path
from saq_eval.zoo.cards import Card, twin


def accuracy_table(cards: Sequence[Card]) -> str:
    """Return a Markdown table: test accuracy in per cent, mean ± standard deviation over seeds, and costs.

    Each row is for the networks that differ only in the seed. Rows are in the order of `cards`. If two rows would look
    the same, the name of the row's first network is added to the architecture's name. "Δ to fp32" is the difference to
    the mean of the parents; it is given only if all parents are among the cards. Sizes are means.
    """
    groups: dict[str, list[Card]] = {}
    for card in cards:
        groups.setdefault(str(twin(card)), []).append(card)
    by_name: dict[tuple[str, str | None], Card] = {(card.dataset, card.name): card for card in cards}
    rows = Counter(_row(group[0]) for group in groups.values())
    lines = [
        "| dataset | network | training | scheme | weights | activations | first/last | accuracy % | Δ to fp32 | seeds "
        "| ideal KiB | MBOPs |",
        "|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for group in groups.values():
        first = group[0]
        dataset, architecture, training, scheme = _row(first)
        accuracies = [100 * card.test_accuracy for card in group]
        parents = [by_name[card.dataset, card.parent] for card in group if (card.dataset, card.parent) in by_name]
        mean, delta = statistics.fmean(accuracies), ""
        if len(parents) == len(group):
            delta = f"{mean - statistics.fmean(100 * parent.test_accuracy for parent in parents):+.2f}"
        cells = (
            dataset,
            f"{architecture} ({first.name})" if rows[_row(first)] > 1 else architecture,
            training,
            scheme,
            *astuple(first.bit_widths),
            f"{mean:.2f}" + (f" ± {statistics.stdev(accuracies):.2f}" if len(group) > 1 else ""),
            delta,
            len(group),
            f"{statistics.fmean(card.ideal_bytes for card in group) / 1024:.1f}",
            f"{statistics.fmean(card.bops for card in group) / 1e6:.0f}",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


_MOST_BYTES = 16 * 2**20  # of a text


def _row(card: Card) -> tuple[str, str, str, str]:
    """Return the dataset, architecture, training and scheme that a row shows."""
    return card.dataset, card.architecture.name, card.training, card.scheme.name


def replace_section(file: Path, name: str, text: str) -> None:
    """Replace the text in a file between the lines `<!-- name -->` and `<!-- /name -->`.

    Raises:
        SaqEvalError: if the file cannot be read or written, or has no such lines.
    """
    path = user_path(file)
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    check_file(path, "cannot be rewritten", most_bytes=_MOST_BYTES)
    try:
        content = path.read_text(encoding="utf-8")
        if not 0 <= content.find(start) < content.find(end):
            raise SaqEvalError(f"{path} has no lines {start.strip()!r} and {end!r} to write between")
        before, rest = content.split(start, 1)
        path.write_text(before + start + text + "\n" + end + rest.split(end, 1)[1], encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SaqEvalError(f"{path} cannot be rewritten: {error}") from error
