import numpy as np
import pytest
import torch

from saq_eval import load_dataset
from saq_eval.data.masks import NO_FOREGROUND, foreground_mask
from tests.data.made import made


def test_foreground_of_a_known_image():
    image = torch.zeros(1, 6, 6)
    image[0, 2:4, 1:5] = 0.8
    image[0, 0, 0] = 0.1
    expected = torch.zeros(1, 6, 6, dtype=torch.bool)
    expected[0, 2:4, 1:5] = True
    assert torch.equal(foreground_mask(image), expected)


def test_foreground_is_otsus_threshold():
    values = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(0)) ** 3
    values[:, [0, -1]] = values[:, :, [0, -1]] = 0  # a dark border
    # Otsu (1979): the threshold maximises the variance between the two classes.
    flat = values.flatten().numpy().astype(np.float64)
    edges = np.histogram_bin_edges(flat, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    counts = np.histogram(flat, 256)[0]
    between = []
    for split in range(1, 256):
        low, high = counts[:split], counts[split:]
        mean_low, mean_high = (np.average(centres[:split], weights=low), np.average(centres[split:], weights=high))
        between.append(low.sum() * high.sum() * (mean_low - mean_high) ** 2)
    threshold = centres[np.argmax(between)]
    assert torch.equal(foreground_mask(values), values > float(np.float32(threshold)))


def test_a_constant_image_has_no_foreground():
    assert not foreground_mask(torch.full((1, 8, 8), 0.5)).any()


def test_a_photograph_has_no_foreground():
    """Otsu's threshold finds light there, not objects."""
    photograph = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    for image in (photograph, photograph[:1], 1 - made().images[0] * 0):
        assert not foreground_mask(image).any()
    drawn = torch.zeros(1, 16, 16)
    drawn[0, 4:9, 3:12] = 0.7
    assert foreground_mask(drawn).sum() == 45
    assert torch.equal(foreground_mask(drawn.expand(3, -1, -1)), foreground_mask(drawn))  # grey in three channels
    bright_ground = 1 - drawn
    assert not foreground_mask(bright_ground).any()


@pytest.mark.parametrize(("name", "least"), [("digits", 0.98), ("mnist", 1.0), ("fashionmnist", 0.999)])
def test_which_shipped_images_have_a_foreground(name, least, data_root):
    dataset = load_dataset(name, "test", None if name == "digits" else data_root).sample(360, seed=0)
    record = dataset.mask_record()
    assert record["kind"] == "Otsu" and record["images"] >= least * 360
    assert record["without"] == 360 - record["images"] and bool(record["reason"]) == bool(record["without"])


def test_the_record_of_masks_tells_where_they_are_from():
    evidence = torch.ones(3, 1, 4, 5, dtype=torch.bool)
    assert made(evidence=evidence).mask_record() == {"kind": "given", "images": 3, "without": 0, "reason": ""}
    assert load_dataset("planted").mask_record()["kind"] == "known"
    assert made().mask_record() == {"kind": "none", "images": 0, "without": 3, "reason": NO_FOREGROUND}
    evidence[1] = False
    assert made(evidence=evidence).mask_record()["reason"] == "their evidence is empty or was not given"
