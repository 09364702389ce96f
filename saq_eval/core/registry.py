"""Registries: datasets, architectures, quantizers, schemes, methods and metrics by name. Users can add to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from saq_eval.core.errors import SaqEvalError, unknown_name
from saq_eval.core.plugins import failed_plugins, load_plugins

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to entries of one kind, in order of registration.

    Looking up an unknown name raises `SaqEvalError` with the valid names and the nearest match. The
    first lookup loads the extensions of other installed packages (see `plugins`).

    Args:
        kind: what an entry is, such as "dataset", for messages.
        any_case: whether "ssim" finds "SSIM", provided that only one name matches when case is ignored.
    """

    def __init__(self, kind: str, *, any_case: bool = False) -> None:
        self.kind = kind
        self._any_case = any_case
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register `entry` under `name`; raises `SaqEvalError` if the name is taken."""
        if name in self._entries:
            raise SaqEvalError(f"the {self.kind} {name!r} is registered already")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        load_plugins()
        found = self._find(name)
        if found is None:
            error = unknown_name(self.kind, name, self._entries)
            raise SaqEvalError("; ".join([str(error), *failed_plugins()]))
        return self._entries[found]

    def __contains__(self, name: object) -> bool:
        load_plugins()
        return self._find(name) is not None

    def _find(self, name: object) -> str | None:
        """Return the registered name that matches `name`; `None` if there is none."""
        if not isinstance(name, str):
            return None
        if name in self._entries:
            return name
        alike = [entry for entry in self._entries if self._any_case and entry.casefold() == name.casefold()]
        return alike[0] if len(alike) == 1 else None

    def __iter__(self) -> Iterator[str]:
        load_plugins()
        return iter(self._entries)

    def __len__(self) -> int:
        load_plugins()
        return len(self._entries)
