"""Pictures in folders: damaged, enormous, rare, of any name, and other things in their place."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saq_eval.core.errors import SaqEvalError
from saq_eval.data import check_readable, open_images
from saq_eval.data.geometry import Geometry
from tests.data.writing import noise, write
from tests.hostile.pictures import BMP, BROKEN, JPEG, ODD, PNG, WEBP
from tests.hostile.running import answered, refused

NETS = "import torch\n\n\ndef make():\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))\n"


@pytest.fixture
def pets(here):
    """Folders of two classes: cats, which a test adds to, and a dog, which comes behind."""
    (here / "strange_nets.py").write_text(NETS)
    write(here / "pets" / "dog" / "0.png", noise(12, 10))
    (here / "pets" / "cat").mkdir()
    return here / "pets"


def explain(index: int = 0) -> list:
    network = ("--model", "a=strange_nets:make", "--trust-code", "--methods", "saliency", "--size", "8")
    return ["explain", "--dataset", "folder:pets", "--index", index, *network]


def compare() -> list:
    network = ("--model", "a=strange_nets:make", "--model", "b=strange_nets:make", "--baseline", "a", "--trust-code")
    few = ("--methods", "saliency", "--metrics", "SSIM", "--samples", "2", "--workers", "1", "--quiet")
    return ["compare", "--dataset", "folder:pets", *network, *few, "--size", "8", "--output", "out"]


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_picture_is_named(here, pets, what):
    suffix, content = BROKEN[what]
    name = f"0.{suffix}"
    (pets / "cat" / name).write_bytes(content)
    sentence = refused(here, *compare())
    assert name in sentence and ("picture" in sentence or "too long" in sentence)


@pytest.mark.parametrize("what", ODD)
@pytest.mark.filterwarnings("ignore")
def test_an_odd_picture_is_read(here, pets, what):
    suffix, content = ODD[what]
    (pets / "cat" / f"0.{suffix}").write_bytes(content)
    images = open_images(f"folder:{pets}", geometry=Geometry(8))
    check_readable(images)
    pixels = images.read([0])
    assert pixels.shape[2:] == (8, 8) and 0 <= float(pixels.min()) <= float(pixels.max()) <= 1


def test_a_map_is_drawn_beside_odd_pictures(here, pets):
    for place, (suffix, content) in enumerate(ODD.values()):
        (pets / "cat" / f"{place:03}.{suffix}").write_bytes(content)
    assert answered(here, *explain(), output="reports") == (0, "")


NAMES = [
    *(b"a\nb", b"a\rb", b"a\tb", b"'", b'"', b"a b", b"--size", b"-", b"%s", b"{0}", b"$HOME", b"`ls`", b"a;b", b"a&b"),
    *(b"<script>", b"=1+1", b"\x1b[2J", b"\xff\xfe", b"\xed\xa0\x80", b"a\\b", b"nul", b"x" * 250),
    *("🐈", "e\u0301", "\u202egnp", "\u200b", "猫", "a\u2028b"),
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_a_name_of_any_characters(here, pets, name):
    name = os.fsdecode(name if isinstance(name, bytes) else name.encode())
    (pets / "cat" / f"{name}.png").write_bytes(b"no picture")
    assert "no JPEG, PNG, WebP or BMP picture" in refused(here, *compare())
    (pets / "cat" / f"{name}.png").write_bytes(PNG)
    images = open_images(f"folder:{pets}", geometry=Geometry(8))
    assert images.fingerprint and len(images.read([0, 1])) == 2


def test_names_of_any_characters_are_written_to_a_report(here, pets):
    for place, name in enumerate(NAMES):
        name = os.fsdecode(name if isinstance(name, bytes) else name.encode())
        (pets / name).mkdir()
        write(pets / name / "0.png", noise(12, 10, seed=place))
    (pets / "cat" / "0.png").write_bytes(PNG)
    (here / "strange_nets.py").write_text(NETS.replace("2)", f"{len(NAMES) + 2})"))
    code, sentence = answered(here, *compare(), output="out")
    assert (code, sentence) == (0, "")
    assert "<script>.png" not in (here / "out" / "report.html").read_text()


@pytest.mark.parametrize("name", ["a b", "é", "x" * 200, "-x", "a\nb", "🐈", "a\udcffb"])
def test_a_folder_that_cannot_be_a_name_is_refused(here, pets, name):
    pets.rename(here / name)
    refused(here, *["folder:" + name if each == "folder:pets" else each for each in compare()])


def test_what_stands_in_the_place_of_a_picture(here, pets):
    cat = pets / "cat" / "0.png"
    replacements = {
        "empty link": lambda: cat.symlink_to("nowhere"),
        "a link to itself": lambda: cat.symlink_to("0.png"),
        "a device": lambda: cat.symlink_to("/dev/zero"),
        "a file of the system": lambda: cat.symlink_to("/etc/hostname"),
        "a pipe": lambda: os.mkfifo(cat),
        "a file of 1 TiB": lambda: os.truncate(os.open(cat, os.O_CREAT | os.O_WRONLY), 2**40),
    }
    for what, replace in replacements.items():
        replace()
        sentence = refused(here, *compare())
        assert "0.png: cannot be read" in sentence, (what, sentence)
        cat.unlink()
    cat.mkdir()
    assert "the class has no picture" in refused(here, *compare())
    (cat / "0.png").write_bytes(PNG)
    assert open_images(f"folder:{pets}").names_of([0]) == ["cat/0.png/0.png"]
    big = pets / "cat" / "1.bmp"
    big.touch()
    os.truncate(big, 2**40)
    assert "1.bmp: cannot be read" in refused(here, *compare())


def test_links_in_a_loop_end(here, pets):
    (pets / "cat" / "0.png").write_bytes(PNG)
    for name in "abc":
        (pets / "cat" / name).symlink_to(pets)
        (pets / "dog" / name).symlink_to(pets / "cat")
    images = open_images(f"folder:{pets}")
    names = images.names_of(range(len(images)))
    assert names == ["cat/0.png", "cat/a/dog/0.png", "dog/0.png", "dog/a/0.png"]


def test_links_that_fork_do_not_double(here, pets):
    (pets / "cat" / "0.png").write_bytes(PNG)
    below = pets / "cat"
    for depth in range(30):
        (here / f"level{depth}").mkdir()
        for side in "ab":
            (below / side).symlink_to(here / f"level{depth}")
        below = here / f"level{depth}"
    (below / "deep.png").write_bytes(PNG)
    assert len(open_images(f"folder:{pets}")) == 3


FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@FUZZ
@given(data=st.data())
def test_spoilt_bytes_are_one_sentence_or_a_picture(below, data):
    suffix, content = data.draw(st.sampled_from([("jpg", JPEG), ("png", PNG), ("webp", WEBP), ("bmp", BMP)]))
    place = data.draw(st.integers(0, len(content)))
    junk = data.draw(st.binary(min_size=1, max_size=12))
    folder = Path(tempfile.mkdtemp(dir=below)) / "pets"
    write(folder / "cat" / "0.png", noise(12, 10))
    (folder / "cat" / f"1.{suffix}").write_bytes(content[:place] + junk + content[place + len(junk) :])
    try:
        images = open_images(f"folder:{folder}", geometry=Geometry(8))
        check_readable(images)
        assert images.read([1]).isfinite().all()
    except SaqEvalError as error:
        assert f"1.{suffix}" in str(error) and "\n" not in str(error)
