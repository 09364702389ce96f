"""The result tables, one file for each. Importing this package registers them, in the order of lists."""

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

__all__ = ["TABLES", "ResultTable", "checked", "make_tables", "result_table"]
