"""What the page takes from others, and whose work it says that it is."""

import base64
import gzip

import pytest

from saq_eval.reporting.page.libraries import libraries, notices, packed


def test_packed_bytes_come_back_and_are_the_same_each_time():
    data = bytes(range(256)) * 40
    assert gzip.decompress(base64.b64decode(packed(data))) == data
    assert packed(data) == packed(data) and len(packed(data)) < len(data)


@pytest.mark.parametrize(
    ("name", "holds"), [("plotly", b"newPlot"), ("datatables", b"DataTable"), ("datatables-style", b".dt-")]
)
def test_each_library_is_what_its_name_says(name, holds):
    (library,) = (library for library in libraries() if library.name == name)
    assert holds in gzip.decompress(base64.b64decode(library.payload))


def test_each_package_that_is_passed_on_has_its_licence():
    found = {notice.package: notice for notice in notices()}
    assert set(found) == {"plotly", "itables"}
    for notice in found.values():
        assert "Permission is hereby granted" in notice.licence and notice.version and notice.about.endswith(".")
