"""What a notebook shows of a comparison."""

import plotly.graph_objects as go
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from saq_eval.core.errors import SaqEvalError
from saq_eval.reporting.notebook import Plots, notebook_summary
from tests.reporting.fake_run import HOSTILE, fake_run


@pytest.fixture(scope="module")
def plots():
    return Plots(*fake_run())


@pytest.mark.parametrize("name", ["tradeoff", "effects", "verdict_matrix", "curves"])
def test_charts_are_those_of_the_page(plots, name):
    figure = getattr(plots, name)()
    assert isinstance(figure, go.Figure) and figure.data


def test_the_gallery_draws_a_group_of_images(plots):
    group = next(iter(plots.images.groups))
    figure = plots.gallery()
    FigureCanvasAgg(figure).draw()
    networks = len({model for model, _ in plots.images.maps})
    assert len(figure.axes) == len(plots.images.groups[group]) * (1 + networks)
    with pytest.raises(SaqEvalError, match="unknown group of images"):
        plots.gallery("nothing")
    with pytest.raises(SaqEvalError, match="unknown method of this comparison"):
        plots.gallery(group, "nothing")


def test_the_summary_escapes_names(plots):
    table = plots.tables["models"][["model", "accuracy"]].assign(model=HOSTILE[0])
    text = notebook_summary(["<b>three</b>"], table)
    assert "<script" not in text and "&lt;b&gt;three" in text and text.count("<tr>") == 1 + len(table)
