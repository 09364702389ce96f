"""The charts of the page and of notebooks: Plotly figures of a comparison's tables.

If a chart has several views, its menu (`layout.updatemenus`) changes the view. The page turns the menu into a list that
works with the keyboard. Names are escaped, because Plotly interprets markup in every text.
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
