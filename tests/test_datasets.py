import gzip
import urllib.request
from urllib.error import URLError

import numpy as np
import pytest
import torch

from saq_eval import SaqEvalError, load_dataset
from saq_eval.datasets import foreground_mask


def test_digits_split_is_fixed_disjoint_and_stratified(digits):
    train = load_dataset("digits", "train")
    assert (len(train), len(digits)) == (1437, 360)
    assert digits.images.shape == (360, 1, 28, 28)
    assert digits.images.dtype == torch.float32
    assert float(digits.images.min()) == 0 and float(digits.images.max()) == 1
    everything = torch.bincount(torch.cat([train.labels, digits.labels]))
    assert everything.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (torch.bincount(digits.labels) - everything / 5).abs().max() < 1
    assert digits.labels[:12].tolist() == load_dataset("digits", "test").labels[:12].tolist()
    seen = {image.numpy().tobytes() for image in train.images}
    assert not any(image.numpy().tobytes() in seen for image in digits.images)


def test_pixels_lie_on_the_8_bit_grid(digits):
    codes = digits.images * 255
    assert torch.equal(codes.round() / 255, digits.images)


def test_an_item_carries_image_label_class_name_and_mask(digits):
    item = digits[3]
    assert torch.equal(item.image, digits.images[3])
    assert item.class_name == str(item.label)
    assert item.mask.shape == (1, 28, 28) and item.mask.dtype == torch.bool
    assert torch.equal(digits.masks()[3], item.mask)


def test_foreground_of_a_known_image():
    image = torch.zeros(1, 6, 6)
    image[0, 2:4, 1:5] = 0.8
    image[0, 0, 0] = 0.1
    expected = torch.zeros(1, 6, 6, dtype=torch.bool)
    expected[0, 2:4, 1:5] = True
    assert torch.equal(foreground_mask(image), expected)


def test_foreground_is_otsus_threshold():
    values = torch.rand(1, 28, 28, generator=torch.Generator().manual_seed(0)) ** 3
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


@pytest.mark.parametrize("count", [1, 7, 64, 313, 360])
@pytest.mark.parametrize("seed", [3, 22])
def test_a_sample_is_stratified_and_reproducible(digits, count, seed):
    sample = digits.sample(count, seed)
    assert len(sample) == len(set(sample.indices.tolist())) == count
    share = torch.bincount(digits.labels) * count / len(digits)
    assert (torch.bincount(sample.labels, minlength=10) - share).abs().max() < 1
    assert torch.equal(sample.images, digits.images[sample.indices])
    assert torch.equal(sample.indices, digits.sample(count, seed).indices)


def test_a_sample_of_unbalanced_classes(digits):
    sizes = {0: 30, 1: 17, 2: 7, 3: 3, 4: 1}
    chosen = np.concatenate([np.flatnonzero(digits.labels.numpy() == label)[:size] for label, size in sizes.items()])
    unbalanced = digits.subset(chosen)
    for count in range(1, 59):
        counts = torch.bincount(unbalanced.sample(count, seed=count).labels, minlength=5)
        assert counts.sum() == count
        assert all(abs(counts[label] - size * count / 58) < 1 for label, size in sizes.items())


def test_samples_differ_by_seed(digits):
    assert not torch.equal(digits.sample(64, seed=0).indices, digits.sample(64, seed=1).indices)


@pytest.mark.parametrize("count", [-1, 0, 361])
def test_sample_size_out_of_range(digits, count):
    with pytest.raises(SaqEvalError, match=f"between 1 and 360.*not {count}"):
        digits.sample(count, seed=0)


def test_unknown_dataset_names_the_nearest():
    with pytest.raises(SaqEvalError, match="unknown dataset 'fashion-mnist'; did you mean 'fashionmnist'"):
        load_dataset("fashion-mnist")


def test_unknown_split():
    with pytest.raises(SaqEvalError, match="'train' or 'test', not 'validation'"):
        load_dataset("digits", "validation")


@pytest.mark.parametrize("name", ["mnist", "fashionmnist"])
def test_data_root(name, data_root, monkeypatch):
    test = load_dataset(name, "test", data_root)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert torch.bincount(test.labels).min() > 800
    monkeypatch.setenv("SAQ_EVAL_DATA_ROOT", data_root)
    assert torch.equal(load_dataset(name, "test").labels, test.labels)
    assert len(load_dataset(name, "train")) == 60_000


def test_fashionmnist_has_class_names(data_root):
    item = load_dataset("fashionmnist", "test", data_root)[0]
    assert (item.label, item.class_name) == (9, "Ankle boot")


def test_without_files_and_network_the_message_helps(tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(SaqEvalError) as error:
        load_dataset("fashionmnist", "test", tmp_path)
    message = str(error.value)
    assert "t10k-images-idx3-ubyte" in message
    assert str(tmp_path / "FashionMNIST" / "raw") in message
    assert not (tmp_path / "FashionMNIST").exists()
    assert "--data-root" in message and "SAQ_EVAL_DATA_ROOT" in message and "--dataset digits" in message


def test_damaged_files_are_named(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for stem in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{stem}-ubyte").write_bytes(gzip.compress(b"not an IDX file"))
    with pytest.raises(SaqEvalError, match=r"mnist: could not read .* looked for .* in "):
        load_dataset("mnist", "test", tmp_path)
