"""Do the verdicts mean what they say? Networks compared with themselves and with random weights; twins: test_twins.py."""

import shutil

import pytest

import saq_eval
from saq_eval.metrics import METRICS, metric_sets
from tests import BUILTIN as ZOO

BLIND = ("PixelFlipping", "ROAD")
pytestmark = pytest.mark.validation


def test_a_network_is_the_same_as_itself(tmp_path):
    shutil.copytree(ZOO / "digits" / "cnn-fp32", tmp_path / "digits" / "again")
    card = tmp_path / "digits" / "again" / "card.yaml"
    card.write_text(card.read_text().replace("name: cnn-fp32", "name: again"))
    result = saq_eval.compare(
        "digits",
        models=["again"],
        baseline="cnn-fp32",
        methods=["saliency", "lrp"],
        metrics=["quick"],
        samples=150,
        workers=2,
        zoo=tmp_path,
        progress=False,
    )
    rows = result.summary[result.summary["role"] == "model"]
    assert set(rows["model"]) == {"cnn-fp32", "again"} and set(rows["category"]) >= {"faithfulness", "localisation"}
    # Nothing differs on 150 images, so at most 3 of 150 do: for all that reach no further than that, it is negligible.
    assert (rows["verdict"] == "negligible").all(), rows[rows["verdict"] != "negligible"]
    assert (result.effects["verdict"] == "negligible").all()
    assert (result.effects.query("category != 'similarity'")["delta"] == 0).all()
    assert set(result.findings["verdict"]) <= {"negligible"}
    twin = result.models.set_index("model").loc["again"]
    assert twin["flips"] == 0 and twin["kl"] == pytest.approx(0, abs=1e-9)


def test_random_weights_are_found_worse_where_the_evidence_is_known():
    """On the planted patterns, by the faithfulness and localisation metrics by which a method beats noise.

    Of gradient methods not by PixelFlipping and ROAD: an untrained network's map, too, ranks the patch's bright pixels
    first, and once they are gone, so is the class. LRP's maps of random weights do not, and are found worse by all.
    """
    result = saq_eval.compare(
        "planted",
        models=["cnn-fp32"],
        methods=["integrated_gradients:n_steps=16", "deeplift", "lrp"],
        metrics=["standard"],
        samples=60,
        workers=2,
        progress=False,
    )
    noise = result.controls.query("control == 'random' and category in ('faithfulness', 'localisation')")
    beats = noise[noise["verdict"] == "better"]
    rows = result.summary.query("model == 'cnn-fp32 (random weights)'").set_index(["method", "metric"])["verdict"]
    verdicts = {(row.method, row.metric): rows[row.method, row.metric] for row in beats.itertuples()}
    found = {key: verdict for key, verdict in verdicts.items() if key[0] == "lrp" or not key[1].startswith(BLIND)}
    assert set(found.values()) == {"worse"}, {key: verdict for key, verdict in found.items() if verdict != "worse"}
    judged = {spec for spec in metric_sets()["standard"] if METRICS[spec.partition(":")[0]].category in ("faithfulness", "localisation")}  # fmt: skip  # noqa: E501
    # By the area under the ROC curve nothing beats noise: half of a patch's pixels are dark, and explain nothing.
    for method in result.run["methods"]:
        if result.run["methods"][method]["family"] != "control":
            assert {metric for name, metric in verdicts if name == method} == judged - {"AUC"}
