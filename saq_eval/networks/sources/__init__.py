"""Where networks come from: one text names a network, such as `torchvision:resnet18@weights.safetensors`.

Each kind of source has a file here. All files in this folder are imported, so a new file needs no other edit.
"""

import importlib
import pkgutil

from saq_eval.networks.sources.base import SOURCES, Opened, open_source, register_source, source_forms
from saq_eval.networks.sources.text import SourceText, split_sources

for _file in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_file.name)  # registers the file's kind of source

__all__ = ["SOURCES", "Opened", "SourceText", "open_source", "register_source", "source_forms", "split_sources"]
