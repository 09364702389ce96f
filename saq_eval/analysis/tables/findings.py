"""Table: the claims of the paper, and their tests on the data."""

from __future__ import annotations

import pandas as pd

from saq_eval.analysis.claims import answer
from saq_eval.analysis.results import Results
from saq_eval.analysis.schema import TABLES, result_table


@result_table(
    "findings",
    row="claim × group of networks",
    holds="what the data say of the claim, in words and numbers",
    columns={
        **dict.fromkeys(("dataset", "claim", "step", "quantity", "networks", "group", "training", "scope"), "text"),
        **{"seeds": "number", "unit": "text"},
        **dict.fromkeys(("delta", "ci_low", "ci_high", "p_value", "p_adjusted", "p_opposite"), "number"),
        **{"p_equivalence": "number", "margin": "number", "margin_in_spreads": "number", "verdict": "text"},
        **{"retraining_low": "number", "retraining_high": "number", "retraining": "text"},
        **{"without_low": "number", "without_high": "number", "words": "text", "text": "text"},
    },
    key=("claim", "networks"),
)
def findings(results: Results) -> pd.DataFrame:
    return TABLES["findings"].frame(answer(results))
