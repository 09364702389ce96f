from dataclasses import replace

import pytest
import torch
from torch import nn

from saq_eval import Recipe, SaliencyGuided, SaqEvalError, load_dataset, quantize
from saq_eval.networks.architectures import ARCHITECTURES
from saq_eval.networks.inference import accuracy
from saq_eval.quantization import PACTActivation
from saq_eval.training import loop
from saq_eval.training.loop import _augment, fit, start_clips_at_quantile

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def train_set():
    return load_dataset("digits", "train").sample(256, seed=0)


def small():
    torch.manual_seed(0)
    return ARCHITECTURES["cnn"](channels=(8, 8), pool_after=(1, 2), hidden=16)


RECIPE = Recipe(epochs=6, batch_size=32, learning_rate=0.1, weight_decay=1e-4)


@pytest.mark.parametrize("saliency_guided", [None, SaliencyGuided()])
def test_a_network_and_its_2_bit_twin_learn(train_set, digits, saliency_guided):
    recipe = replace(RECIPE, saliency_guided=saliency_guided)
    parent = small()
    history = fit(parent, train_set, recipe, seed=0, device=CPU)
    assert len(history) == 6 and history[-1].loss < history[0].loss
    assert accuracy(parent, digits) > 0.85
    assert not parent.training

    twin = quantize(parent, "w2a2")
    history = fit(twin, train_set, replace(recipe, learning_rate=0.05, alpha_init="quantile"), seed=0, device=CPU)
    assert history[-1].loss < history[0].loss
    assert accuracy(twin, digits) > 0.8


def test_the_seed_decides(train_set):
    def final_weights(seed):
        network = small()
        fit(network, train_set, Recipe(2, 32, 0.1, 0.0, shift=2, flip=True), seed, CPU)
        return network.fc2.weight.detach()

    assert torch.equal(final_weights(0), final_weights(0))
    assert not torch.equal(final_weights(0), final_weights(1))


def test_a_diverging_run_stops_with_its_cause(train_set):
    with pytest.raises(SaqEvalError, match="the training loss became nan.*lower learning rate"):
        fit(small(), train_set, Recipe(3, 32, 1e20, 0.0), 0, CPU)


def test_too_large_a_batch(train_set):
    with pytest.raises(SaqEvalError, match="batch size 1000 is above the training set's 256"):
        fit(small(), train_set, Recipe(1, 1000, 0.1, 0.0), 0, CPU)


def test_clips_decay_by_l2(train_set):
    """PACT, section 3: with no gradient from clipping, the penalty alone shrinks alpha."""

    def largest_clip(decay):
        network = quantize(small(), "w4a4")
        fit(network, train_set, Recipe(2, 32, 0.01, 0.0, alpha_decay=decay, alpha_init=1000.0), 0, CPU)
        return max(m.alpha.item() for m in network.modules() if isinstance(m, PACTActivation))

    assert largest_clip(0.0) == 1000.0
    assert largest_clip(0.1) < 1000.0


def test_clips_start_at_the_quantile_of_the_rectified_input():
    network = nn.Sequential(PACTActivation(16), nn.Identity(), PACTActivation(16))
    x = torch.linspace(-1, 1, 2001).reshape(1, -1)
    start_clips_at_quantile(network, x, quantile=0.9)
    assert network[0].alpha.item() == pytest.approx(0.8, abs=2e-3)
    assert network[2].alpha.item() == pytest.approx(0.8, abs=2e-3)  # it sees what the first one lets pass


def test_shift_moves_the_whole_image_and_fills_with_zeros():
    images = torch.rand(200, 2, 9, 9) + 1
    generator = torch.Generator().manual_seed(0)
    shifted = _augment(images, Recipe(1, 2, 0.1, 0.0, shift=2), generator)
    seen = set()
    for image, result in zip(images, shifted, strict=True):
        padded = nn.functional.pad(image, (2, 2, 2, 2))
        fits = [(r, c) for r in range(5) for c in range(5) if torch.equal(padded[:, r : r + 9, c : c + 9], result)]
        assert len(fits) == 1
        seen.add(fits[0])
    assert len(seen) == 25


def test_flip_mirrors_about_half_of_the_images():
    images = torch.rand(400, 1, 5, 5)
    flipped = _augment(images, Recipe(1, 2, 0.1, 0.0, flip=True), torch.Generator().manual_seed(0))
    mirrored = [torch.equal(f, i.flip(2)) for f, i in zip(flipped, images, strict=True)]
    kept = [torch.equal(f, i) for f, i in zip(flipped, images, strict=True)]
    assert all(m != k for m, k in zip(mirrored, kept, strict=True)) and 150 < sum(mirrored) < 250


def test_too_few_steps(train_set):
    with pytest.raises(SaqEvalError, match="the recipe makes 4 steps on 256 images; at least 10 are needed"):
        fit(small(), train_set, Recipe(1, 64, 0.1, 0.0), 0, CPU)


def test_a_recipe_leaves_the_precision_to_the_processor(train_set, monkeypatch):
    """In what `fast_precision` finds: never in numbers that the processor is slow in."""
    used = []
    monkeypatch.setattr(loop, "_epoch", lambda network, data, recipe, *rest: used.append(recipe.precision))
    for found in ("float32", "bfloat16"):
        monkeypatch.setattr(loop, "fast_precision", lambda device, found=found: found)
        fit(small(), train_set, Recipe(2, 32, 0.1, 0.0), 0, CPU)
        fit(small(), train_set, Recipe(2, 32, 0.1, 0.0, precision="bfloat16"), 0, CPU)
        assert used == [found, found, "bfloat16", "bfloat16"]
        used.clear()


def test_training_stops_at_a_clip_that_is_not_above_zero(train_set):
    network = quantize(small(), "w4a4")
    clip = next(name for name, module in network.named_modules() if isinstance(module, PACTActivation))
    with pytest.raises(SaqEvalError, match=rf"the clip of {clip} became -[\d.e+]+ in epoch 1, and is to stay above 0"):
        fit(network, train_set, Recipe(2, 32, 0.5, 0.0, alpha_decay=5.0, precision="float32"), 0, CPU)


def test_calibrated_clips_are_kept_at_the_start(cnn, digits):
    network = quantize(cnn, "w4a4")
    clips = [module.alpha for module in network.modules() if isinstance(module, PACTActivation)]
    with torch.no_grad():
        for place, alpha in enumerate(clips):
            alpha.fill_(1.5 + place)
    slow = Recipe(1, 16, 1e-9, 0.0, alpha_init="calibrated", precision="float32")
    fit(network, digits, slow, seed=0, device=CPU)
    assert [alpha.item() for alpha in clips] == pytest.approx([1.5 + place for place in range(len(clips))], abs=1e-4)
