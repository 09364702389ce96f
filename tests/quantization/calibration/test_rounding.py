"""Rounding for the least error of a layer's outputs."""

import itertools

import pytest
import torch
from torch import nn

from saq_eval.quantization.calibration import rounding
from saq_eval.quantization.calibration.rounding import covariances, least_squares_codes, patches_of
from saq_eval.quantization.quantizers import dequantize

LAYERS = {
    "plain": nn.Conv2d(4, 6, 3, padding=1),
    "grouped": nn.Conv2d(4, 6, 3, stride=2, padding=(1, 0), groups=2),
    "depthwise": nn.Conv2d(4, 8, 3, dilation=2, groups=4),
    "same": nn.Conv2d(4, 6, (5, 3), padding="same"),
    "reflect": nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
}


def outputs(layer, patches):
    rows = layer.weight.detach().reshape(patches.shape[0], -1, patches.shape[1])
    return (rows @ patches).flatten(0, 1)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_convolutions_outputs_are_weights_times_patches(kind):
    layer, images = LAYERS[kind], torch.rand(3, 4, 9, 8)
    layer.bias = None
    with torch.no_grad():
        expected = layer(images).movedim(1, 0).flatten(1)
        torch.testing.assert_close(outputs(layer, patches_of(layer, images)), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("inputs", [torch.rand(7, 5), torch.rand(7, 3, 5)], ids=["vectors", "rows"])
def test_a_linear_layers_patches_are_its_inputs(inputs):
    patches = patches_of(nn.Linear(5, 2), inputs)
    assert torch.equal(patches, inputs.reshape(-1, 5).t().unsqueeze(0))


@pytest.mark.parametrize("centred", [True, False])
def test_covariances_are_those_of_all_chunks(centred, monkeypatch):
    layer = LAYERS["grouped"]
    chunks = [100 + torch.rand(3, 4, 9, 8), 100 + torch.rand(1, 4, 9, 8)]  # the mean is far above the deviation
    patches = torch.cat([patches_of(layer, chunk) for chunk in chunks], dim=2).double()
    if centred:
        patches = patches - patches.mean(dim=2, keepdim=True)
    expected = patches @ patches.transpose(1, 2) / patches.shape[2]
    (whole,) = covariances(layer, chunks, centred=centred)
    torch.testing.assert_close(whole, expected, atol=1e-5, rtol=1e-5)
    monkeypatch.setattr(rounding, "WIDEST", 7)
    monkeypatch.setattr(rounding, "_PATCH_BYTES", 1)
    first, second, last = covariances(layer, chunks, centred=centred)
    torch.testing.assert_close(first, whole[:, :7, :7], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(last, whole[:, 14:, 14:], atol=1e-5, rtol=1e-5)
    assert second.shape == (2, 7, 7)


def weighted_error(weight, scale, codes, covariance, bits):
    off = (dequantize(codes, scale, bits) - weight).double()
    return torch.einsum("oi,ij,oj->o", off, covariance, off)


@pytest.fixture
def correlated():
    inputs = torch.randn(400, 6, dtype=torch.float64) @ torch.rand(6, 6, dtype=torch.float64)
    return inputs.t() @ inputs / len(inputs)


def test_outputs_are_nearer_than_by_rounding_to_the_nearest_and_not_far_from_the_best(correlated):
    weight, bits = torch.randn(20, 6), 2
    scale = weight.abs().amax(dim=1) / 4
    codes = least_squares_codes(weight, scale, bits, [correlated[None]])
    assert codes.dtype == torch.int32 and codes.shape == weight.shape and codes.min() >= 0 and codes.max() <= 3
    nearest = (weight / (2 * scale[:, None]) + 1.5).round().clamp(0, 3)
    every = torch.tensor(list(itertools.product(range(4), repeat=6)))
    best = torch.stack(
        [
            weighted_error(row.expand(len(every), -1), scale[place].expand(len(every)), every, correlated, bits).min()
            for place, row in enumerate(weight)
        ]
    )
    ours, theirs = (weighted_error(weight, scale, each, correlated, bits) for each in (codes, nearest))
    assert ours.sum() < 0.6 * theirs.sum() and (ours >= best - 1e-9).all() and ours.sum() < 4 * best.sum()


def test_uncorrelated_inputs_are_rounded_to_the_nearest():
    weight, scale = torch.randn(4, 3, 2, 2), torch.full((4,), 0.1)
    nearest = (weight / 0.2 + 7.5).round().clamp(0, 15).int()
    assert torch.equal(least_squares_codes(weight, scale, 4, [torch.eye(12, dtype=torch.float64)[None]]), nearest)
    constant = torch.zeros(
        1, 12, 12, dtype=torch.float64
    )  # as for inputs that never change, whose bias makes up for all
    assert torch.equal(least_squares_codes(weight, scale, 4, [constant]), nearest)


def test_blocks_make_no_difference_and_parts_and_groups_are_rounded_by_themselves(correlated, monkeypatch):
    weight, scale = torch.randn(8, 6), torch.full((8,), 0.3)
    whole = least_squares_codes(weight, scale, 4, [correlated[None]])
    monkeypatch.setattr(rounding, "_BLOCK", 2)
    assert torch.equal(least_squares_codes(weight, scale, 4, [correlated[None]]), whole)
    parts = [correlated[None, :4, :4], correlated[None, 4:, 4:]]
    apart = [
        least_squares_codes(weight[:, part], scale, 4, [block])
        for part, block in ((slice(4), parts[0]), (slice(4, 6), parts[1]))
    ]
    assert torch.equal(least_squares_codes(weight, scale, 4, parts), torch.cat(apart, dim=1))
    groups = torch.stack([correlated, torch.eye(6, dtype=torch.float64)])
    assert torch.equal(least_squares_codes(weight, scale, 4, [groups])[:4], whole[:4])


def test_a_channel_of_zeros_keeps_zero_weights():
    codes = least_squares_codes(torch.zeros(2, 3), torch.zeros(2), 4, [torch.eye(3, dtype=torch.float64)[None]])
    assert torch.equal(dequantize(codes, torch.zeros(2), 4), torch.zeros(2, 3))
