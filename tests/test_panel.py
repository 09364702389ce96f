import numpy as np
import pytest
from PIL import Image

from saq_eval import SaqEvalError, panel
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.panel import draw_panel


def test_a_row_per_model_and_a_column_per_method(tmp_path):
    sizes = {}
    for models, methods in ((["cnn-fp32"], ["saliency"]), (["cnn-fp32", "cnn-w2a2"], ["saliency", "lrp", "edges"])):
        path = draw_panel("digits", 3, models=models, methods=methods, output=tmp_path / "new" / f"{len(models)}.png")
        picture = Image.open(path)
        sizes[len(models)] = picture.size
        assert np.asarray(picture.convert("L")).std() > 10
    assert sizes[2][0] > 1.5 * sizes[1][0] and sizes[2][1] > 1.5 * sizes[1][1]
    assert {file.name for file in (tmp_path / "new").iterdir()} == {"1.png", "2.png"}


def test_the_class_can_be_chosen_and_random_methods_have_a_seed(tmp_path):
    def panel(**arguments):
        methods = ["smoothgrad:n_samples=2", "deeplift_shap:n_background=2"]
        path = draw_panel("digits", 0, models=["cnn-w2a2"], methods=methods, output=tmp_path / "a.png", **arguments)
        return path.read_bytes()

    assert panel() == panel() != panel(seed=1)
    assert panel(target=5) != panel()


def test_many_networks_are_limited_with_a_sentence_and_seeds_stand_together(tmp_path, monkeypatch):
    opened, drawn = [], []
    real, draw = panel.open_model, panel.draw_maps
    monkeypatch.setattr(panel, "open_model", lambda card, *a, **k: opened.append(card.name) or real(card, *a, **k))
    monkeypatch.setattr(
        panel, "draw_maps", lambda image, title, rows, e: drawn.extend(rows) or draw(image, title, rows, e)
    )
    with pytest.warns(SaqEvalWarning, match="the panel shows 24 of 62 networks; choose them by name or pattern"):
        path = draw_panel("digits", 3, models=["cnn-*"], methods=["saliency", "edges"], output=tmp_path / "a.png")
    assert len(opened) == 24  # nothing else is loaded
    assert [name.partition("\n")[0] for name, _ in drawn] == opened
    assert opened[:5] == ["cnn-fp32", "cnn-fp32-s1", "cnn-fp32-s2", "cnn-fp32-s3", "cnn-fp32-s4"]
    width, height = Image.open(path).size
    assert width < 1800 and height < 1100


def test_bad_requests(tmp_path):
    for arguments, message in (
        ({"index": -1}, "--index lies between 0 and 359"),
        ({"target": 10}, "--target lies between 0 and 9"),
        ({"methods": ["lpr"]}, "unknown method 'lpr'; did you mean 'lrp'"),
        ({"output": tmp_path / "a.svg"}, "ends in .png"),
        ({"output": "/proc/a.png", "methods": ["edges"]}, "cannot be written"),
    ):
        given = {"index": 0, "models": ["cnn-w2a2"], "output": tmp_path / "a.png", **arguments}
        with pytest.raises(SaqEvalError, match=message):
            draw_panel("digits", given.pop("index"), **given)
    assert list(tmp_path.iterdir()) == []
