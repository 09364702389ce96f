"""Lets `import torchvision` succeed with a CPU-only build of torch.

The torchvision wheel on the package index is compiled against the CUDA build of torch. With a CPU build,
its native library does not load. Importing its Python part then raises `operator torchvision::nms does
not exist`: the Python part attaches shape functions to operators that the native library should have
declared. It is enough to declare the schemas of these operators first. Data sets and transforms, which
are all that this package and Quantus use, then work. Calling such an operator still raises an error.

`import saq_eval` installs a hook that declares the schemas just before torchvision is imported, by any
code. The hook itself imports neither torch nor torchvision before that.
"""

from __future__ import annotations

import ctypes
import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[Any] = []  # a torch.library.Library undoes its declarations when it is collected


class _BeforeTorchvision(importlib.abc.MetaPathFinder):
    """Finds no module itself; Python asks it for torchvision before any other finder."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)  # once is enough; the next line looks for torchvision itself
            declare_missing_operators()
        return None


def declare_when_imported() -> None:
    """Make the next `import torchvision` in this process declare the missing operators first."""
    if "torchvision" not in sys.modules:
        sys.meta_path.insert(0, _BeforeTorchvision())


def declare_missing_operators() -> tuple[str, ...]:
    """Declare the torchvision operators whose native implementation cannot be loaded.

    If the native library loads, or the operators exist already, nothing is declared.

    Returns:
        The names declared by this call.
    """
    import torch

    package = PathFinder.find_spec("torchvision")  # not through `_BeforeTorchvision`, which calls this function
    if package is None or package.origin is None or _native_library_loads(Path(package.origin).parent):
        return ()
    missing = tuple(name for name in _SCHEMAS if not hasattr(torch.ops.torchvision, name))
    if missing:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in missing:
            library.define(_SCHEMAS[name])
        _declared.append(library)
    return missing


def _native_library_loads(package: Path) -> bool:
    for library in (*package.glob("_C*.so"), *package.glob("_C*.pyd")):
        try:
            ctypes.CDLL(str(library))
        except OSError:
            continue
        return True
    return False
