import torch

from saq_eval import load_dataset


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
