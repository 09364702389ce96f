import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from saq_eval import Network, SaqEvalError, panel
from saq_eval.core.errors import SaqEvalWarning
from saq_eval.data import DATASETS
from saq_eval.evaluation import subjects
from saq_eval.evaluation.plan import Plan
from saq_eval.panel import draw_panel
from tests.data.writing import noise, write


def test_a_row_per_model_and_a_column_per_method(tmp_path):
    sizes = {}
    for models, methods in ((["cnn-fp32"], ["saliency"]), (["cnn-fp32", "cnn-w2a2"], ["saliency", "lrp", "edges"])):
        plan = Plan("digits", models=models, methods=methods)
        path = draw_panel(plan, 3, output=tmp_path / "new" / f"{len(models)}.png")
        picture = Image.open(path)
        sizes[len(models)] = picture.size
        assert np.asarray(picture.convert("L")).std() > 10
    assert sizes[2][0] > 1.5 * sizes[1][0] and sizes[2][1] > 1.5 * sizes[1][1]
    assert {file.name for file in (tmp_path / "new").iterdir()} == {"1.png", "2.png"}


def test_the_class_can_be_chosen_and_random_methods_have_a_seed(tmp_path):
    def panel(seed=0, **arguments):
        methods = ["smoothgrad:n_samples=2", "deeplift_shap:n_background=2"]
        plan = Plan("digits", models=["cnn-w2a2"], methods=methods, seed=seed)
        return draw_panel(plan, 0, output=tmp_path / "a.png", **arguments).read_bytes()

    assert panel() == panel() != panel(seed=1)
    assert panel(target=5) != panel()


@pytest.fixture
def drawn(monkeypatch):
    """The rows of the pictures that are drawn."""
    rows, draw = [], panel.draw_maps
    monkeypatch.setattr(
        panel, "draw_maps", lambda image, title, some, e: rows.extend(some) or draw(image, title, some, e)
    )
    return rows


def test_many_networks_are_limited_with_a_sentence_and_seeds_stand_together(tmp_path, monkeypatch, drawn):
    opened, real = [], subjects.open_network
    monkeypatch.setattr(
        subjects, "open_network", lambda entry, *a, **k: opened.append(entry[0].name) or real(entry, *a, **k)
    )
    plan = Plan("digits", models=["cnn-*"], methods=["saliency", "edges"])
    with pytest.warns(SaqEvalWarning, match="the panel shows 24 of 62 networks; choose them by name or pattern"):
        path = draw_panel(plan, 3, output=tmp_path / "a.png")
    assert len(opened) == 24  # nothing else is loaded
    assert [name.partition("\n")[0] for name, _ in drawn] == opened
    assert opened[:5] == ["cnn-fp32", "cnn-fp32-s1", "cnn-fp32-s2", "cnn-fp32-s3", "cnn-fp32-s4"]
    width, height = Image.open(path).size
    assert width < 1800 and height < 1100


def test_networks_and_pictures_of_ones_own_are_prepared_as_a_comparison_does(tmp_path, drawn):
    for place, name in enumerate(("cat", "dog")):
        for number in range(2):
            write(tmp_path / "pets" / name / f"{number}.png", noise(20, 16, seed=10 * place + number))
    (tmp_path / "names.txt").write_text("bird\ndog\ncat\n")
    seen = []

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3 * 12 * 12, 3)

        def forward(self, x):
            seen.append(x.detach())
            return self.head(x.flatten(1))

    net = Net().eval()
    plan = Plan(
        f"folder:{tmp_path}/pets", models={"mine": net}, mean=[0.5], std=[0.25], size=14, crop=12,
        classes=tmp_path / "names.txt", methods=["saliency", "input_x_gradient"],
    )  # fmt: skip
    draw_panel(plan, 3, output=tmp_path / "a.png")
    assert {each.shape[1:] for each in seen} == {(3, 12, 12)} and min(each.min() for each in seen) < -1
    ((text, (saliency, product)),) = drawn
    assert text.startswith("mine\n→ ") and saliency.shape == product.shape == (12, 12)
    # The class explained is the output of the picture's name, not its place among the folders.
    gradient = net.head.weight.detach()[1].reshape(3, 12, 12) / 0.25
    assert np.allclose(saliency, gradient.abs().sum(dim=0), rtol=1e-4)


def test_a_zoo_model_and_a_network_outside_the_zoo_stand_in_one_picture(tmp_path, drawn):
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 12)).eval()
    with torch.no_grad():
        net[1].bias[11] = 1000.0  # an output that no digit has
    models = {"cnn-w2a2": "cnn-w2a2", "other": "planted/cnn-fp32", "mine": Network(net)}
    draw_panel(Plan("digits", models=models, methods=["edges"]), 0, output=tmp_path / "a.png")
    assert [text.partition("\n")[0] for text, _ in drawn] == ["cnn-w2a2", "other", "mine"]
    assert drawn[2][0] == "mine\n→ 11"


def test_where_there_is_no_map_the_picture_and_a_warning_say_so(tmp_path, drawn):
    def rounded(x):
        return nn.functional.avg_pool2d((x * 8).round(), 7).flatten(1)[:, :10]

    methods = ["saliency", "input_x_gradient", "occlusion:window=7,stride=7"]
    with pytest.warns(
        SaqEvalWarning, match="^mine has no map by saliency, input_x_gradient: no gradient reaches the image$"
    ):
        draw_panel(Plan("digits", models={"mine": rounded}, methods=methods), 0, output=tmp_path / "a.png")
    assert [values is None for values in drawn[0][1]] == [True, True, False]
    with pytest.raises(
        SaqEvalError, match="^saliency: no gradient reaches the image; .*methods that hide pixels need none"
    ):
        draw_panel(Plan("digits", models={"mine": rounded}, methods=["saliency"]), 0, output=tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()


def test_typical_images_are_of_the_training_split_where_there_is_one(tmp_path, monkeypatch):
    load, splits = DATASETS["digits"], []
    monkeypatch.setitem(DATASETS._entries, "digits", lambda split, root: splits.append(split) or load(split, root))
    for method in ("saliency", "deeplift_shap:n_background=2"):
        draw_panel(Plan("digits", models=["cnn-w2a2"], methods=[method]), 0, output=tmp_path / "a.png")
    assert splits == ["test", "test", "train"]


def test_bad_requests(tmp_path):
    for arguments, message in (
        ({"index": -1}, "--index lies between 0 and 359"),
        ({"target": 10}, "--target lies between 0 and 9"),
        ({"methods": ["lpr"]}, "unknown method 'lpr'; did you mean 'lrp'"),
        ({"output": tmp_path / "a.svg"}, "ends in .png"),
        ({"output": "/proc/a.png", "methods": ["edges"]}, "cannot be written"),
        ({"models": {"mine": nn.Linear(3, 10)}}, "the network 'mine'"),
        ({"models": []}, "at least one model is needed"),
    ):
        given = {"index": 0, "models": ["cnn-w2a2"], "output": tmp_path / "a.png", "target": None, **arguments}
        own = {name: given.pop(name) for name in ("index", "output", "target")}
        with pytest.raises(SaqEvalError, match=message):
            draw_panel(Plan("digits", **given), **own)
    assert list(tmp_path.iterdir()) == []
