"""YAML from anybody, read as plain data within limits.

A few lines of YAML may stand for more data than any computer holds: an alias repeats what it names, and aliases can name
lists of aliases. Deep nesting, numbers of a million digits and mappings whose keys have one hash take as long.
"""

from __future__ import annotations

import math
from typing import Any

import yaml

from saq_eval.core.errors import SaqEvalError

MOST_CHARACTERS = 4 * 2**20  # also after aliases are written out
_MOST_VALUES = 200_000  # a card of 10,000 epochs has a quarter of it
_MOST_KEYS = 1_000  # of one mapping; keys of one hash take a time that grows with the square of their number
_MOST_DEPTH = 50
_MOST_DIGITS = 100  # of one number; Python refuses to write numbers of more than 4,300

# LibYAML's parser is several times faster, if PyYAML has it.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """Builds no object but plain data, and no number of many digits."""


def _number(kind: str) -> Any:
    build = getattr(_Base, f"construct_yaml_{kind}")

    def construct(loader: Any, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode) and len(node.value) > _MOST_DIGITS:
            raise SaqEvalError(f"a number has {len(node.value):,} digits, at most {_MOST_DIGITS} may be")
        return build(loader, node)

    return construct


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _number(_kind))


def plain_data(text: str) -> Any:
    """Return what a YAML text holds: None, truth values, numbers, texts, dates, lists, sets and mappings.

    Raises:
        SaqEvalError: the reason why it cannot be read, without the text's source: what is no YAML or asks for another kind
            of object, or what is larger than any file of this package: 4 Mi characters and 200,000 values with all aliases
            written out, 1,000 keys of a mapping, a depth of 50, 100 digits of a number.
    """
    if len(text) > MOST_CHARACTERS:
        raise SaqEvalError(f"it has {len(text):,} characters, at most {MOST_CHARACTERS:,} may be")
    try:
        _check_limits(text)
        return yaml.load(text, Loader=_Loader)
    except SaqEvalError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML raises the last ones for a value that its tag does not fit, such as `!!int ""` or `!!timestamp a`.
        raise SaqEvalError(_reason(error)) from error


def _reason(error: Exception) -> str:
    if not isinstance(error, yaml.YAMLError):
        return f"a value does not fit its kind ({type(error).__name__}: {str(error)[:200]})"
    reason = " ".join(str(error).split())
    return reason if len(reason) <= 400 else f"{reason[:400]} …"


class _Inside:
    """A list or mapping that is being read: its anchor, and how much it holds so far."""

    def __init__(self, event: Any) -> None:
        self.anchor, self.is_mapping = event.anchor, isinstance(event, yaml.MappingStartEvent)
        self.children, self.values, self.characters = 0, 1.0, 2.0


def _check_limits(text: str) -> None:
    """Raise `SaqEvalError` if what a YAML text stands for is too large; aliases count as what they name."""
    inside: list[_Inside] = []
    sizes: dict[str, tuple[float, float]] = {}  # by anchor; infinite while what it names is being read
    for event in yaml.parse(text, Loader=_Base):
        if isinstance(event, yaml.CollectionStartEvent):
            inside.append(_Inside(event))
            if event.anchor:
                sizes[event.anchor] = math.inf, math.inf
            if len(inside) > _MOST_DEPTH:
                raise SaqEvalError(f"lists and mappings are inside each other more than {_MOST_DEPTH} deep")
            continue
        if isinstance(event, yaml.CollectionEndEvent):
            ended = inside.pop()
            size, anchor = (ended.values, ended.characters), ended.anchor
        elif isinstance(event, yaml.AliasEvent):
            size, anchor = sizes.get(str(event.anchor), (1.0, 0.0)), None
        elif isinstance(event, yaml.ScalarEvent):
            size, anchor = (1.0, len(event.value) + 1.0), event.anchor
        else:
            continue
        if anchor:
            sizes[anchor] = size
        if inside:
            _count(inside[-1], *size)


def _count(around: _Inside, values: float, characters: float) -> None:
    around.children += 1
    around.values += values
    around.characters += characters
    if around.values > _MOST_VALUES or around.characters > MOST_CHARACTERS:
        raise SaqEvalError(
            f"with its aliases written out, it holds more than {_MOST_VALUES:,} values or {MOST_CHARACTERS:,} characters"
        )
    if around.is_mapping and around.children > 2 * _MOST_KEYS:
        raise SaqEvalError(f"a mapping has more than {_MOST_KEYS:,} keys")
