"""Changes of a card's file."""

from pathlib import Path

import yaml


def edit(card: Path, **changes) -> None:
    """Replace fields of a card, whatever their values."""
    card.write_text(yaml.safe_dump(yaml.safe_load(card.read_text()) | changes))
