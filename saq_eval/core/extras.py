"""Optional packages, which only some features need."""

from __future__ import annotations

import importlib
from typing import Any

from saq_eval.core.errors import SaqEvalError


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """Import a module of an optional package and return it.

    Args:
        module: the module's full name, such as "timm.data".
        extra: the name of `saq_eval`'s extra that installs the package, for the message.
        purpose: what needs it, as the start of a sentence, such as "a network of timm".

    Raises:
        SaqEvalError: if the package is not installed, or fails while it is imported.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise SaqEvalError(f"{purpose} needs the package {package}, which cannot be imported: {error}") from error
        raise SaqEvalError(
            f"{purpose} needs the package {package}, which is not installed: pip install 'saq_eval[{extra}]'"
        ) from error
    except Exception as error:  # a package that does not fit the others may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise SaqEvalError(f"{purpose} needs the package {package}, which cannot be imported: {reason}") from error
