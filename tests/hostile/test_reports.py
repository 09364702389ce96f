"""Folders of comparisons from somebody else, of which `report` makes a page."""

import io
import json
import os
import shutil
import zipfile

import numpy as np
import pytest

from saq_eval.reporting import write_report
from tests.hostile.running import answered, refused
from tests.reporting.fake_run import fake_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "out"
    small = {"schemes": ("fp32", "w4a4"), "methods": ("saliency",), "metrics": ("SSIM",), "samples": 4, "gallery": 2}
    write_report(folder, *fake_run(**small))
    return folder


@pytest.fixture
def out(here, finished):
    shutil.copytree(finished, here / "out")
    return here / "out"


def array(header: bytes, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def archive(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return content.getvalue()


PLAIN = io.BytesIO()
np.save(PLAIN, np.zeros(3))
RECORDS = {
    "empty": b"",
    "a number": b"1",
    "a list": b"[]",
    "a mapping": b"{}",
    "half": b'{"plan": ',
    "deep": b"[" * 100_000,
    "digits": b'{"a": ' + b"9" * 100_000 + b"}",
    "not UTF-8": b"\xff\xfe",
    "zero bytes": bytes(100),
}
GALLERIES = {
    "empty": b"",
    "text": b"no gallery",
    "one array": PLAIN.getvalue(),
    "no array": archive(),
    "enormous": archive(images=array(b"{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,), }\n")),
    "objects": archive(images=array(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", b"cos\nmkdir\n")),
    "no header": archive(images=b"\x93NUMPY"),
    "a header that is code": archive(images=array(b"__import__('os').mkdir('owned')\n")),
    "a bomb": archive(images=bytes(2_000_000)),
    "about nothing": archive(about=array(b"{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }\n", b"[")),
}
TABLES = {
    "empty": b"",
    "text": b"no table",
    "zero bytes": bytes(1000),
    "not UTF-8": b"\xff\xfe\xfa",
    "an open quote": b'model,mean\n"' + b"x" * 1000,
    "many columns": b"," * 100_000 + b"\n1",
}


@pytest.mark.parametrize("what", RECORDS)
def test_a_record_that_is_none_is_refused(here, out, what):
    (out / "run.json").write_bytes(RECORDS[what])
    assert "out" in refused(here, "report", "out")


@pytest.mark.parametrize("what", GALLERIES)
def test_a_gallery_that_is_none_is_refused_and_runs_no_code(here, out, what, monkeypatch):
    monkeypatch.setattr("saq_eval.reporting.gallery._MOST_BYTES", 1_000_000)
    (out / "gallery.npz").write_bytes(GALLERIES[what])
    assert "gallery.npz" in refused(here, "report", "out")


@pytest.mark.parametrize("what", TABLES)
def test_a_table_that_is_none_is_refused(here, out, what):
    (out / "effects.csv").write_bytes(TABLES[what])
    assert "out" in refused(here, "report", "out")


@pytest.mark.parametrize("name", ["run.json", "gallery.npz", "summary.csv"])
def test_what_stands_in_the_place_of_a_file(here, out, name):
    file = out / name
    for replace in (lambda: os.mkfifo(file), lambda: file.symlink_to("/dev/zero"), file.mkdir):
        file.unlink()
        replace()
        assert "out" in refused(here, "report", "out")
        if file.is_dir():
            file.rmdir()
            file.touch()


def test_a_record_of_any_values_is_one_sentence_or_a_page(here, out):
    record = json.loads((out / "run.json").read_text())
    for key in record:
        for value in (None, 1, "x", [], {}, [[]], {"x": {}}):
            (out / "run.json").write_text(json.dumps(record | {key: value}))
            answered(here, "report", "out", output="out")
