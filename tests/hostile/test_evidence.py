"""Files of boxes, masks and class names that are damaged, enormous, or name other files."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from saq_eval.core.errors import SaqEvalError
from saq_eval.data import check_readable, open_images
from saq_eval.data.geometry import Geometry
from tests.data.writing import noise, write
from tests.hostile.pictures import BROKEN, PNG, RGB, saved
from tests.hostile.running import answered, refused

NETS = "import torch\n\n\ndef make():\n    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))\n"


def make_pets(here: Path) -> Path:
    (here / "strange_nets.py").write_text(NETS)
    for name in ("cat", "dog"):
        write(here / "pets" / name / f"{name}.png", noise(12, 10))
    return here / "pets"


@pytest.fixture
def pets(here):
    return make_pets(here)


def compare(*options) -> list:
    network = ("--model", "a=strange_nets:make", "--model", "b=strange_nets:make", "--baseline", "a", "--trust-code")
    few = ("--methods", "saliency", "--metrics", "PointingGame", "--samples", "2", "--workers", "1", "--quiet")
    return ["compare", "--dataset", "folder:pets", *network, *few, "--size", "8", "--output", "out", *options]


IMAGES = [{"id": 1, "file_name": "cat/cat.png", "height": 12, "width": 10}]


def coco(box=(1, 1, 4, 4), **image) -> str:
    boxes = [{"image_id": 1, "bbox": list(box), "category_id": 1}]
    return json.dumps({"images": [IMAGES[0] | image], "annotations": boxes, "categories": [{"id": 1, "name": "pet"}]})


COCO = {
    "empty": "",
    "a number": "1",
    "a list": "[]",
    "null": "null",
    "half": coco()[:50],
    "zero bytes": "\0" * 100,
    "not UTF-8": b"\xff\xfe",
    "deep": "[" * 100_000,
    "deep and closed": '{"images":' + "[" * 50_000 + "]" * 50_000 + "}",
    "digits": '{"images": ' + "9" * 1_000_000 + "}",
    "digits of a box": coco().replace("[1, 1, 4, 4]", f"[1, 1, 4, {'9' * 5_000}]"),
    "an exponent": coco().replace("[1, 1, 4, 4]", "[1, 1, 4, 1e999999999]"),
    "NaN": coco((float("nan"), 1, 4, 4)),
    "infinity": coco((1, 1, float("inf"), 4)),
    "negative": coco((5, 5, -4, -4)),
    "texts": coco(("a", "b", "c", "d")),
    "three numbers": coco((1, 2, 3)),
    "no box": coco(()),
    "a mapping": coco().replace("[1, 1, 4, 4]", "{}"),
    "another size": coco(height=10**9),
    "a negative size": coco(height=-12),
    "a size of digits": coco().replace('"height": 12', f'"height": {"9" * 4_000}'),
    "a size that is none": coco(height=float("nan")),
    "a name that is none": coco(file_name=None),
    "a name of a path": coco(file_name="../../../etc/passwd"),
    "an absolute name": coco(file_name="/etc/passwd"),
    "a name with zero bytes": coco(file_name="\0"),
    "an empty name": coco(file_name=""),
    "a dot": coco(file_name="."),
    "two dots": coco(file_name=".."),
    "slashes": coco(file_name="//"),
    "a surrogate": coco(file_name="\ud800"),
    "no images": '{"annotations": []}',
    "no boxes": '{"images": [], "annotations": []}',
    "a picture": PNG,
}


@pytest.mark.parametrize("what", COCO)
def test_coco_that_is_none_is_refused(here, pets, what):
    content = COCO[what]
    (here / "boxes.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert "boxes.json" in refused(here, *compare("--boxes", "boxes.json"))


def test_an_enormous_box_is_all_of_the_picture(here, pets):
    (here / "boxes.json").write_text(coco((-1e300, -1e300, 1.7e308, 1.7e308)))
    images = open_images("folder:" + str(pets), geometry=Geometry(8), boxes=here / "boxes.json")
    assert images.read_evidence([0]).all()


def test_many_boxes_end(here, pets):
    data = json.loads(coco())
    data["annotations"] = [data["annotations"][0] | {"bbox": [x / 1e5, 1, 4, 4]} for x in range(20_000)]
    (here / "boxes.json").write_text(json.dumps(data))
    assert answered(here, *compare("--boxes", "boxes.json"), output="out")[0] == 0


def voc(inside="<xmin>1</xmin><ymin>1</ymin><xmax>4</xmax><ymax>4</ymax>", size="", head="") -> str:
    thing = f"<object><name>cat</name><bndbox>{inside}</bndbox></object>"
    return f"{head}<annotation>{size}{thing}</annotation>"


def box(**edges) -> str:
    edges = {"xmin": 1, "ymin": 1, "xmax": 4, "ymax": 4} | edges
    return "".join(f"<{name}>{value}</{name}>" for name, value in edges.items())


def laughs(count: int = 9) -> str:
    """Return a document type whose last entity stands for 10 to the power of `count` laughs."""
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, count + 1))
    return f'<!DOCTYPE x [<!ENTITY a0 "lol">{entities}]>'


ONES = "1" * 20_000
VOC = {
    "empty": "",
    "half": voc()[:40],
    "no XML": "{}",
    "zero bytes": "\0" * 100,
    "another encoding": '<?xml version="1.0" encoding="klingon"?>' + voc(),
    "UTF-7": '<?xml version="1.0" encoding="utf-7"?>' + voc(),
    "laughs": voc(box(xmin="&a9;"), head=laughs()),
    "a long entity": voc(box(xmin="&a;" * 20_000), head=f"<!DOCTYPE x [<!ENTITY a '{ONES}'>]>"),
    "an entity in itself": voc(box(xmin="&a;"), head='<!DOCTYPE x [<!ENTITY a "&b;"><!ENTITY b "&a;">]>'),
    "another file": voc(box(xmin="&a;"), head='<!DOCTYPE x [<!ENTITY a SYSTEM "secret">]>'),
    "another file by parameter": voc(head='<!DOCTYPE x [<!ENTITY % a SYSTEM "secret"> %a;]>').replace(">1<", ">&b;<"),
    "an address": voc(box(xmin="&a;"), head='<!DOCTYPE x [<!ENTITY a SYSTEM "http://127.0.0.1:9/x">]>'),
    "a pipe": voc(box(xmin="&a;"), head='<!DOCTYPE x [<!ENTITY a SYSTEM "pipe">]>'),
    "an unknown entity": voc(box(xmin="&a;")),
    "deep": "<a>" * 100_000,
    "deep and closed": "<a>" * 50_000 + "</a>" * 50_000,
    "NaN": voc(box(xmin="nan")),
    "infinity": voc(box(xmax="inf")),
    "text": voc(box(xmin="one")),
    "digits": voc(box(xmin="9" * 1_000_000)),
    "reversed": voc(box(xmin=4, xmax=1)),
    "no edge": voc("<xmin>1</xmin>"),
    "no box": "<annotation><object/></annotation>",
    "no object": "<annotation/>",
    "a size that is NaN": voc(size="<size><width>nan</width><height>nan</height></size>"),
    "an infinite size": voc(size="<size><width>inf</width><height>inf</height></size>"),
    "a size without a height": voc(size="<size><width>10</width></size>"),
    "another size": voc(size="<size><width>1e300</width><height>-1</height></size>"),
    "many attributes": "<annotation " + " ".join(f"a{n}='1'" for n in range(50_000)) + "/>",
}


@pytest.mark.parametrize("what", VOC)
def test_voc_that_is_none_is_refused_and_reads_no_other_file(here, pets, what):
    (here / "secret").write_text("4711")
    (here / "boxes").mkdir()
    os.mkfifo(here / "boxes" / "pipe")
    (here / "boxes" / "secret").write_text("4711")
    (here / "boxes" / "cat.xml").write_text(VOC[what])
    sentence = refused(here, *compare("--boxes", "boxes"))
    assert "boxes" in sentence and "4711" not in sentence


def test_voc_in_the_place_of_a_file(here, pets):
    (here / "boxes").mkdir()
    xml = here / "boxes" / "cat.xml"
    for replace in (lambda: os.mkfifo(xml), lambda: xml.symlink_to("/dev/zero"), lambda: xml.symlink_to("cat.xml")):
        replace()
        assert "cat.xml" in refused(here, *compare("--boxes", "boxes"))
        xml.unlink()
    xml.touch()
    os.truncate(xml, 2**40)
    assert "cat.xml" in refused(here, *compare("--boxes", "boxes"))


MASKS = {what: content for what, (suffix, content) in BROKEN.items() if suffix == "png"} | {
    "another size": saved(RGB.crop((0, 0, 5, 5)), "PNG"),
    "larger": saved(RGB.resize((4_000, 4_000)), "PNG"),
    "turned": saved(RGB.transpose(Image.Transpose.ROTATE_90), "PNG"),
}


@pytest.mark.parametrize("what", MASKS)
def test_a_mask_that_is_none_is_named(here, pets, what):
    (here / "masks" / "cat").mkdir(parents=True)
    (here / "masks" / "cat" / "cat.png").write_bytes(MASKS[what])
    assert "cat.png" in refused(here, *compare("--masks", "masks"))


@pytest.mark.parametrize(
    "given", ["", "nowhere", "strange_nets.py", "/dev/zero", "x" * 300, "pets/cat/cat.png", "a\nb"]
)
def test_masks_boxes_and_classes_that_are_elsewhere(here, pets, given):
    for option in ("--masks", "--boxes", "--classes"):
        if (option, given) != ("--classes", "strange_nets.py"):  # three lines of text
            refused(here, *compare(option, given))


CLASSES = {
    "empty": b"",
    "blank": b"\n \n\t\n",
    "zero bytes": bytes(100),
    "not UTF-8": b"\xff\xfe\xfa",
    "half of a list": b'["cat", ',
    "deep": b"[" * 100_000,
    "deep and closed": b"[" * 50_000 + b"]" * 50_000,
    "numbers": b"[1, 2]",
    "nothing": b"[]",
    "empty texts": b'["", " "]',
    "digits": b"[" + b"9" * 100_000 + b"]",
    "a mapping in it": b'[{"cat": 1}]',
    "other names": b"fox\nowl\n",
    "both the same": b"cat\ncat\ndog\n",
    "case alone": b"CAT\ncat \nDog\n",
    "a million": b"x\n" * 1_000_000,
    "a long line": b"x" * 10_000_000,
    "escapes": b"\x1b[2J\n\x07\n",
    "formulas": b"=1+1\n@x\n",
    "separators": b"_\n-\n",
}


@pytest.mark.parametrize("what", CLASSES)
def test_class_names_that_are_none_are_refused(here, pets, what):
    (here / "names.txt").write_bytes(CLASSES[what])
    refused(here, *compare("--classes", "names.txt"))


FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from([10**400, -1])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)


@pytest.fixture(scope="module")
def own(below):
    (below / "own").mkdir()
    return below / "own", make_pets(below / "own")


@FUZZ
@given(image=st.dictionaries(st.sampled_from(["id", "file_name", "height", "width"]), values), edges=values)
def test_any_values_in_coco_are_one_sentence_or_boxes(own, image, edges):
    here, pets = own
    data = json.loads(coco())
    data["images"][0] |= image
    data["annotations"][0]["bbox"] = edges
    path = Path(tempfile.mkdtemp(dir=here)) / "boxes.json"
    path.write_text(json.dumps(data))
    try:
        check_readable(open_images(f"folder:{pets}", geometry=Geometry(8), boxes=path))
    except SaqEvalError as error:
        assert "boxes.json" in str(error) and "\n" not in str(error)
