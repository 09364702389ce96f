"""Eight bits after training change next to nothing, and the verdicts say so; what fine-tuning by PACT changes beside.

`python -m tests.validation.test_post_training` prints the figures of docs/statistics.md for digits, and for another data set
if it is named behind it.
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

import saq_eval
from saq_eval.quantization import Bits, Scheme, quantize
from saq_eval.training.loop import start_clips_at_quantile
from saq_eval.zoo import find_model, load_training_form
from saq_eval.zoo.editing import add_model

METHODS = ["saliency", "lrp", "occlusion:window=7,stride=7"]
METRICS = ["FaithfulnessCorrelation", "PixelFlipping", "RelevanceRankAccuracy", "SSIM", "Spearman"]


def effects(models: list[str], zoo: Path, dataset: str = "digits") -> pd.DataFrame:
    return saq_eval.compare(
        dataset, models=models, methods=METHODS, metrics=METRICS, samples=96, zoo=zoo, progress=False
    ).effects


def within(rows: pd.DataFrame) -> pd.Series:
    return rows["verdict"].str.contains("within the margin") | (rows["verdict"] == "negligible")


def quantize_after_training(zoo: Path, dataset: str = "digits") -> None:
    network = quantize(load_training_form(*find_model(dataset, "cnn-fp32")), "w8a8").eval()
    with torch.no_grad():
        start_clips_at_quantile(network, saq_eval.load_dataset(dataset, "train").images[:512], 1.0)
    zoo.mkdir()
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, zoo / "w.safetensors")
    add_model(dataset, "p-w8a8", zoo / "w.safetensors", "cnn", scheme="w8a8", parent="cnn-fp32", zoo=zoo)


@pytest.mark.validation
def test_eight_bits_without_further_training_are_within_the_margin(tmp_path):
    quantize_after_training(tmp_path / "zoo")
    rows = effects(["p-w8a8"], tmp_path / "zoo")
    assert set(rows["step"]) == {"whole"} and len(rows) == len(METHODS) * len(METRICS)
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
