from pathlib import Path

import pytest

import saq_eval
from saq_eval.attribution import METHODS
from saq_eval.attribution.base import CODE
from saq_eval.core import code


def test_a_checksum_is_of_all_contents_in_order(tmp_path):
    sources = [tmp_path / "a.py", tmp_path / "b.py"]
    for number, source in enumerate(sources):
        source.write_text(f"a = {number}\n")
    before = code.checksum_of_files(sources)
    assert code.checksum_of_files(sources) == before != code.checksum_of_files(sources[::-1])
    sources[1].write_text("a = 2\n")
    assert code.checksum_of_files(sources) != before


def test_a_method_depends_on_all_code_that_computes_its_maps(monkeypatch):
    """Not on its own module alone: a rule for a layer changes every map by LRP, the order of packages what it is given."""
    read = []
    monkeypatch.setattr(code, "checksum_of_files", lambda sources: read.extend(sources) or "0")
    code.checksum_of_packages.__wrapped__(*CODE)
    package = Path(saq_eval.__file__).parent
    assert {*read} == {
        file for file in package.rglob("*.py") if file.relative_to(package).parts[0] in CODE and file.is_file()
    }
    codes = {m.code.partition("-")[2] for m in METHODS.values() if m.attribute.__module__.startswith("saq_eval.")}
    assert codes == {code.checksum_of_packages(*CODE)}
    with pytest.raises(ValueError, match="nowhere"):
        code.checksum_of_packages("core", "nowhere")
