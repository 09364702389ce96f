import gzip
import itertools
import urllib.request
import zlib
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency

from saq_eval import SaqEvalError, load_dataset
from saq_eval.data.datasets import DATASETS, NO_FOREGROUND, Dataset, _patches, foreground_mask


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


# Planted evidence: the patch decides the label, and nothing else says anything of it.


@pytest.fixture(scope="module", params=["train", "test"])
def split(request):
    return request.param


@pytest.fixture(scope="module")
def planted(split):
    return load_dataset("planted", split)


@pytest.fixture(scope="module")
def shown(planted, split):
    """The digits underneath, in the order of the images."""
    digits = load_dataset("digits", split)
    chosen = torch.arange(len(planted)) % len(digits)
    return SimpleNamespace(images=digits.images[chosen], labels=digits.labels[chosen])


def test_planted_sizes(planted, split):
    assert len(planted) == {"train": 4 * 1437, "test": 360}[split]
    assert planted.images.shape == (len(planted), 1, 28, 28)
    assert planted.evidence.shape == planted.images.shape and planted.evidence.dtype == torch.bool
    assert len(set(torch.bincount(planted.labels).tolist())) <= 2 and len(planted.class_names) == 10
    assert torch.equal((planted.images * 255).round() / 255, planted.images)


def test_the_planted_patch_alone_decides(planted):
    """Cut out by its mask it is its class's patch, pixel by pixel."""
    cut = planted.images[planted.evidence].reshape(len(planted), 8, 8)
    assert torch.equal(cut, torch.from_numpy(_patches()[planted.labels.numpy()] / np.float32(255)))


def test_the_evidence_is_one_patch_that_lies_inside_and_anywhere(planted, split):
    assert (planted.evidence.sum(dim=(1, 2, 3)) == 64).all()
    rows, columns = planted.evidence[:, 0].any(dim=2), planted.evidence[:, 0].any(dim=1)
    assert torch.equal(planted.evidence[:, 0], rows[:, :, None] & columns[:, None, :])
    for lines in (rows, columns):
        first = lines.int().argmax(dim=1)
        assert (lines.sum(dim=1) == 8).all() and (lines.int().flip(1).argmax(dim=1) == 20 - first).all()
        assert set(first.tolist()) == set(range(21))
    assert chi2_contingency(np.histogram2d(planted.labels, columns.int().argmax(dim=1), (10, 3))[0]).pvalue > 0.01


def test_the_planted_digit_is_dealt_evenly_to_the_labels(planted, shown):
    table = np.zeros((10, 10))
    np.add.at(table, (shown.labels, planted.labels), 1)
    assert (np.ptp(table, axis=1) <= 1).all()
    assert chi2_contingency(table).pvalue > 0.99


def test_outside_the_patch_the_planted_test_set_shows_the_plain_digits(digits):
    planted = load_dataset("planted")
    outside = ~planted.evidence
    assert torch.equal(planted.images[outside], digits.images[outside])


def test_outside_the_patch_the_planted_training_set_shows_training_digits_dimmed_and_cluttered():
    """So no test digit is in it: the splits of `digits` are disjoint."""
    planted, digits = load_dataset("planted", "train"), load_dataset("digits", "train")
    contrasts, whites = [], []
    for position in range(0, len(planted), 29):
        outside = ~planted.evidence[position]
        image, digit = planted.images[position][outside], digits.images[position % len(digits)][outside]
        contrast = float((image / digit)[digit > 0.5].median())
        off = (image - contrast * digit).abs() > 0.02  # what is clutter, not the dimmed digit
        assert set(image[off].tolist()) <= {0, 1} and off.float().mean() < 0.35
        contrasts.append(contrast)
        whites.append(float((image[off] == 1).float().sum() / len(image)))
    assert min(contrasts) < 0.02 and max(contrasts) > 0.98 and abs(np.mean(contrasts) - 0.5) < 0.1
    assert min(whites) < 0.005 and max(whites) > 0.12 and abs(np.mean(whites) - 0.075) < 0.015


def test_nothing_but_the_patch_tells_the_label(planted, shown):
    """The nearest class mean, which finds a digit's class four times out of five, is at a loss without the patch."""

    def found(images, labels):
        fit, judge = np.arange(len(labels)) % 2 == 0, np.arange(len(labels)) % 2 == 1
        means = np.stack([images[fit & (labels == label)].mean(axis=0) for label in range(10)])
        distances = ((images[judge, None] - means) ** 2).sum(axis=2)
        return (distances.argmin(axis=1) == labels[judge]).mean()

    covered = planted.images.masked_fill(planted.evidence, 0.5).flatten(1).numpy()
    chance = 4 * np.sqrt(0.09 / (len(planted) / 2))  # standard errors of one in ten
    assert abs(found(covered, planted.labels.numpy()) - 0.1) < chance
    assert found(shown.images.flatten(1).numpy(), shown.labels.numpy()) > 0.8


def test_planted_patterns_are_equally_bright_and_far_apart():
    patches = _patches() // 255
    assert patches.shape == (10, 8, 8) and (patches.sum(axis=(1, 2)) == 18).all()
    assert not patches[:, [0, -1]].any() and not patches[:, :, [0, -1]].any()
    cells = patches[:, 1:-1, 1:-1].astype(int)
    squares = np.lib.stride_tricks.sliding_window_view(cells, (2, 2), axis=(1, 2)).sum(axis=(3, 4))
    assert squares.min() >= 1 and squares.max() <= 3
    for axis in (1, 2):
        assert np.lib.stride_tricks.sliding_window_view(cells, 4, axis=axis).sum(axis=-1).max() == 3
    for one, other in itertools.combinations(cells, 2):
        fixed = np.pad(one, 6)
        for down, across in itertools.product(range(13), repeat=2):
            moved = np.zeros_like(fixed)
            moved[down : down + 6, across : across + 6] = other
            assert (fixed != moved).sum() >= 16


def test_planted_is_what_the_zoo_was_trained_on(planted, split):
    """Random generators could change with NumPy; the shipped networks would not."""
    codes = (planted.images * 255).round().to(torch.uint8).numpy()
    checksum = zlib.crc32(codes.tobytes() + planted.labels.numpy().tobytes())
    assert checksum == {"train": 1892731996, "test": 1215188016}[split]


def test_planted_masks_are_the_evidence_whatever_is_chosen(planted):
    chosen = planted.sample(20, seed=3)
    assert torch.equal(chosen.masks(), planted.evidence[chosen.indices])
    assert torch.equal(chosen[4].mask, chosen.evidence[4])


def test_where_the_evidence_is_not_known_the_foreground_stands_in(digits):
    assert digits.evidence is None
    assert torch.equal(digits.subset(np.array([5])).masks()[0], foreground_mask(digits.images[5]))


def made(**changes):
    parts = {
        "name": "mine",
        "split": "test",
        "images": torch.rand(3, 1, 4, 5, generator=torch.Generator().manual_seed(0)),
        "labels": torch.tensor([0, 1, 1]),
        "class_names": ("cat", "dog"),
        "indices": torch.arange(3),
    }
    return Dataset(**parts | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": 255 * torch.ones(3, 1, 4, 5)}, r"pixels lie in \[0, 1\], not between 255 and 255; divide by 255"),
        ({"images": torch.full((3, 1, 4, 5), -0.1)}, r"pixels lie in \[0, 1\], not between -0.1 and -0.1$"),
        ({"images": torch.full((3, 1, 4, 5), float("nan"))}, r"pixels lie in \[0, 1\], not between nan and nan"),
        ({"images": torch.zeros(3, 4, 5)}, r"\(n, channels, height, width\), not torch.float32 \(3, 4, 5\)"),
        (
            {"images": torch.zeros(3, 1, 4, 5, dtype=torch.uint8)},
            r"a float32 tensor .*, not torch.uint8 \(3, 1, 4, 5\)",
        ),
        ({"images": np.zeros((3, 1, 4, 5), np.float32)}, "a float32 tensor .*, not "),
        ({"images": torch.zeros(0, 1, 4, 5)}, r"there are no images: their shape is \(0, 1, 4, 5\)"),
        ({"labels": torch.tensor([1, 2, 2])}, "labels lie between 0 and 1, the last of 2 classes, not between 1 and 2"),
        ({"labels": torch.tensor([0, -1, 1])}, "not between -1 and 1"),
        ({"labels": torch.tensor([0.0, 1.0, 1.0])}, r"labels are an int64 tensor \(3,\), .* not torch.float32 \(3,\)"),
        ({"labels": torch.tensor([0, 1])}, r"labels are an int64 tensor \(3,\), one per image, not torch.int64 \(2,\)"),
        ({"labels": [0, 1, 1]}, r"labels are an int64 tensor \(3,\), one per image, not "),
        ({"indices": torch.tensor([4, 7, 4])}, "two images have the same index"),
        ({"class_names": "ab"}, "class_names are texts, not "),
        (
            {"evidence": torch.zeros(3, 4, 5, dtype=torch.bool)},
            r"evidence is a bool tensor \(3, 1, 4, 5\), not torch.bool",
        ),
        ({"evidence": torch.zeros(3, 1, 4, 5)}, r"evidence is a bool tensor \(3, 1, 4, 5\), not torch.float32"),
        ({"split": "validation"}, "the split is 'train' or 'test', not 'validation'"),
    ],
)
def test_what_is_no_dataset_is_named(changes, message):
    with pytest.raises(SaqEvalError, match=f"^mine {changes.get('split', 'test')} set: .*{message}"):
        made(**changes)


def test_a_dataset_that_is_one_tells_itself_in_short():
    assert repr(made()) == "Dataset(mine test: 3 images 1x4x5, 2 classes)"
    assert len(made().subset(np.array([2, 0]))) == 2


def missing_files(split, data_root):
    return open(data_root / "nothing.npz")


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (missing_files, "'mine' cannot be loaded from .*: FileNotFoundError: .*nothing.npz"),
        (lambda split, data_root: {}["images"], "'mine' cannot be loaded from .*: KeyError: 'images'"),
        (lambda split, data_root: [1, 2], "the loader of the dataset 'mine' returns a saq_eval.Dataset, not "),
        (lambda split, data_root: made(split="train"), "was asked for its test set and returned 'mine', train"),
        (lambda split, data_root: made(name="other"), "was asked for its test set and returned 'other', test"),
        (lambda split, data_root: made(labels=torch.tensor([1, 2, 2])), "mine test set: labels lie between 0 and 1"),
    ],
)
def test_loaders_that_fail_are_told_in_a_sentence(load, message, monkeypatch, tmp_path):
    monkeypatch.setitem(DATASETS._entries, "mine", load)
    with pytest.raises(SaqEvalError, match=message):
        load_dataset("mine", "test", tmp_path)


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
    assert made(evidence=evidence).mask_record()["reason"] == "their evidence is empty"
