"""From a plan to what takes part. What is refused stands in tests/test_comparison.py, once for all of `compare`."""

import pytest

from saq_eval.core.errors import SaqEvalError, SaqEvalWarning
from saq_eval.evaluation.plan import Plan
from saq_eval.evaluation.setup import set_up

CHEAP = {"methods": ["saliency"], "metrics": ["SSIM"], "samples": 2}


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    plan = Plan("digits", models=["cnn-w4a4", "cnn-w2a2"], **CHEAP)
    return set_up(plan, tmp_path_factory.mktemp("maps"))


def test_every_network_has_its_part(setup):
    parts = [(s.name, s.role, s.baseline) for s in setup.subjects]
    assert parts == [
        *((name, "model", "cnn-fp32") for name in ("cnn-fp32", "cnn-fp32-ft", "cnn-w4a4", "cnn-w2a2")),
        ("cnn-fp32 (random weights)", "control", "cnn-fp32"),
        *((f"cnn-fp32-s{seed}", "retrained", "cnn-fp32") for seed in (1, 2, 3, 4)),
    ]
    assert set(setup.modules) == {subject.identity for subject in setup.subjects}
    assert set(setup.networks) == {s.name for s in setup.subjects if s.role != "retrained"}
    assert list(setup.retrained) == ["cnn-fp32"] and len(set(setup.retrained["cnn-fp32"].values())) == 4


def test_as_many_images_pass_at_once_as_the_network_that_needs_most_memory_allows(setup, tmp_path, monkeypatch):
    from saq_eval.networks import memory

    assert setup.settings.batch_size == setup.plan.batch_size == 64
    image = setup.settings.sample.images[:1]
    most = max(memory.bytes_per_image(module, image) for module in setup.modules.values())
    monkeypatch.setattr(memory, "BUDGET", 5 * most)
    for asked, expected in ((64, 5), (3, 3)):
        made = set_up(Plan("digits", models=["cnn-w4a4", "cnn-w2a2"], batch_size=asked, **CHEAP), tmp_path)
        assert (made.settings.batch_size, made.plan.batch_size) == (expected, asked)


def test_a_network_that_is_retrained_for_several_baselines_is_loaded_once(tmp_path, monkeypatch):
    from saq_eval.evaluation import subjects as module

    opened = []

    def counted(entry, *args, **kwargs):
        opened.append(entry)
        return module_open(entry, *args, **kwargs)

    module_open = module.open_network
    monkeypatch.setattr(module, "open_network", counted)
    made = set_up(Plan("digits", models=["cnn-fp32", "cnn-fp32-s1"], target="predicted", **CHEAP), tmp_path)
    assert len(opened) == 5  # the two models, and seeds 2, 3 and 4
    names = [s.name for s in made.subjects if s.role == "retrained"]
    assert len(names) == len(set(names)) == 8 and "cnn-fp32-s2 (as cnn-fp32)" in names


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (["saliency", "integrated_gradients", "deeplift", "lrp", "occlusion"], 64)),  # the study's
        ({"methods": ["lrp"], "samples": 5}, (["lrp"], 5)),
    ],
)
def test_what_a_plan_leaves_open_its_study_says(given, expected, tmp_path):
    made = set_up(Plan("digits", study="paper", models=["cnn-fp32"], metrics=["SSIM"], **given), tmp_path)
    assert (made.plan.methods, made.plan.samples) == expected
    assert made.study == "paper" and made.plan.metrics == ["SSIM"] and len(made.settings.sample) == expected[1]


def test_what_neither_says_is_the_standard(tmp_path):
    made = set_up(Plan("digits", models=["cnn-fp32"], metrics=["SSIM"]), tmp_path)
    assert len(made.plan.methods) == 10 and made.plan.samples == 64


def test_where_nothing_can_be_compiled_this_is_said_and_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr("saq_eval.evaluation.setup.why_not_compiled", lambda: "RuntimeError: no compiler")
    plan = Plan("digits", models=["cnn-fp32"], methods=["saliency"], metrics=["Sparseness"], samples=4, compile=True)
    with pytest.warns(SaqEvalWarning, match="networks are not compiled: RuntimeError: no compiler"):
        made = set_up(plan, tmp_path)
    assert not made.plan.compile and not made.settings.compile
    monkeypatch.setattr("saq_eval.evaluation.setup.why_not_compiled", lambda: "")
    assert set_up(plan, tmp_path).settings.compile


def test_the_engine_reaches_every_metric(tmp_path):
    plan = Plan("digits", models=["cnn-fp32"], methods=["saliency"], metrics=["quick"], samples=4, engine="quantus")
    assert {scorer.engine for scorer in set_up(plan, tmp_path).settings.scorers} == {"quantus"}
    with pytest.raises(SaqEvalError, match="engine"):
        Plan("digits", engine="fast")
