import zipfile
from dataclasses import replace

import numpy as np
import pytest

from saq_eval.core.errors import SaqEvalError
from saq_eval.reporting import Gallery
from saq_eval.reporting.gallery import levels


def parts(count=3, side=4, **changes):
    rng = np.random.default_rng(0)
    return {
        "images": rng.random((count, 1, side, side), dtype=np.float32),
        "indices": np.arange(count) * 10,
        "labels": [0, 1, 0][:count],
        "class_names": ("cat", "dog"),
        "predictions": {"fp32": np.array([0, 1, 1][:count])},
        "groups": {"worst changed": [2, 0], "cat": [0, 2]},
        "maps": {("fp32", "lrp"): rng.normal(size=(count, side, side))},
        "ssim": {("fp32", "lrp"): np.array([1, np.nan, 0.5][:count])},
    } | changes


def test_levels_are_magnitudes_over_each_maps_maximum():
    maps = np.array([[[-2.0, 1.0], [0.0, 0.5]], [[0.2, 0.1], [0.0, 0.0]]])
    np.testing.assert_array_equal(levels(maps), [[[255, 128], [0, 64]], [[255, 128], [0, 0]]])


@pytest.mark.parametrize("value", [0.0, 3.0, np.nan, np.inf])
def test_a_map_that_says_nothing_is_black(value):
    assert not levels(np.full((1, 3, 3), value)).any()


def test_a_map_with_one_undefined_pixel_is_black():
    maps = np.ones((2, 2, 2))
    maps[:, 0, 0] = [np.nan, 0.5]
    assert not levels(maps)[0].any() and levels(maps)[1].max() == 255


def test_written_and_read_it_is_the_same(tmp_path):
    gallery = Gallery.of(**parts())
    gallery.write(tmp_path / "gallery.npz")
    read = Gallery.read(tmp_path / "gallery.npz")
    assert read.class_names == gallery.class_names and read.groups == gallery.groups
    for name in ("images", "indices", "labels"):
        np.testing.assert_array_equal(getattr(read, name), getattr(gallery, name))
    for name in ("predictions", "maps", "ssim"):
        mine, theirs = getattr(gallery, name), getattr(read, name)
        assert list(mine) == list(theirs)
        for key in mine:
            np.testing.assert_array_equal(mine[key], theirs[key])


def test_the_same_gallery_gives_the_same_bytes(tmp_path):
    for name in "ab":
        Gallery.of(**parts()).write(tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_an_empty_gallery_survives(tmp_path):
    empty = Gallery.of(
        images=np.empty((0, 1, 4, 4)),
        indices=[],
        labels=[],
        class_names=(),
        predictions={},
        groups={},
        maps={},
        ssim={},
    )
    empty.write(tmp_path / "gallery.npz")
    assert len(Gallery.read(tmp_path / "gallery.npz").images) == 0


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_what_is_no_gallery_is_an_error(tmp_path, content):
    path = tmp_path / "gallery.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SaqEvalError, match="no gallery"):
        Gallery.read(path)


def test_a_pickle_is_not_opened(tmp_path):
    path = tmp_path / "gallery.npz"
    np.savez(path, about=np.array([{"a": 1}], dtype=object))
    assert zipfile.is_zipfile(path)
    with pytest.raises(SaqEvalError, match="no gallery"):
        Gallery.read(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": np.zeros((3, 2, 4, 4))}, "1 or 3"),
        ({"labels": [0, 1]}, "'labels' has shape"),
        ({"groups": {"cat": [3]}}, "group 'cat'"),
        ({"maps": {("a", "b"): np.zeros((3, 5, 4))}}, "maps of"),
        ({"ssim": {("a", "b"): np.zeros(2)}}, "SSIM of"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(SaqEvalError, match=words):
        Gallery.of(**parts(**changes))


def test_large_pictures_are_shrunk_by_block_means():
    image = np.zeros((1, 3, 200, 200), dtype=np.float32)
    image[:, :, :3, :3] = 0.9
    gallery = Gallery.of(
        **parts(
            1,
            images=image,
            maps={("m", "a"): np.ones((1, 200, 200)) * np.arange(200)},
            groups={"cat": [0]},
            ssim={},
            indices=[0],
            labels=[0],
            predictions={},
        )
    )
    assert gallery.images.shape == (1, 3, 66, 66) and gallery.maps["m", "a"].shape == (1, 66, 66)
    assert gallery.images[0, 0, 0, 0] == pytest.approx(0.9 * 255, abs=1) and gallery.images[0, 0, 1, 1] == 0


def test_fewer_images_come_from_all_groups_most_telling_first():
    gallery = Gallery.of(**parts(groups={"worst": [2, 1], "best": [1, 2]}))
    fewer = gallery.first(2)
    assert fewer.indices.tolist() == [10, 20]
    assert fewer.groups == {"worst": [1, 0], "best": [0, 1]}
    np.testing.assert_array_equal(fewer.maps["fp32", "lrp"], gallery.maps["fp32", "lrp"][1:])
    assert gallery.first(1).groups == {"worst": [0], "best": [0]}
    assert gallery.first(3) is gallery


def test_it_is_frozen():
    gallery = Gallery.of(**parts())
    with pytest.raises(AttributeError):
        gallery.labels = None
    assert replace(gallery, groups={}).groups == {}
