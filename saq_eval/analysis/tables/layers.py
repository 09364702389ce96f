"""Table: the layers of the models."""

from __future__ import annotations

import numpy as np
import pandas as pd

from saq_eval.analysis.results import Results
from saq_eval.analysis.schema import TABLES, result_table


@result_table(
    "layers",
    row="model × layer with weights",
    holds="bit widths, clip, size, operations",
    columns={
        **dict.fromkeys(("dataset", "model", "layer", "shape"), "text"),
        **dict.fromkeys(("weight_bits", "activation_bits", "alpha", "kib", "mmacs", "mbops"), "number"),
    },
    key=("model", "layer"),
)
def layers(results: Results) -> pd.DataFrame:
    return TABLES["layers"].frame(
        [
            {
                "dataset": results.dataset,
                "model": name,
                "layer": layer.name,
                "shape": "x".join(map(str, layer.shape)),
                "weight_bits": layer.weight_bits,
                "activation_bits": layer.activation_bits,
                "alpha": np.nan if layer.alpha is None else layer.alpha,
                "kib": layer.weight_bytes / 1024,
                "mmacs": layer.macs / 1e6,
                "mbops": layer.bops / 1e6,
            }
            for name, network in results.models.items()
            for layer in network.layers
        ]
    )
