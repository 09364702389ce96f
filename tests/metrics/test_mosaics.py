from dataclasses import replace

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop
from torch import nn

from saq_eval import explain, freeze, load_model
from saq_eval.metrics.base import METRICS, Task, find_scorer
from saq_eval.metrics.mosaics import draw_members, mosaics_of, tile
from saq_eval.networks.architectures import ARCHITECTURES

NAMES = ["Focus", "MosaicPointing", "MosaicMass"]


def known_map(index, target, shape=(28, 28)):
    """A signed map that depends on an image's identity and the class explained alone."""
    return np.random.default_rng([int(index), int(target)]).standard_normal(shape).astype(np.float32)


def known_maps(network, images, targets, indices):
    return np.stack([known_map(index, target) for index, target in zip(indices, targets, strict=True)])


@pytest.fixture
def make(digits):
    """Build a task of the first test digits, or of chosen ones, with maps by `maps_of`, as `Task.explain`."""

    def make(maps_of=known_maps, network=None, positions=range(40), targets=None, batch_size=64):
        sample = digits.subset(np.array(positions))
        images, labels, indices = sample.images.numpy(), sample.labels.numpy(), sample.indices.numpy()
        targets = labels if targets is None else targets
        maps = maps_of(network, images, targets, indices)
        masks = sample.masks().numpy()
        return Task(network, images, labels, targets, masks, maps, maps, indices, 0, batch_size, "cpu", explain=maps_of)

    return make


def by_method(method, batch_size=64):
    def maps_of(network, images, targets, indices):
        tensors = torch.from_numpy(images), torch.from_numpy(targets)
        return explain(method, network, *tensors, indices=indices.tolist(), batch_size=batch_size).numpy()

    return maps_of


def scores(task):
    return {name: METRICS[name].score(task) for name in NAMES}


def test_mosaics_show_the_image_a_partner_and_two_others(make):
    task = make()
    members, of_class = draw_members(task)
    assert (of_class.sum(axis=1) == 2).all()
    for image, (cells, alike) in enumerate(zip(members, of_class, strict=True)):
        assert len(set(cells)) == 4 and image in cells[alike]
        assert ((task.labels[cells] == task.labels[image]) == alike).all()
    own_cell = (members == np.arange(40)[:, None]).argmax(axis=1)
    assert set(own_cell) == {0, 1, 2, 3}
    assert len({tuple(cells) for cells in of_class}) == 6  # all layouts


def test_scores_are_those_of_an_independent_computation(make):
    task = make()
    found = scores(task)
    for image, (cells, alike) in enumerate(zip(*draw_members(task), strict=True)):
        maps = [known_map(task.indices[cell], task.labels[image]) for cell in cells]
        positive = np.array([m[m > 0].sum(dtype=np.float64) for m in maps])
        magnitude = np.array([np.abs(m).sum(dtype=np.float64) for m in maps])
        highest = int(np.argmax([m.max() for m in maps]))
        assert found["Focus"][image] == pytest.approx(positive[alike].sum() / positive.sum(), abs=1e-6)
        assert found["MosaicMass"][image] == pytest.approx(magnitude[alike].sum() / magnitude.sum(), abs=1e-6)
        assert found["MosaicPointing"][image] == alike[highest]


def test_focus_is_that_of_quantus(make):
    task = make()
    found, expected = (find_scorer("Focus", engine).score(task)[0] for engine in ("native", "quantus"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
    assert METRICS["Focus"].by_quantus is not None and METRICS["MosaicMass"].by_quantus is None


def test_a_tile_is_the_four_cells_by_rows():
    cells = np.random.default_rng(0).random((3, 4, 5, 7))
    np.testing.assert_array_equal(tile(cells)[1], np.block([[cells[1, 0], cells[1, 1]], [cells[1, 2], cells[1, 3]]]))


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_maps_that_know_the_class_score_1_and_those_that_err_0(digits, make, right, scale):
    def maps_of(network, images, targets, indices):
        seen = (digits.labels.numpy()[indices] == targets) == right
        return (scale * seen[:, None, None] * np.ones((28, 28))).astype(np.float32)

    for found in scores(make(maps_of)).values():
        np.testing.assert_allclose(found, float(right), atol=1e-8)


def test_unrelated_maps_score_one_half(make):
    task = make(positions=range(360))
    for name in NAMES:
        assert METRICS[name].score(task).mean() == pytest.approx(0.5, abs=0.1 if name == "MosaicPointing" else 0.01)
        np.testing.assert_array_equal(find_scorer(name).chance(task), np.full(360, 0.5))


def test_foreign_maps_are_computed_once_and_maps_of_the_own_class_not_again(make):
    asked = []

    def recorded(network, images, targets, indices):
        asked.append(list(zip(indices.tolist(), targets.tolist(), strict=True)))
        return known_maps(network, images, targets, indices)

    task = replace(make(), explain=recorded)
    scores(task)
    label_of = dict(zip(task.indices.tolist(), task.labels.tolist(), strict=True))
    assert len(asked) == 1 and len(asked[0]) == len(set(asked[0])) <= 2 * len(task.labels)
    assert all(label_of[index] != target for index, target in asked[0])


def test_maps_of_another_class_than_the_label_are_replaced(make):
    task = make()
    targets = task.labels.copy()
    targets[:10] = (targets[:10] + 1) % 10
    np.testing.assert_array_equal(mosaics_of(make(targets=targets)).maps, mosaics_of(task).maps)


def test_maps_are_not_those_of_another_task(make):
    task = make()
    first = METRICS["MosaicMass"].score(task)
    louder = replace(task, maps=3 * task.maps)
    assert (METRICS["MosaicMass"].score(louder) > first).all()
    np.testing.assert_array_equal(METRICS["MosaicMass"].score(task), first)


@pytest.mark.parametrize("method", ["saliency", "gradient_shap", "random"])
def test_scores_depend_neither_on_the_order_of_the_images_nor_on_batches(cnn, make, method):
    positions = np.arange(30)
    shuffled = np.random.default_rng(0).permutation(positions)
    plain = scores(make(by_method(method), cnn, positions))
    other = scores(make(by_method(method, batch_size=7), cnn, shuffled, batch_size=7))
    for name in NAMES:
        np.testing.assert_allclose(plain[name][shuffled], other[name], atol=1e-5)


def test_images_without_partner_or_without_others_have_no_score(digits, make):
    labels = digits.labels.numpy()
    threes, fours = np.flatnonzero(labels == 3), np.flatnonzero(labels == 4)
    alone = make(positions=[threes[0], *fours[:5]])
    assert all(np.isnan(found).all() for found in scores(alone).values())  # the fours lack a second other image
    enough = make(positions=[*threes[:2], *fours[:5]])
    assert all(np.isfinite(found).all() for found in scores(enough).values())
    one = make(positions=[threes[0], *fours[:5], np.flatnonzero(labels == 5)[0]])
    assert np.isnan(METRICS["Focus"].score(one)).tolist() == [True, *5 * [False], True]


def test_mosaics_without_relevance_have_no_score(make):
    def negative(network, images, targets, indices):
        return -np.abs(known_maps(network, images, targets, indices))

    found = scores(make(negative))
    assert np.isnan(found["Focus"]).all() and np.isnan(found["MosaicPointing"]).all()
    assert np.isfinite(found["MosaicMass"]).all()
    for constant in (0.0, 2.0, np.nan, np.inf):
        found = scores(make(lambda network, images, *_, value=constant: np.full(images[:, 0].shape, value, np.float32)))
        assert all(np.isnan(values).all() for values in found.values())


def test_a_map_that_is_not_finite_spoils_its_mosaics_only(make):
    task = make()
    maps = task.maps.copy()
    maps[3, 5, 5] = np.nan
    members, of_class = draw_members(task)
    spoiled = ((members == 3) & of_class).any(axis=1)
    for found in scores(replace(task, maps=maps)).values():
        np.testing.assert_array_equal(np.isnan(found), spoiled)


def test_the_pointing_game_shares_a_tie(make):
    def equal_peaks(network, images, targets, indices):
        maps = np.zeros((len(images), 28, 28), dtype=np.float32)
        maps[:, 4, 4] = 1
        return maps

    np.testing.assert_array_equal(METRICS["MosaicPointing"].score(make(equal_peaks)), 0.5)


@pytest.mark.parametrize("method", ["integrated_gradients:n_steps=8", "deeplift", "lrp"])
def test_a_trained_network_beats_random_weights(make, method):
    trained = load_model("digits", "cnn-fp32").network
    untrained = freeze(ARCHITECTURES["cnn"]().eval())
    good, bad = (scores(make(by_method(method), network)) for network in (trained, untrained))
    for name in ("Focus", "MosaicPointing"):
        assert good[name].mean() > 0.65 and good[name].mean() > bad[name].mean() + 0.1


class MosaicNetwork(nn.Module):
    """Reads a 2x2 mosaic cell by cell and takes the mean of the logits."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, mosaics):
        count, channels, height, width = mosaics.shape
        cells = mosaics.reshape(count, channels, 2, height // 2, 2, width // 2).permute(0, 2, 4, 1, 3, 5)
        return self.network(cells.flatten(0, 2)).reshape(count, 4, -1).mean(dim=1)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize(
    "method", ["saliency", "input_x_gradient", "integrated_gradients:n_steps=8", "guided_backprop"]
)
def test_tiled_maps_are_four_times_those_of_the_mean_logit_of_the_mosaic(cnn, make, method):
    network = freeze(cnn)
    task = make(by_method(method), network)
    mosaics = mosaics_of(task)
    images, targets = torch.from_numpy(tile(task.images[mosaics.members, 0]))[:, None], torch.from_numpy(task.labels)
    seer = MosaicNetwork(network).eval()
    if method == "guided_backprop":  # `explain` wants to know all layers
        whole = GuidedBackprop(seer).attribute(images.requires_grad_(), target=targets)[:, 0].numpy()
    else:
        whole = explain(method, seer, images, targets).numpy()
    assert whole.shape == mosaics.maps.shape == (40, 56, 56)
    np.testing.assert_allclose(4 * whole, mosaics.maps, atol=1e-5 * mosaics.maps.max())


def test_turning_all_maps_changes_no_score_though_pixels_are_tied(make):
    def tied(network, images, targets, indices):
        return np.round(known_maps(network, images, targets, indices))

    def turned(*batch):
        return tied(*batch)[:, ::-1, ::-1].copy()

    for name, expected in scores(make(tied)).items():
        np.testing.assert_allclose(scores(make(turned))[name], expected, atol=1e-6)
