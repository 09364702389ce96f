"""What is known of a method: its label, its parameters and the code that its maps depend on."""

import importlib
import linecache
import sys

import pytest

from saq_eval import SaqEvalError
from saq_eval.attribution import METHODS, find_explainer, register_method


def test_labels_and_parameters():
    assert find_explainer("integrated_gradients:n_steps=64,fill=black").label == "integrated_gradients:n_steps=64"
    assert find_explainer("occlusion:baseline=blur").label == "occlusion:fill=blur"  # as it was once called
    assert find_explainer("occlusion").label == "occlusion"


@pytest.mark.parametrize(
    ("spec", "shape", "window", "stride", "passes"),
    [
        ("occlusion", (1, 28, 28), 7, 3, 65),
        ("occlusion", (3, 224, 224), 56, 24, 65),
        ("occlusion", (3, 224, 448), 56, 24, 1 + 8 * 18),
        ("occlusion", (1, 2, 3), 1, 1, 7),
        ("occlusion:window=2", (1, 28, 28), 2, 2, 1 + 14**2),
        ("occlusion:stride=5", (3, 224, 224), 56, 5, 1 + 35**2),
    ],
)
def test_parameters_that_depend_on_the_images_size(spec, shape, window, stride, passes):
    explainer = find_explainer(spec)
    assert explainer.settings(shape) == {"window": window, "stride": stride, "fill": "black"}
    assert explainer.passes(shape) == passes
    assert find_explainer("rise:n_masks=7").passes(shape) == 7


def test_a_method_whose_module_changes_is_another(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    codes = []
    for scale in ("2", "2", "3"):
        (tmp_path / "theirs.py").write_text(
            f"import saq_eval\nSCALE = {scale}\n"
            "@saq_eval.register_method('scaled', family='gradient', reference='theirs')\n"
            "def attribute(batch):\n    return SCALE * batch.images\n"
        )
        monkeypatch.delitem(sys.modules, "theirs", raising=False)
        linecache.clearcache()  # as in a new process
        importlib.invalidate_caches()
        monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
        METHODS._entries.pop("scaled", None)
        importlib.import_module("theirs")
        codes.append(METHODS["scaled"].code)
    assert codes[0] == codes[1] != codes[2]


def test_a_method_without_a_docstring_has_no_description(monkeypatch):
    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    register_method("silent", family="gradient", reference="none")(lambda batch: batch.images)
    assert METHODS["silent"].description == ""


def _typed():
    names = {}
    exec("def attribute(batch): return batch.images", names)
    return names["attribute"]


def _closure():
    scale = 2
    return lambda batch: scale * batch.images


@pytest.mark.parametrize("make", [_typed, _closure])
def test_a_method_that_depends_on_more_than_a_file_never_gets_the_maps_of_another(make, monkeypatch):
    codes = []
    for _ in range(2):
        monkeypatch.setattr(METHODS, "_entries", {})
        register_method("changing", family="gradient", reference="none")(make())
        codes.append(METHODS["changing"].code)
    assert codes[0] != codes[1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"family": "gradients"}, "unknown family 'gradients'; did you mean 'gradient'"),
        ({"family": "rules", "sign": "both"}, "unknown sign 'both'.* valid: signed, absolute"),
    ],
)
def test_a_method_of_an_unknown_kind_is_refused(given, message):
    with pytest.raises(SaqEvalError, match=message):
        register_method("mine", reference="mine", **given)
