"""Errors and warnings for users, each of one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args


class SaqEvalError(ValueError):
    """A request that cannot be carried out: one sentence that names the thing, the value and what would work.

    The command line prints it and exits with code 2; Python callers catch it as a `ValueError`.
    """


class Unsupported(SaqEvalError):
    """A network that lacks what a method or a metric needs, such as a gradient. Everything else can still be computed.

    Attributes:
        reason: what the network lacks, short enough for a cell of a table: "no gradient reaches the image".
        advice: what would work instead, or more about the reason; may be empty.
        who: the method or metric that needs it; may be empty.
    """

    def __init__(self, reason: str, advice: str = "", who: str = "") -> None:
        super().__init__(reason, advice, who)  # these three are what a copy in another process is made from
        self.reason, self.advice, self.who = reason, advice, who

    def __str__(self) -> str:
        return "; ".join(filter(None, (f"{self.who}: {self.reason}" if self.who else self.reason, self.advice)))


class CannotWrite(SaqEvalError):
    """A file that cannot be written in the middle of the work, as on a full disk. What was written before is kept.

    The command line prints it and exits with code 3.
    """

    def __init__(self, path: object, error: OSError) -> None:
        super().__init__(path, error)  # what a copy in another process is made from
        self.path, self.error = path, error

    def __str__(self) -> str:
        reason = self.error.strerror or str(self.error)
        return f"{self.path} cannot be written: {reason}; all that is finished is kept, and the same command goes on"


class Stopped(BaseException):
    """SIGTERM has arrived. Like `KeyboardInterrupt`, it is no `Exception`, so that handlers of errors let it pass."""


class SaqEvalWarning(UserWarning):
    """Something that a user should know, but that stops nothing: one sentence, which the command line prints."""


def in_short(value: object) -> str:
    """Return a value's text for a message: its `repr` if that is short, else its type.

    A user may give a network or an array by mistake. Its `repr` would fill pages.
    """
    if value is None or isinstance(value, (str, int, float, bool, tuple, list, dict)):
        text = repr(value)
        if len(text) <= 200:
            return text
    name = getattr(value, "__name__", None)
    return f"the {type(value).__name__} {name}" if isinstance(name, str) else f"a {type(value).__name__}"


def shortened(names: Sequence[str], most: int = 3) -> str:
    """Return the first few names, and the number of the others, as text for a message: "a, b, c and 4 more"."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def first_line(error: BaseException) -> str:
    """Return the type and the first line of an error that other code has raised, for a message."""
    try:
        line = str(error).strip().partition("\n")[0]
    except Exception:  # the text of an error is code too
        line = ""
    if isinstance(error, _NoException):
        return line
    return f"{type(error).__name__}: {line[:200]}" if line else type(error).__name__


class _NoException(Exception):
    """What a user's code has raised that was no `Exception`; its text names it, as `first_line` does."""


@contextlib.contextmanager
def ordinary_errors() -> Iterator[None]:
    """Turn what a user's code raises besides `Exception` into an exception, so that it is handled as other failures are.

    `SystemExit` would otherwise end a command without a word. Ctrl-C and SIGTERM still end it.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt, Stopped, GeneratorExit):
        raise
    except BaseException as error:
        raise _NoException(first_line(error)) from error


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> SaqEvalError:
    """Return the error for a name that is not registered, with the nearest match and all valid names.

    A value that is not a string, such as a function or a network, is shown by `in_short`.
    """
    valid = list(valid)
    if not isinstance(name, str):
        return SaqEvalError(f"a {kind} is asked for by its name, not by {in_short(name)}; valid: {', '.join(valid)}")
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    nearest = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    hint = f"; did you mean {by_folded[nearest[0]]!r}?" if nearest else ";"
    return SaqEvalError(f"unknown {kind} {name!r}{hint} valid: {', '.join(valid)}")


def check_choice(kind: str, given: object, choices: Any) -> None:
    """Raise the error of `unknown_name` unless a value is one of a `Literal` type's."""
    if given not in get_args(choices):
        raise unknown_name(kind, given, get_args(choices))
