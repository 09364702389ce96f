import pickle

import numpy as np

from saq_eval.evaluation.cells import Cell, Scored
from tests.evaluation.made import SUBJECTS


def test_a_key_is_equal_to_its_copy_and_to_no_other():
    cell = Cell(SUBJECTS[0], "saliency", "SSIM")
    copied = pickle.loads(pickle.dumps(cell))
    assert copied == cell and hash(copied) == hash(cell)
    others = [
        Cell(SUBJECTS[1], "saliency", "SSIM"),
        Cell(SUBJECTS[0], "lrp", "SSIM"),
        Cell(SUBJECTS[0], "saliency", "AUC"),
    ]
    assert cell not in others and len({cell, *others}) == 4


def test_a_value_has_what_its_metric_gives():
    value = Scored(np.arange(3.0))
    assert value.curve is value.chance is value.to_fine_tuned is value.noise is None and value.controls == {}
