"""Cards come from other people: whatever stands in one, the answer is a card or one sentence."""

import copy

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saq_eval import SaqEvalError, find_models
from saq_eval.quantization import SCHEMES
from saq_eval.zoo import open_model
from saq_eval.zoo.cards import Card, read_card, twin, write_card
from tests import BUILTIN
from tests.zoo.edit import edit

FOLDER = BUILTIN / "digits" / "cnn-mixed-sgt"
GOOD = yaml.safe_load((FOLDER / "card.yaml").read_text())

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 10**30, 1e308]),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", "..", "/", "cnn", "os:system", "w4a4", "\u202e", "x" * 300, "\x00", "1e999"]),
    st.dates(),
    st.binary(max_size=5),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3), max_leaves=6
)


def places(data, path=()):
    """Every place in nested data, as a path of keys."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def spoilt_cards(draw):
    card = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(list(places(card))))
        inner = card
        for key in above:
            inner = inner[key]
        how = draw(st.sampled_from(["replace", "remove", "add"]))
        if how == "replace":
            inner[last] = draw(values)
        elif how == "remove":
            del inner[last]
        elif isinstance(inner, dict):
            inner[draw(scalars)] = draw(values)
        else:
            inner.append(draw(values))
        if not card:
            break
    return card


FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))


def read(tmp_path_factory, content: bytes) -> Card:
    folder = tmp_path_factory.mktemp("zoo") / "digits" / "cnn-mixed-sgt"
    folder.mkdir(parents=True)
    (folder / "card.yaml").write_bytes(content)
    try:
        return read_card(folder / "card.yaml")
    except SaqEvalError as error:
        assert str(folder / "card.yaml") in str(error)
        raise


def card_or_sentence(tmp_path_factory, card):
    try:
        # A card that reads may still name what cannot be built or does not fit: a sentence again, never a traceback.
        open_model(read(tmp_path_factory, yaml.safe_dump(card, allow_unicode=True).encode()), FOLDER)
    except SaqEvalError as error:
        assert len(str(error).splitlines()) >= 1


spoilt = given(card=spoilt_cards())
test_a_spoilt_card_gives_a_card_or_one_sentence = settings(FUZZ, max_examples=60)(spoilt(card_or_sentence))
test_many_spoilt_cards_give_a_card_or_one_sentence = pytest.mark.validation(FUZZ(spoilt(card_or_sentence)))


@FUZZ
@given(place=st.integers(0, len((FOLDER / "card.yaml").read_bytes()) - 1), junk=st.binary(max_size=8))
def test_spoilt_bytes_give_a_card_or_one_sentence(tmp_path_factory, place, junk):
    content = (FOLDER / "card.yaml").read_bytes()
    try:
        read(tmp_path_factory, content[:place] + junk + content[place + len(junk) :])
    except SaqEvalError as error:
        assert str(error)


@FUZZ
@given(content=st.binary(max_size=60))
def test_what_is_no_card_is_one_sentence(tmp_path_factory, content):
    with pytest.raises(SaqEvalError):
        read(tmp_path_factory, content)


def test_the_fuzzer_starts_from_a_good_card(tmp_path_factory):
    assert read(tmp_path_factory, yaml.safe_dump(GOOD).encode()) == read_card(FOLDER / "card.yaml")


def test_a_card_from_before_schemes_named_a_quantizer_is_a_card_of_today(tmp_path):
    """The scheme has no `weights`, as in the shipped cards; written again, it has the usual one, and nothing else changes."""
    old, folder = read_card(FOLDER / "card.yaml"), tmp_path / "digits" / "cnn-mixed-sgt"
    assert "weights" not in GOOD["scheme"] and old.scheme == SCHEMES["mixed"]
    folder.mkdir(parents=True)
    write_card(old, folder / "card.yaml")
    new = read_card(folder / "card.yaml")
    assert new == old and repr(new.scheme) == repr(old.scheme) and repr(twin(new)) == repr(twin(old))
    written = yaml.safe_load((folder / "card.yaml").read_text())
    assert written["scheme"].pop("weights") == "dorefa"
    assert written["scheme"] == {"fine_tuned": False, **GOOD["scheme"]}


def test_a_card_whose_quantizer_is_not_installed_is_read_and_not_opened(tmp_path_factory):
    card = read(tmp_path_factory, yaml.safe_dump(GOOD | {"scheme": GOOD["scheme"] | {"weights": "theirs"}}).encode())
    assert card.scheme.weights == "theirs"
    with pytest.raises(SaqEvalError, match="weights: unknown quantizer 'theirs'; valid: dorefa, mse, sawb"):
        open_model(card, FOLDER)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "other"}, "name: is 'other', but the folder is called 'cnn-w2a2'"),
        ({"dataset": "mnist"}, "dataset: is 'mnist', but the folder is called 'digits'"),
        ({"seed": "zero"}, "seed: input should be a valid integer"),
        ({"seed": -5}, "a seed is a whole number from 0 to 4294967295, not -5"),
        ({"seed": 10**30}, "a seed is a whole number"),
        ({"preprocessing": {"mean": [float("nan")], "std": [1]}}, "preprocessing: mean and std"),
        ({"scheme": {"name": "=1+1"}}, "scheme.default: field required"),
        ({"scheme": {"name": "x"}}, "scheme.default: field required"),
        ({"scheme": None}, "scheme: "),
        ({"test_accuracy": 99.4}, "test_accuracy lies between 0 and 1, not 99.4"),
        ({"weights_sha256": "abc"}, "64 lower-case hexadecimal digits, not 'abc'"),
        ({"colour": "red"}, "colour: unexpected keyword argument"),
        ({"preprocessing": {"mean": [0, 0], "std": [1]}}, "preprocessing: mean and std"),
        ({"recipe": {"epochs": 1}}, "recipe.batch_size: field required"),
    ],
)
def test_a_malformed_card_names_file_and_field(zoo, changes, message):
    file = zoo / "digits" / "cnn-w2a2" / "card.yaml"
    edit(file, **changes)
    with pytest.raises(SaqEvalError, match=rf"{file}: .*{message}"):
        find_models("digits")


@pytest.mark.parametrize("text", ["", "- 1\n", "{", "name: [", "\x00", "just text", "!!python/object:os.system {}"])
def test_a_card_that_is_no_card(zoo, text):
    file = zoo / "digits" / "cnn-w2a2" / "card.yaml"
    file.write_text(text)
    with pytest.raises(SaqEvalError, match=rf"{file}: "):
        find_models("digits")


def test_a_card_survives_writing(zoo, tmp_path):
    card = read_card(zoo / "digits" / "cnn-w2a2" / "card.yaml")
    folder = tmp_path / "digits" / "cnn-w2a2"
    folder.mkdir(parents=True)
    write_card(card, folder / "card.yaml")
    assert read_card(folder / "card.yaml") == card


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 0}, "at least one image, not on 0"),
        ({"clip": "max"}, "a clip is 'mse', or"),
        ({"rounding": "up"}, "rounding: input should be"),
        ({"split": "validation"}, "split: input should be"),
        ({"seed": -1}, "a seed is a whole number"),
        ({"more": 1}, "more"),
    ],
)
def test_a_wrong_calibration_names_its_field(change, message, tmp_path):
    calibration = {"images": 64, "split": "train", "clip": "mse", "rounding": "nearest"}
    folder = tmp_path / "digits" / "cnn-mixed-sgt"
    folder.mkdir(parents=True)
    (folder / "card.yaml").write_text(yaml.safe_dump(GOOD | {"calibration": calibration}))
    read = read_card(folder / "card.yaml")
    assert read.calibration.images == 64 and not read.only_quantized
    write_card(read, folder / "card.yaml")
    assert read_card(folder / "card.yaml") == read
    edit(folder / "card.yaml", calibration=calibration | change)
    with pytest.raises(SaqEvalError, match=message):
        read_card(folder / "card.yaml")
