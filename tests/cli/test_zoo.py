import json
import re

from tests.cli.process import saq_eval_here


def test_zoo_show(tmp_path):
    shown = saq_eval_here("zoo", "show", "cnn-mixed-sgt", "--dataset", "digits", cwd=tmp_path).stdout
    assert "mixed: hidden layers 4/4, the later half 2/2, first and last layer 8/8, 2-bit weights by SAWB" in shown
    assert "saliency-guided, seed 0, from cnn-fp32-sgt" in shown
    layers = {line.split()[0]: line.split()[1:4] for line in shown.splitlines() if re.match(r"(conv\d|fc\d) ", line)}
    assert layers == {
        "conv1": ["24x1x3x3", "8", "8"],
        "conv2": ["32x24x3x3", "4", "4"],
        "conv3": ["32x32x3x3", "4", "4"],
        "conv4": ["64x32x3x3", "4", "4"],
        "conv5": ["64x64x3x3", "2", "2"],
        "fc1": ["128x576", "2", "2"],
        "fc2": ["10x128", "8", "8"],
    }
    card = json.loads(saq_eval_here("zoo", "list", "--dataset", "digits", "--json", cwd=tmp_path).stdout)
    (card,) = [card for card in card if card["name"] == "cnn-mixed-sgt"]
    assert sum(re.match(r"\d+ +\d\.\d{4} ", line) is not None for line in shown.splitlines()) == len(card["history"])
    assert card["weights_sha256"] in shown
