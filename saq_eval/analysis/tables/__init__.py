"""The result tables, one file for each. All files in this folder are imported, so a new file needs no other edit.

Lists of tables have the order of the imports below. A table that is not named there comes last.
"""

import importlib
import pkgutil

from saq_eval.analysis.tables import (  # noqa: F401  isort: skip  (in the order of lists)
    scores,
    summary,
    effects,
    conditions,
    controls,
    curves,
    agreement,
    robustness,
    models,
    layers,
    findings,
)
from saq_eval.analysis.schema import TABLES, ResultTable, checked, make_tables, result_table

for _file in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_file.name)

__all__ = ["TABLES", "ResultTable", "checked", "make_tables", "result_table"]
