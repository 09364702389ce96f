"""The datasets that come with the package, one file for each dataset or family of datasets.

All files of this folder are imported in alphabetical order. Lists of datasets have the same order. To add a dataset,
write a function with `@register_dataset` in a file here.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
