"""Eight bits after training change next to nothing, and the verdicts say so."""

import pytest
import torch
from safetensors.torch import save_file

import saq_eval
from saq_eval.quantization import quantize
from saq_eval.training.loop import start_clips_at_quantile
from saq_eval.zoo import find_model, load_training_form
from saq_eval.zoo.editing import add_model


@pytest.mark.validation
def test_eight_bits_without_further_training_are_within_the_margin(tmp_path):
    network = quantize(load_training_form(*find_model("digits", "cnn-fp32")), "w8a8").eval()
    with torch.no_grad():
        start_clips_at_quantile(network, saq_eval.load_dataset("digits", "train").images[:512], 1.0)
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, tmp_path / "w.safetensors")
    add_model(
        "digits", "p-w8a8", tmp_path / "w.safetensors", "cnn", scheme="w8a8", parent="cnn-fp32", zoo=tmp_path / "zoo"
    )
    result = saq_eval.compare(
        "digits",
        models=["p-w8a8"],
        methods=["saliency", "lrp", "occlusion:window=7,stride=7"],
        metrics=["FaithfulnessCorrelation", "PixelFlipping", "RelevanceRankAccuracy", "SSIM", "Spearman"],
        samples=96,
        zoo=tmp_path / "zoo",
        progress=False,
    )
    rows = result.effects
    assert set(rows["step"]) == {"whole"} and len(rows) == 15
    within = rows["verdict"].str.contains("within the margin") | (rows["verdict"] == "negligible")
    assert within.mean() >= 0.95, rows[~within][["method", "metric", "verdict", "delta"]]
