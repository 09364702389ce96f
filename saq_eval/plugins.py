"""Extensions that other installed packages bring, found by the entry-point group "saq_eval".

An entry point names a module; importing it registers what it brings with `register_architecture`,
`register_scheme`, `register_dataset`, `register_method`, `register_metric`,
`register_zoo`:

    [project.entry-points.saq_eval]
    my_networks = "my_package.nets"
"""

from __future__ import annotations

import importlib.metadata

from saq_eval.errors import SaqEvalError

GROUP = "saq_eval"
_state = {"loaded": False}


def load_plugins() -> None:
    """Import every installed package's entry points, once in a process.

    Raises:
        SaqEvalError: names the entry point that cannot be imported.
    """
    if _state["loaded"]:
        return
    _state["loaded"] = True  # before the imports, which may look something up themselves
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:  # whatever the package's own code raises
            package = entry.dist.name if entry.dist else "an installed package"
            raise SaqEvalError(
                f"{package} brings an extension {entry.name!r} ({entry.value}) that cannot be imported: "
                f"{type(error).__name__}: {error}"
            ) from error
