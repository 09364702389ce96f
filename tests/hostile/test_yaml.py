"""YAML that stands for more than it holds, is no YAML, or names code: as a card, a study, a plan, a recipe and a scheme."""

import itertools
import os
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import BUILTIN
from tests.hostile.running import answered, refused

CARD = (BUILTIN / "digits" / "cnn-w2a2" / "card.yaml").read_text()


def laughs(count: int = 9) -> str:
    """Return lists of nine aliases each of the list before, the last of which stands for 9 to the power of `count`."""
    above = [["lol"], *([f"*a{place}"] for place in range(count))]
    return "".join(f"a{place}: &a{place} [{','.join(9 * names)}]\n" for place, names in enumerate(above))


def merged(count: int = 9) -> str:
    """Return the same with merged mappings."""
    nine = [",".join(9 * [f"*a{place}"]) for place in range(count)]
    return "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{nine[n - 1]}]}}\n" for n in range(1, count))


ANYWHERE = {
    "empty": "",
    "a number": "1",
    "a list": "- 1\n",
    "half": "{name: ",
    "zero bytes": "\0\0\0",
    "not UTF-8": b"name: \xff\xfe",
    "UTF-16": "name: x".encode("utf-16"),
    "escape": "name: \x1b[2J",
    "a surrogate": 'name: "\\ud800"',
    "laughs": laughs(),
    "merged laughs": merged(),
    "long laughs": "a: &a " + "x" * 1_000_000 + "\nb: [" + ",".join(["*a"] * 50_000) + "]",
    "a list in itself": "a: &a [*a]",
    "a mapping in itself": "&a {name: *a}",
    "no such anchor": "name: *nowhere",
    "deep lists": "[" * 200_000,
    "deep closed lists": "[" * 20_000 + "]" * 20_000,
    "deep mappings": "{a: " * 5_000 + "1" + "}" * 5_000,
    "deep blocks": "".join(" " * depth + "a:\n" for depth in range(1_500)),
    "deep dashes": "- " * 50_000,
    "deep questions": "? " * 50_000,
    "many keys": "{" + ",".join(f"k{number}: 1" for number in range(200_000)) + "}",
    "keys of one hash": "{" + ",".join(f"{number * (2**61 - 1)}: 1" for number in range(50_000)) + "}",
    "many values": "name: [" + "1," * 1_000_000 + "]",
    "a key that is a list": "{[a]: 1}",
    "a set": "!!set {a, b}",
    "pairs": "!!omap [a]",
    "two documents": "name: a\n---\nname: b\n",
    "YAML 9": "%YAML 9.9\n---\nname: a\n",
    "an object": "!!python/object/apply:os.mkdir [owned]",
    "an object inside": "name: !!python/object/new:os.system ['mkdir owned']",
    "a module": "name: !!python/name:os.system",
    "another tag": "!<tag:example.org,2000:a> {name: x}",
    "a long tag": "!" + "t" * 100_000 + " x",
    "a million quotes": "name: '" + "''" * 500_000,
}
NUMBERS = {
    "digits": "9" * 1_000_000,
    "4,000 digits": "9" * 4_000,
    "4,000 digits in quotes": "'" + "9" * 4_000 + "'",
    "5,000 digits in quotes": "'" + "9" * 5_000 + "'",
    "hexadecimal": "0x" + "f" * 200_000,
    "binary": "0b" + "1" * 1_000_000,
    "octal": "0" + "7" * 1_000_000,
    "base 60": "1" + ":59" * 100_000,
    "base 60 with a point": "1" + ":59" * 100_000 + ".5",
    "a large exponent": "1e999999999",
    "a large float": "1.0e+999999999",
    "infinity": ".inf",
    "no number": ".nan",
    "negative": "-1",
    "no digits": "!!int ''",
    "no float": "!!float ''",
    "no truth": "!!bool maybe",
    "no date": "2020-99-99",
    "no time": "!!timestamp yesterday",
    "no base 64": "!!binary '='",
    "a list": "!!int [1]",
    "deep": "[" * 45 + "]" * 45,
    "null": "null",
}


def as_card(here: Path, text: str | bytes) -> list:
    folder = here / "zoo" / "digits" / "stranger"
    folder.mkdir(parents=True)
    _write(folder / "card.yaml", text)
    return ["zoo", "list", "--dataset", "digits", "--zoo", "zoo"]


def _write(path: Path, text: str | bytes) -> None:
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def as_file(*command):
    def write(here: Path, text: str | bytes) -> list:
        _write(here / "file.yaml", text)
        return [*command, "file.yaml"]

    return write


TRAIN = ("train", "--dataset", "digits", "--zoo", "new", "--name", "new")
PLACES = {
    "card": as_card,
    "study": as_file("compare", "--dataset", "digits", "--study"),
    "study to train": as_file("train", "--dataset", "digits", "--study"),
    "plan": as_file("compare", "--config"),
    "recipe": as_file(*TRAIN, "--scheme", "fp32", "--recipe"),
    "scheme": as_file(*TRAIN, "--scheme"),
}


@pytest.mark.parametrize(("place", "what"), list(itertools.product(PLACES, ANYWHERE)))
def test_what_no_yaml_file_may_hold_is_refused(here, place, what):
    arguments = PLACES[place](here, ANYWHERE[what])
    sentence = refused(here, *arguments)
    assert ("card.yaml" if place == "card" else "file.yaml") in sentence


def _with(card: str, field: str, value: str) -> str:
    """Return a card's text with another value of a field; "a.b" is the field b inside of a."""
    data = yaml.safe_load(card)
    *above, last = field.split(".")
    inner = data
    for name in above:
        inner = inner[name]
    inner[last] = "THIS"
    return yaml.safe_dump(data).replace("THIS", value.replace("\n", " "), 1)


FIELDS = [
    *("name", "dataset", "architecture.name", "architecture.arguments", "scheme.name", "scheme.default.weight_bits"),
    *("seed", "parent", "recipe.epochs", "recipe.learning_rate", "image_shape", "test_accuracy", "ideal_bytes", "bops"),
    *("weights_sha256", "bits.weights", "preprocessing.mean", "history"),
]


@pytest.mark.parametrize("field", FIELDS)
def test_a_card_with_a_strange_number_anywhere_is_refused_or_listed(here, field):
    arguments = as_card(here, "")
    card = here / "zoo" / "digits" / "stranger" / "card.yaml"
    for what, value in NUMBERS.items():
        card.write_text(_with(CARD.replace("cnn-w2a2", "stranger"), field, value))
        code, sentence = answered(here, *arguments)
        assert code == 0 or str(card.relative_to(here)) in sentence, (what, sentence)


def _of_another_name(here: Path, name: str, dataset: str = "digits") -> None:
    (here / "zoo" / "digits" / "stranger" / "card.yaml").write_text(
        _with(_with(CARD, "name", repr(name)), "dataset", repr(dataset))
    )


@pytest.mark.parametrize(
    "name", ["../../etc", "/etc/passwd", ".", "..", "", "a/b", "a\\b", "-x", "x" * 300, "a b", "é"]
)
def test_a_name_is_no_path(here, name):
    arguments = as_card(here, "")
    _of_another_name(here, name)
    refused(here, *arguments)
    _of_another_name(here, "stranger", name)
    refused(here, *arguments)
    (here / "zoo" / "digits" / "stranger" / "card.yaml").write_text(
        _with(CARD.replace("cnn-w2a2", "stranger"), "parent", repr(name))
    )
    assert "a parent's name" in refused(here, *arguments)
    for command in (["zoo", "show", name], ["zoo", "remove", name, "--dataset", "digits"]):
        refused(here, *command, "--zoo", "zoo")
    for option in ("--name", "--dataset", "--parent"):
        given = {"--name": "new", "--dataset": "digits", option: name}
        words = [word for pair in given.items() for word in pair]
        refused(here, "train", "--scheme", "w4a4", "--zoo", "new", *words, output="new")


def test_a_card_that_is_no_file(here):
    arguments = as_card(here, "")
    card = here / "zoo" / "digits" / "stranger" / "card.yaml"
    card.unlink()
    with card.open("wb") as sparse:
        sparse.truncate(100 * 2**20)
    assert "100 MiB" in refused(here, *arguments)
    card.unlink()
    card.mkdir()
    assert "folder" in refused(here, *arguments)
    card.rmdir()
    os.mkfifo(card)
    assert "pipe" in refused(here, *arguments)
    card.unlink()
    card.symlink_to("/dev/zero")
    assert "device" in refused(here, *arguments)
    card.unlink()
    card.symlink_to("card.yaml")
    assert answered(here, *arguments) == (0, "")  # no card, so no model


def test_a_link_out_of_the_zoo_tells_nothing_of_what_it_leads_to(here):
    arguments = as_card(here, CARD.replace("cnn-w2a2", "stranger"))
    card = here / "zoo" / "digits" / "stranger" / "card.yaml"
    (here / "secret").write_text("hidden: 4711\n")
    card.unlink()
    card.symlink_to(here / "secret")
    assert "4711" not in refused(here, *arguments)


def test_a_folder_of_the_zoo_in_itself(here):
    arguments = as_card(here, CARD.replace("cnn-w2a2", "stranger"))
    (here / "zoo" / "digits" / "again").symlink_to(here / "zoo")
    (here / "zoo" / "loop").symlink_to(here / "zoo")
    assert answered(here, *arguments) == (0, "")


texts = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    [
        "../../etc/passwd",
        "!!python/name:os.system",
        "*a",
        "&a",
        "<<",
        "0x" + "f" * 200,
        "1e400",
        ".nan",
        "~",
        "os:system",
    ]
)
values = st.recursive(
    texts | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
FUZZ = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
KEYS = {
    "card": ["name", "dataset", "architecture", "scheme", "seed", "parent", "recipe", "image_shape"],
    "study": ["name", "schemes", "trainings", "seeds", "architecture", "comparison"],
    "plan": ["dataset", "models", "methods", "metrics", "samples", "seed", "output", "zoo", "margin", "trust_code"],
    "recipe": ["epochs", "batch_size", "learning_rate", "weight_decay", "alpha_init", "threads"],
    "scheme": ["name", "default", "ends", "overrides"],
}


@pytest.mark.parametrize("place", KEYS)
def test_any_values_in_any_file_are_one_sentence(below, place):
    @FUZZ
    @given(st.dictionaries(st.sampled_from(KEYS[place]) | texts, values, min_size=1, max_size=4))
    def refuse(data):
        here = Path(tempfile.mkdtemp(dir=below)) / "here"
        here.mkdir()
        refused(here, *PLACES[place](here, yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass")))

    refuse()
