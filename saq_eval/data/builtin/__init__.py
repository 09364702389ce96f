"""The datasets that come with the package, a file for each or for a family of them.

Every file of this folder is imported, in alphabetical order, which is also the order of lists. So a new dataset is one
function with `@register_dataset`, in a file here.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
