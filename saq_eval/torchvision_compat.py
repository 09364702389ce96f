"""Lets `import torchvision` succeed beside a CPU-only build of torch.

The torchvision wheel on the package index is compiled against the CUDA build of torch. Beside a
CPU build its native library does not load, and importing its Python part raises `operator
torchvision::nms does not exist`, because it attaches shape functions to operators that the native
library would have declared. Declaring their schemas first is enough for everything that this
package and Quantus use (data sets and transforms); calling such an operator still raises.
"""

from __future__ import annotations

import ctypes
import importlib.util
from pathlib import Path

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_declared: list[torch.library.Library] = []  # a Library undoes its declarations when it is collected


def declare_missing_operators() -> tuple[str, ...]:
    """Declare the torchvision operators whose native implementation cannot be loaded.

    Call it before the first import of torchvision or Quantus. Where the native library loads, or
    the operators exist already, nothing is declared.

    Returns:
        The names declared by this call.
    """
    package = importlib.util.find_spec("torchvision")
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
