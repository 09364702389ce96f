"""What torchvision cannot read is told in a sentence."""

import pytest

from saq_eval import SaqEvalError
from saq_eval.data.torchvision_files import read_or_download


def test_what_is_read_is_returned_and_nothing_is_printed(tmp_path, capsys):
    assert read_or_download("mine", tmp_path, tmp_path, ["a"], lambda: print("a mirror") or 42) == 42
    assert capsys.readouterr().out == ""


def test_a_failed_download_is_told_and_leaves_no_folders(tmp_path):
    root = tmp_path / "data"

    def read():
        (root / "mine" / "raw").mkdir(parents=True)
        raise RuntimeError("Error downloading:\nmany lines")

    with pytest.raises(SaqEvalError, match=r"^mine: could not .* \(Error downloading\): looked for a, b in .*raw; set"):
        read_or_download("mine", root / "mine" / "raw", root, ["a", "b"], read)
    assert not root.exists()
