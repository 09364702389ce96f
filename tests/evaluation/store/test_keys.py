"""What changes the key of an entry, and what does not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from saq_eval.attribution import find_explainer, find_explainers
from saq_eval.core.randomness import global_seed
from saq_eval.evaluation.planning import Job
from saq_eval.evaluation.settings import Settings, Subject
from saq_eval.evaluation.store import Keys
from saq_eval.evaluation.store import keys as module
from saq_eval.evaluation.store.entries import digest_of_key
from saq_eval.metrics import find_scorers

FP32, TUNED = Subject("fp32", "a", "fp32"), Subject("tuned", "b", "fp32", fine_tuned="tuned")
W2A2 = Subject("w2a2", "c", "fp32", fine_tuned="tuned")
JOB = Job(W2A2, "saliency", ("PointingGame", "SSIM"), (FP32, TUNED), passes=3)
TARGETS = [np.array([1, 2, 3, 4])] * 3
CELLS = {"PointingGame", "SSIM"}
OF_METHOD = CELLS | {"maps", "explained"}
OF_MAPS = OF_METHOD | {"gap"}  # the surrogate gap is that of the maps of one method
ALL = OF_MAPS | {"logits"}  # logits have keys of their own images


@pytest.fixture
def settings(digits):
    fields = {"seed": 0, "batch_size": 8, "device": "cpu", "background": None, "store": Path("store")}
    scorers = find_scorers(["PointingGame", "SSIM"])
    return Settings(digits.subset(range(4)), find_explainers(["saliency"]), scorers, **fields)


def keys_of(settings, job=JOB, targets=TARGETS, images="0"):
    """Return the hashes of the keys of a job's entries, by what they are of."""
    keys, explainer = Keys(settings), settings.explainer[job.method]
    made = {
        "maps": keys.maps(job.subject.identity, explainer, targets[0]),
        "explained": keys.explained(job, targets),
        **{metric: keys.cell(job, metric, targets) for metric in job.metrics},
        "logits": keys.logits(job.subject.identity, images),
    }
    made["gap"] = keys.gap(job.subject, targets[0])
    return {name: digest_of_key(key) for name, key in made.items()}


def changed(before, after):
    return {name for name in before if before[name] != after.get(name)}


def with_sample(**fields):
    return lambda settings: replace(settings, sample=replace(settings.sample, **fields))


def with_method(**fields):
    def change(settings):
        (explainer,) = settings.explainers
        return replace(settings, explainers=[replace(explainer, method=replace(explainer.method, **fields))])

    return change


def with_metrics(**fields):
    def change(settings):
        scorers = [replace(scorer, metric=replace(scorer.metric, **fields)) for scorer in settings.scorers]
        return replace(settings, scorers=scorers)

    return change


def masked(settings):
    masks = settings.sample.masks().clone()
    masks[0, 0, 0, 0] ^= True
    return with_sample(evidence=masks)(settings)


def other_pixels(settings):
    images = settings.sample.images.clone()
    images[0, 0, 0, 0] += 1 / 255
    masks = settings.sample.masks()  # which would be made from the images
    return with_sample(images=images, evidence=masks)(settings)


@pytest.mark.parametrize(
    ("change", "whose"),
    [
        (other_pixels, OF_MAPS),
        (lambda s: with_sample(indices=s.sample.indices + 1)(s), OF_MAPS),
        (lambda s: with_sample(labels=s.sample.labels.flip(0))(s), CELLS),
        (lambda s: with_sample(class_names=(*s.sample.class_names[:-1], "x"))(s), CELLS),
        (masked, CELLS),
        (lambda s: replace(s, seed=1), OF_MAPS),
        (lambda s: replace(s, device="cuda"), ALL),
        (lambda s: replace(s, compile=True), CELLS | {"logits", "gap"}),
        (with_method(code="another"), OF_METHOD),
        (with_method(name="another"), OF_METHOD),
        (with_metrics(code="another"), CELLS),
        (lambda s: replace(s, scorers=find_scorers(["PointingGame", "SSIM"], "quantus")), CELLS),
    ],
    ids=[
        *("pixels", "indices", "labels", "class names", "masks", "seed", "device", "compiled", "method's code"),
        *("method", "metric's code", "engine"),
    ],
)
def test_what_is_measured_and_how_changes_keys(change, whose, settings):
    other = change(settings)
    job = replace(JOB, method=other.explainers[0].label)  # by which a method is looked up
    assert changed(keys_of(settings), keys_of(other, job)) == whose


def test_parameters_change_keys(settings):
    plain, given = "occlusion", "occlusion:window=5,stride=5"
    one, other = (
        keys_of(replace(settings, explainers=find_explainers([spec])), replace(JOB, method=spec))
        for spec in (plain, given)
    )
    assert changed(one, other) == OF_METHOD
    plain, given = "PixelFlipping", "PixelFlipping:fill=blur"
    one, other = (Keys(replace(settings, scorers=find_scorers([s]))).cell(JOB, s, TARGETS) for s in (plain, given))
    assert digest_of_key(one) != digest_of_key(other)


@pytest.mark.parametrize(
    ("job", "whose"),
    [
        (replace(JOB, subject=replace(W2A2, identity="d")), ALL),
        (replace(JOB, subject=replace(W2A2, role="control"), others=(FP32,)), CELLS),
        (replace(JOB, subject=replace(W2A2, role="retrained")), CELLS),
        (replace(JOB, others=(replace(FP32, identity="d"), TUNED)), {"SSIM"}),
        (replace(JOB, others=(FP32, replace(TUNED, identity="d"))), {"SSIM"}),
        (replace(JOB, others=(FP32,)), {"SSIM"}),
        (replace(JOB, subject=replace(W2A2, baseline="w2a2"), others=(FP32, TUNED)), {"SSIM"}),
    ],
    ids=["network", "control", "retrained", "baseline", "fine-tuned", "no fine-tuned", "is the baseline"],
)
def test_networks_change_keys(job, whose, settings):
    assert changed(keys_of(settings), keys_of(settings, job)) == whose


def test_a_control_is_judged_by_its_baseline(settings):
    control = replace(JOB, subject=replace(W2A2, role="control"), others=(FP32,))
    other = replace(control, others=(replace(FP32, identity="d"),))
    assert changed(keys_of(settings, control), keys_of(settings, other)) == CELLS


def test_targets_change_keys(settings):
    other = np.array([1, 2, 3, 5])
    assert changed(keys_of(settings), keys_of(settings, targets=[other, *TARGETS[1:]])) == OF_MAPS
    assert changed(keys_of(settings), keys_of(settings, targets=[TARGETS[0], other, TARGETS[0]])) == {"SSIM"}


def test_maps_with_noise_have_a_key_of_their_own(settings):
    keys, saliency = Keys(settings), settings.explainer["saliency"]
    plain, noisy = (digest_of_key(keys.maps("a", saliency, TARGETS[0], noisy=noisy)) for noisy in (False, True))
    assert plain != noisy


def test_the_background_counts_for_methods_that_need_it(settings):
    other = replace(settings, background=torch.ones(2, 1, 28, 28))
    assert changed(keys_of(settings), keys_of(other)) == set()
    needs = find_explainer("deeplift_shap")
    assert needs.method.needs_background
    of = [digest_of_key(Keys(each).maps("a", needs, TARGETS[0])) for each in (settings, other)]
    assert of[0] != of[1]


def test_the_images_of_logits_and_the_code_of_scoring_and_the_libraries_change_keys(settings, monkeypatch):
    before = keys_of(settings)
    assert changed(before, keys_of(settings, images="1")) == {"logits"}
    monkeypatch.setattr(module, "_code_of_scoring", lambda: "another")
    assert changed(before, keys_of(settings)) == CELLS | {"gap"}
    monkeypatch.setattr(module, "versions", lambda packages: {name: "other" for name in packages})
    assert changed(before, keys_of(settings)) == ALL


def test_edges_are_those_of_any_network_and_their_scores_are_not(settings):
    keys, edges, random = Keys(settings), find_explainer("edges"), find_explainer("random")
    assert keys.maps("a", edges, TARGETS[0]) == keys.maps("b", edges, TARGETS[0])
    assert keys.maps("a", random, TARGETS[0]) != keys.maps("b", random, TARGETS[0])
    one = replace(JOB, method="edges")
    other = replace(one, subject=replace(W2A2, identity="d"))
    assert changed(keys_of(settings, one), keys_of(settings, other)) == ALL - {"maps"}


def test_names_places_and_how_the_work_is_done_change_nothing(settings):
    before = keys_of(settings)
    named = replace(
        JOB,
        subject=replace(W2A2, name="mine", baseline="theirs", fine_tuned="tuned-s1"),
        others=(replace(FP32, name="theirs", baseline="theirs"), replace(TUNED, name="tuned-s1", baseline="theirs")),
        passes=99,
    )
    assert keys_of(settings, named) == before
    elsewhere = replace(settings, store=Path("/elsewhere"), batch_size=1, scorers=settings.scorers[::-1])
    assert keys_of(elsewhere) == before
    more = replace(settings, explainers=[*find_explainers(["occlusion"]), *settings.explainers])
    assert keys_of(more) == before
    with_files = with_sample(files=("a.png", "b.png", "c.png", "d.png"), positions=torch.tensor([5, 6, 7, 8]))(settings)
    assert keys_of(with_files) == before
    with global_seed(3):
        assert keys_of(settings) == before


def test_keys_are_plain_and_hold_no_path_and_no_name(settings):
    keys = Keys(replace(settings, store=Path("/a/place")))
    for key in (
        keys.maps("a", settings.explainer["saliency"], TARGETS[0]),
        keys.cell(JOB, "SSIM", TARGETS),
        keys.explained(JOB, TARGETS),
        keys.logits("a", "0"),
    ):
        assert not {"fp32", "w2a2", "tuned", "/a/place"} & {str(value) for value in key.values()}
