"""Folders of pictures: splits, classes, identities, and what is in the way."""

import pickle

import cloudpickle
import numpy as np
import pytest
import torch
from PIL import Image

from saq_eval import SaqEvalError
from saq_eval.data.folder import FolderSource, files_digest, identities, list_files, open_folder
from saq_eval.data.geometry import Geometry
from saq_eval.data.lazy import check_readable, with_geometry
from tests.data.writing import noise, pets, write


def test_a_folder_for_each_class(tmp_path):
    images = open_folder(pets(tmp_path / "pets"), "test")
    assert (images.name, images.split, images.class_names) == ("pets", "test", ("cat", "dog"))
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1] and images.image_shape == (3, 6, 8)
    assert images.names_of([0, 5]) == ["cat/0000.png", "dog/0002.png"]
    expected = torch.from_numpy(noise(6, 8, seed=12)).permute(2, 0, 1) / 255
    assert torch.equal(images.read([5])[0], expected)


@pytest.mark.parametrize(
    ("there", "split", "found"),
    [
        (("train", "test", "val"), "test", "test"),
        (("train", "val"), "test", "val"),
        (("train", "test"), "train", "train"),
        (("val",), "test", "val"),
    ],
)
def test_the_split_is_found(tmp_path, there, split, found):
    for count, name in enumerate(there, start=1):
        pets(tmp_path / name, count=count)
    images = open_folder(tmp_path, split, name="pets")
    assert len(images) == 2 * (there.index(found) + 1) and images.split == split


def test_a_split_that_is_not_there_is_named(tmp_path):
    pets(tmp_path)
    with pytest.raises(SaqEvalError, match=r"there is no train split: it would be in .*/train$"):
        open_folder(tmp_path, "train", name="pets")
    (tmp_path / "train").mkdir()
    with pytest.raises(SaqEvalError, match="there is no test split: it would be in .*/test or .*/val$"):
        open_folder(tmp_path, "test", name="pets")
    with pytest.raises(SaqEvalError, match="'train' or 'test', not 'all'"):
        open_folder(tmp_path, "all", name="pets")


def test_hidden_files_and_other_files_are_left_out(tmp_path):
    pets(tmp_path)
    write(tmp_path / "cat" / ".hidden.png", noise(2, 2))
    write(tmp_path / ".cache" / "a.png", noise(2, 2))
    write(tmp_path / "cat" / "old" / "UPPER.PNG", noise(6, 8))
    (tmp_path / "dog" / "notes.txt").write_text("good dog")
    images = open_folder(tmp_path, "test", name="pets")
    assert len(images) == 7 and images.source.ignored == 2
    assert images.names_of([3]) == ["cat/old/UPPER.PNG"]


def test_folders_without_pictures_are_named(tmp_path):
    with pytest.raises(SaqEvalError, match="nothing: there is no such folder of pictures"):
        open_folder(tmp_path / "nothing", "test")
    write(tmp_path / "loose" / "a.png", noise(2, 2))
    with pytest.raises(SaqEvalError, match="loose: there is no folder of a class .*; 1 pictures are in no class"):
        open_folder(tmp_path / "loose", "test")
    pets(tmp_path / "pets")
    (tmp_path / "pets" / "fish").mkdir()
    (tmp_path / "pets" / "fish" / "notes.txt").write_text("no fish")
    with pytest.raises(SaqEvalError, match="fish: the class has no picture .* 1 other files"):
        open_folder(tmp_path / "pets", "test")
    pets(tmp_path / "my pets!")
    with pytest.raises(SaqEvalError, match="my pets!: a dataset's name has .*: rename the folder"):
        open_folder(tmp_path / "my pets!", "test")


def test_grey_pictures_have_one_channel_unless_one_has_colours(tmp_path):
    pets(tmp_path / "pets", channels=1)
    assert open_folder(tmp_path / "pets", "test").image_shape == (1, 6, 8)
    write(tmp_path / "pets" / "dog" / "z.png", noise(6, 8))
    images = open_folder(tmp_path / "pets", "test")
    read = images.read(range(len(images)))
    assert (
        read.shape == (7, 3, 6, 8) and torch.equal(read[0, 0], read[0, 2]) and not torch.equal(read[6, 0], read[6, 2])
    )


def test_pictures_of_two_sizes_need_a_geometry(tmp_path):
    pets(tmp_path / "pets")
    write(tmp_path / "pets" / "dog" / "z.png", noise(9, 7))
    images = open_folder(tmp_path / "pets", "test")
    for fails in (lambda: images.read(range(7)), lambda: check_readable(images)):
        with pytest.raises(SaqEvalError, match="dog/z.png has 7x9 pixels .* and cat/0000.png 8x6 .*: give --size"):
            fails()
    check_readable(images, range(6))
    square = with_geometry(images, Geometry(5))
    check_readable(square)
    assert square.read(range(7)).shape == (7, 3, 5, 5)
    with pytest.raises(SaqEvalError, match="cat/0000.png: a crop of 7 pixels does not fit into 8x6"):
        check_readable(with_geometry(images, Geometry(crop=7)))


def test_a_geometry_reads_as_torchvision_does(tmp_path):
    from torchvision.transforms import CenterCrop, Compose, Resize, ToTensor

    path = write(tmp_path / "pets" / "cat" / "a.jpg", noise(50, 41))
    theirs = Compose([Resize(24), CenterCrop(20), ToTensor()])(Image.open(path))
    images = with_geometry(open_folder(tmp_path / "pets", "test"), Geometry(24, 20))
    assert torch.equal(images.read([0])[0], theirs)


def test_a_broken_picture_is_named_before_it_is_needed(tmp_path):
    pets(tmp_path / "pets", height=140, width=140)  # large enough for threads
    broken = tmp_path / "pets" / "dog" / "0001.png"
    broken.write_bytes(broken.read_bytes()[:400])
    images, seen = open_folder(tmp_path / "pets", "test"), []
    check_readable(images, [0, 1, 2, 3, 5], seen.append)
    assert sum(seen) == 5
    for fails in (lambda: check_readable(images), lambda: images.read([4])):
        with pytest.raises(SaqEvalError, match="dog/0001.png: cannot be read as a picture: .*truncated"):
            fails()


def test_an_image_keeps_its_identity_when_others_come(tmp_path):
    before = open_folder(pets(tmp_path / "pets"), "test")
    write(tmp_path / "pets" / "ant" / "a.png", noise(6, 8))
    write(tmp_path / "pets" / "cat" / "00005.png", noise(6, 8))
    after = open_folder(tmp_path / "pets", "test")
    names = dict(zip(after.names_of(range(8)), after.indices.tolist(), strict=True))
    assert [names[name] for name in before.names_of(range(6))] == before.indices.tolist()
    assert len(set(names.values())) == 8 and all(0 <= number < 2**53 for number in names.values())


def test_equal_names_have_different_identities():
    assert len(identities(["a", "a", "b"]).unique()) == 3 and identities(["a", "b"])[0] == identities(["a"])[0]


def test_the_fingerprint_is_that_of_the_content_wherever_it_is(tmp_path):
    one, two = (open_folder(pets(tmp_path / name), "test", name="pets") for name in ("one", "two"))
    assert one.fingerprint == two.fingerprint == pickle.loads(cloudpickle.dumps(one)).fingerprint
    assert len({one.fingerprint, one.subset([0, 1]).fingerprint, with_geometry(one, Geometry(4)).fingerprint}) == 3
    path = tmp_path / "two" / "cat" / "0000.png"
    write(path, noise(6, 8, seed=99))
    assert open_folder(tmp_path / "two", "test", name="pets").fingerprint != one.fingerprint


def test_large_files_are_told_apart_by_their_ends(tmp_path):
    content = bytearray(np.random.default_rng(0).bytes(20_000))
    (tmp_path / "a.jpg").write_bytes(content)
    before = files_digest(tmp_path, ["a.jpg"])
    content[-1] ^= 1
    (tmp_path / "a.jpg").write_bytes(content)
    assert files_digest(tmp_path, ["a.jpg"]) != before
    (tmp_path / "b.bmp").write_bytes(content)
    whole = files_digest(tmp_path, ["b.bmp"])
    content[10_000] ^= 1
    (tmp_path / "b.bmp").write_bytes(content)
    assert files_digest(tmp_path, ["b.bmp"]) != whole
    with pytest.raises(SaqEvalError, match="gone.jpg: cannot be read: No such file"):
        files_digest(tmp_path, ["gone.jpg"])


def test_only_names_travel_to_other_processes(tmp_path):
    images = open_folder(pets(tmp_path / "pets", height=100, width=100), "test")
    expected, sent = images.read([0, 4]), cloudpickle.dumps(images)
    assert len(sent) < 5000 and torch.equal(pickle.loads(sent).read([0, 4]), expected)


def test_a_sample_is_read_and_knows_its_places(tmp_path):
    images = open_folder(pets(tmp_path / "pets"), "test")
    sample = images.sample(4, seed=0)
    assert torch.bincount(sample.labels).tolist() == [2, 2]
    assert torch.equal(sample.images, images.read(sample.positions))
    assert torch.equal(sample.indices, images.indices[sample.positions])
    assert sample.mask_record()["kind"] == "none" and "colour images" in sample.mask_record()["reason"]


def test_files_below_a_folder_are_listed_in_order(tmp_path):
    for name in ("b/2.png", "b/10.png", "a.png"):
        write(tmp_path / name, noise(2, 2))
    assert list_files(tmp_path, "", {".png"}) == (["a.png", "b/10.png", "b/2.png"], 0)
    assert list_files(tmp_path, "b", {".jpg"}) == ([], 2)
    assert FolderSource(tmp_path, ["a.png"]).path(0) == tmp_path / "a.png"
