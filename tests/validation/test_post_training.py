"""Eight bits after training change next to nothing, and the verdicts say so; what fine-tuning by PACT changes beside.

`python -m tests.validation.test_post_training` prints the figures of docs/statistics.md for digits, and for another data set
if it is named behind it.
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest

import saq_eval
from saq_eval.quantization import Bits, Scheme

METHODS = ["saliency", "lrp", "occlusion:window=7,stride=7"]
METRICS = ["FaithfulnessCorrelation", "PixelFlipping", "RelevanceRankAccuracy", "SSIM", "Spearman"]


def effects(models: list[str], zoo: Path, dataset: str = "digits") -> pd.DataFrame:
    return saq_eval.compare(
        dataset, models=models, methods=METHODS, metrics=METRICS, samples=96, zoo=zoo, progress=False
    ).effects


def within(rows: pd.DataFrame) -> pd.Series:
    return rows["verdict"].str.contains("within the margin") | (rows["verdict"] == "negligible")


def quantize_after_training(zoo: Path, dataset: str = "digits") -> None:
    """Write cnn-fp32 with eight bits to a zoo: the largest values are the clips, and weights are as PACT's networks have them."""
    plain = {"weights": "scheme", "rounding": "nearest", "bias_correction": False}
    saq_eval.quantize_model(
        dataset, "cnn-fp32", "w8a8", calibrate=512, clip="quantile:1.0", name="p-w8a8", zoo=zoo, progress=False, **plain
    )


@pytest.mark.validation
def test_eight_bits_without_further_training_are_within_the_margin(tmp_path):
    quantize_after_training(tmp_path / "zoo")
    rows = effects(["p-w8a8"], tmp_path / "zoo")
    assert set(rows["step"]) == {"bits"} and len(rows) == len(METHODS) * len(METRICS)
    assert within(rows).mean() >= 0.95, rows[~within(rows)][["method", "metric", "verdict", "delta"]]


def main(dataset: str = "digits") -> None:
    """Print how many rows are within the margin, and what 16 bits, which round next to nothing, change by PACT's clips."""
    with tempfile.TemporaryDirectory() as folder:
        zoo = Path(folder) / "zoo"
        quantize_after_training(zoo, dataset)
        models = ["p-w8a8", "cnn-w8a8"]
        if dataset == "digits":  # elsewhere the training takes much longer
            wide = Bits(16, 16)
            saq_eval.train_model(dataset, Scheme("w16a16", default=wide, ends=wide), zoo=zoo, progress=False)
            models.append("cnn-w16a16")
        rows = effects(models, zoo, dataset)
    for (networks, training, step), some in rows.groupby(["networks", "training", "step"], sort=False):
        print(f"{networks}, {training}, {step}: {within(some).sum()} of {len(some)} rows within the margin")
    bits = rows[rows["step"] == "bits"]
    shown = bits.pivot_table(
        index=["method", "metric"], columns="networks", values=["delta", "mean", "margin"], sort=False
    )
    print(shown.round(3).to_string())


if __name__ == "__main__":
    main(*sys.argv[1:])
