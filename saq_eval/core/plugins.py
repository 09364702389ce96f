"""Extensions from other installed packages, found by the entry-point group "saq_eval".

An entry point names a module. Importing the module registers its extensions with `register_architecture`,
`register_quantizer`, `register_scheme`, `register_dataset`, `register_method`, `register_metric`,
`register_source` (of `saq_eval.networks.sources`), `register_zoo`:

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

    An entry point that cannot be imported gives a `SaqEvalWarning` and is left out, since most commands do not need
    it. The error for an unknown name lists these entry points, because one of them may define the name; see
    `failed_plugins`.
    """
    if _state["loaded"]:
        return
    _state["loaded"] = True  # before the imports, since imported code may use a registry, which calls this function
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:  # the package's own code may raise anything
            package = entry.dist.name if entry.dist else "an installed package"
            _failed.append(
                f"{package} brings an extension {entry.name!r} ({entry.value}) that cannot be imported: "
                f"{type(error).__name__}: {error}"
            )
            if multiprocessing.parent_process() is None:  # for a worker process, its parent has already warned
                warnings.warn(f"{_failed[-1]}; going on without it", SaqEvalWarning, stacklevel=2)


def failed_plugins() -> tuple[str, ...]:
    """Return a sentence for each extension that could not be imported. The names that it would register are unknown."""
    return tuple(_failed)
