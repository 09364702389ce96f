"""Typical images for the methods that compare with them."""

import numpy as np
import pytest
import torch

from saq_eval.attribution import find_explainers
from saq_eval.attribution.background import background_images
from saq_eval.data import load_dataset


def training():
    return load_dataset("digits", "train")


def test_methods_that_compare_with_no_images_get_none():
    assert background_images(find_explainers(["saliency", "occlusion"]), pytest.fail, 0) is None  # none is opened


def test_as_many_training_images_as_the_greediest_method_wants():
    explainers = find_explainers(["saliency", "deeplift_shap:n_background=5", "deeplift_shap:n_background=20"])
    images = background_images(explainers, training, 0)
    assert images.shape == (20, 1, 28, 28) and 0 <= images.min() < images.max() <= 1
    known = {image.tobytes() for image in load_dataset("digits", "train").images.numpy()}
    assert all(image.tobytes() in known for image in np.asarray(images))


def test_images_are_drawn_by_the_seed():
    explainers = find_explainers(["deeplift_shap"])
    first, again, other = (background_images(explainers, training, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_where_there_are_fewer_images_all_are_taken():
    few = training().subset(range(4))
    assert len(background_images(find_explainers(["deeplift_shap"]), lambda: few, 0)) == 4
