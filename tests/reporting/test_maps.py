"""Maps under the names of networks and methods, for other programs."""

import numpy as np
import pytest
from safetensors.numpy import load_file

import saq_eval
from saq_eval.core.errors import CannotWrite


def test_maps_are_written_by_name_with_what_they_explain(tmp_path):
    quick = {
        "methods": ["saliency", "occlusion:window=5"],
        "metrics": ["PointingGame"],
        "samples": 4,
        "progress": False,
    }
    saq_eval.compare("digits", models=["cnn-w2a2"], **quick, output=tmp_path, save_maps=True)
    files = {str(file.relative_to(tmp_path / "maps")) for file in (tmp_path / "maps").rglob("*")}
    assert {f"cnn-w2a2/{name}.safetensors" for name in ("saliency", "occlusion@window=5", "random", "edges")} <= files
    assert "cnn-fp32 (random weights)/saliency.safetensors" in files
    written = load_file(tmp_path / "maps" / "cnn-w2a2" / "saliency.safetensors")
    images = saq_eval.load_dataset("digits", "test").subset(written["indices"])
    network = saq_eval.load_model("digits", "cnn-w2a2").network
    expected = saq_eval.explain("saliency", network, images.in_memory().images, images.labels)
    np.testing.assert_allclose(written["maps"], expected, atol=1e-6)
    np.testing.assert_array_equal(written["targets"], images.labels)
    assert not list((tmp_path / "maps").rglob(".partial-*"))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "maps").write_text("")
    arguments = {"methods": ["saliency"], "metrics": ["PointingGame"], "samples": 2, "progress": False}
    with pytest.raises(CannotWrite, match="cannot be written: Not a directory; all that is finished is kept"):
        saq_eval.compare("digits", models=["cnn-w2a2"], **arguments, output=tmp_path, save_maps=True)
