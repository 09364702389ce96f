"""The charts of the page, and of a notebook: Plotly figures of a comparison's tables.

Where a chart has more to show than one view, its menu (`layout.updatemenus`) changes the view; the page turns the
menu into a list that the keyboard reaches. Names are escaped, for Plotly reads markup in every text.
"""

from saq_eval.reporting.figures.curves import curves
from saq_eval.reporting.figures.effects import effects
from saq_eval.reporting.figures.looks import DARK, LIGHT
from saq_eval.reporting.figures.matrix import verdict_matrix
from saq_eval.reporting.figures.tradeoff import tradeoff, tradeoff_table

__all__ = [
    "DARK",
    "LIGHT",
    "curves",
    "effects",
    "tradeoff",
    "tradeoff_table",
    "verdict_matrix",
]
