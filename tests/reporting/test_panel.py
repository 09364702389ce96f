import numpy as np
import pytest
from PIL import Image

from saq_eval import SaqEvalError
from saq_eval.reporting.panel import draw_maps, layout, write_png


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (1, 11), (6, 11), (12, 3), (24, 3), (24, 11), (24, 2)])
def test_a_panel_fits_a_screen(rows, columns):
    blocks, tile = layout(rows, columns)
    length = -(-rows // blocks)
    assert tile >= 0.4 and (blocks - 1) * length < rows <= blocks * length
    assert blocks * (columns * tile + 1.2) <= 13.4 and length * tile + 0.9 <= 8.4


def test_a_map_is_drawn_over_its_largest_magnitude_and_a_constant_one_is_said_to_be_so():
    signed, absolute = np.array([[-2.0, 0.0], [1.0, 0.5]]), np.array([[0.0, 0.1], [0.2, 0.4]])
    rows = [("first", [signed, np.full((2, 2), 3.0)]), ("second", [absolute, signed])]
    figure = draw_maps(np.zeros((3, 2, 2)), "a title", rows, ["saliency", "lrp:gamma=1"])
    axes = [axis for part in figure.subfigs for axis in part.axes]
    limits = [axis.images[0].get_clim() for axis in axes if axis.images and axis.images[0].get_cmap().name == "RdBu_r"]
    assert limits == [(-2, 2), (-0.4, 0.4), (-2, 2)]
    assert [text.get_text() for axis in axes for text in axis.texts] == ["constant"]
    assert [axis.get_title() for axis in axes if axis.get_title()] == ["image", "saliency", "lrp:\ngamma=1"]
    assert [axis.get_ylabel() for axis in axes if axis.get_ylabel()] == ["first", "second"]
    assert figure.get_suptitle() == "a title"


def test_a_figure_is_written_whole_and_the_same_each_time(tmp_path):
    def drawn(name):
        figure = draw_maps(np.full((1, 4, 4), 0.5), "", [("net", [np.eye(4)])], ["edges"])
        return write_png(figure, tmp_path / "new" / name)

    first, second = drawn("a.png"), drawn("b.png")
    assert first.read_bytes() == second.read_bytes() and Image.open(first).format == "PNG"
    assert {file.name for file in (tmp_path / "new").iterdir()} == {"a.png", "b.png"}
    (tmp_path / "file").touch()
    with pytest.raises(SaqEvalError, match="the panel .*a.png cannot be written: "):
        drawn("../file/a.png")
