"""Extensions that other installed packages bring, found by the entry-point group "saq_eval".

An entry point names a module; importing it registers what it brings with `register_architecture`,
`register_quantizer`, `register_scheme`, `register_dataset`, `register_method`, `register_metric`,
`register_zoo`:

    [project.entry-points.saq_eval]
    my_networks = "my_package.nets"
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import warnings

from saq_eval.core.errors import SaqEvalWarning

GROUP = "saq_eval"
_state = {"loaded": False}
_failed: list[str] = []


def load_plugins() -> None:
    """Import every installed package's entry points, once in a process.

    One that cannot be imported is warned of (`SaqEvalWarning`) and left out: most of what is asked for does not need
    it. Where a name is unknown, the error says that it may be that package's; see `failed_plugins`.
    """
    if _state["loaded"]:
        return
    _state["loaded"] = True  # before the imports, which may look something up themselves
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:  # whatever the package's own code raises
            package = entry.dist.name if entry.dist else "an installed package"
            _failed.append(
                f"{package} brings an extension {entry.name!r} ({entry.value}) that cannot be imported: "
                f"{type(error).__name__}: {error}"
            )
            if multiprocessing.parent_process() is None:  # a worker's parent has said so
                warnings.warn(f"{_failed[-1]}; going on without it", SaqEvalWarning, stacklevel=2)


def failed_plugins() -> tuple[str, ...]:
    """Return a sentence for each extension that could not be imported, whose names are therefore unknown."""
    return tuple(_failed)
