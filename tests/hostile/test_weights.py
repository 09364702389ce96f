"""Files of weights that are damaged, lie about themselves, or hold other tensors than the network's."""

import hashlib
import json
import os
import pickle
import shutil
import struct
import tempfile
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from saq_eval.networks.architectures import ARCHITECTURES
from tests import BUILTIN
from tests.hostile.running import answered, refused

SMALL = {"channels": [2, 2, 2, 2, 2], "hidden": 4}
STATE = {name: tensor.contiguous() for name, tensor in ARCHITECTURES["cnn"](**SMALL).state_dict().items()}
GOOD = save(STATE)
LENGTH = struct.unpack("<Q", GOOD[:8])[0]


def add(here: Path, content: bytes, name: str = "w.safetensors") -> list:
    (here / name).write_bytes(content)
    arguments = ("--architecture", "cnn", "--arguments", json.dumps(SMALL), "--dataset", "digits", "--zoo", "zoo")
    return ["zoo", "add", "--weights", name, *arguments, "--name", "x"]


def raw(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a safetensors file with any header, which may be bytes, and any length that it says to have."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def one(dtype="F32", shape=(2,), offsets=(0, 8), **more) -> dict:
    return {"a": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}}


FILES = {
    **{f"the first {part} bytes": GOOD[:part] for part in (0, 1, 7, 8, 9, 8 + LENGTH // 2, 7 + LENGTH, 8 + LENGTH)},
    **{f"but {part} bytes": GOOD[:-part] for part in (1, 4, 100)},
    "more bytes": GOOD + b"more",
    "2^63": raw({}, length=2**63),
    "2^64 - 1": raw({}, length=2**64 - 1),
    "no length": raw({}, length=0),
    "a length into the data": struct.pack("<Q", LENGTH + 8) + GOOD[8:],
    "no JSON": raw(b"{"),
    "no object": raw([1]),
    "no text": raw(b"\xff\xfe{}"),
    "zero bytes": bytes(1000),
    "deep JSON": raw(b'{"a":' * 100_000),
    "deep JSON that ends": raw(b'{"a":' * 20_000 + b"1" + b"}" * 20_000),
    "a tensor twice": raw(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' * 1 + json.dumps(one())[1:].encode()
    ),
    "unknown dtype": raw(one("F99"), bytes(8)),
    "no dtype": raw({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "negative shape": raw(one(shape=[-2]), bytes(8)),
    "enormous shape": raw(one(shape=[2**62, 2**62]), bytes(8)),
    "a shape of many digits": raw(
        b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}', bytes(8)
    ),
    "a float in a shape": raw(one(shape=[2.5]), bytes(8)),
    "another size than its shape": raw(one(shape=[3]), bytes(8)),
    "offsets behind the end": raw(one(offsets=(0, 2**40)), bytes(8)),
    "offsets in reverse": raw(one(offsets=(8, 0)), bytes(8)),
    "negative offsets": raw(one(offsets=(-8, 0)), bytes(8)),
    "overlapping offsets": raw(one() | {"b": one()["a"]}, bytes(8)),
    "a hole": raw(one(offsets=(8, 16)), bytes(16)),
    "no tensor": raw({}),
    "metadata alone": raw({"__metadata__": {"format": "pt"}}),
    "metadata that are none": raw({"__metadata__": {"a": [1]}}),
    "a name of a path": raw({"../../x": one()["a"]}, bytes(8)),
    "a name with zero bytes": raw({"a\0b": one()["a"]}, bytes(8)),
    "a long name": raw({"n" * 100_000: one()["a"]}, bytes(8)),
    "a scalar": raw(one(shape=(), offsets=(0, 4)), bytes(4)),
    "nothing in a shape": raw(one(shape=(0, 3), offsets=(0, 0))),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a zip": b"PK\x03\x04" + bytes(100),
    "a pickle": pickle.dumps(STATE),
}


@pytest.mark.parametrize("what", FILES)
def test_a_damaged_file_is_refused(here, what):
    assert "w.safetensors" in refused(here, *add(here, FILES[what]), output="zoo")


class Harm:
    def __reduce__(self):
        return os.mkdir, ("owned",)


def _saved(thing: object) -> bytes:
    import io

    content = io.BytesIO()
    torch.save(thing, content)
    return content.getvalue()


TORCH = {
    "code": pickle.dumps(Harm()),
    "code that torch saved": _saved({"conv1.weight": Harm()}),
    "a network": _saved(torch.nn.Linear(2, 2)),
    "half of a file": _saved(STATE)[:1000],
    "a list": _saved([torch.ones(2)]),
    "numbers": _saved({"conv1.weight": 1.0}),
    "in itself": _saved({"state_dict": {"state_dict": {}}}),
    "keys that are no texts": _saved({1: torch.ones(2), None: torch.ones(2)}),
    "sparse": _saved(STATE | {"conv1.weight": torch.ones(2, 1, 3, 3).to_sparse()}),
    "quantized": _saved(
        STATE | {"conv1.weight": torch.quantize_per_tensor(torch.ones(2, 1, 3, 3), 1.0, 0, torch.qint8)}
    ),
    "without values": _saved(STATE | {"conv1.weight": torch.ones(2, 1, 3, 3, device="meta")}),
    "safetensors": GOOD,
    "empty": b"",
}


@pytest.mark.parametrize("what", TORCH)
@pytest.mark.filterwarnings("ignore")
def test_a_file_of_torch_runs_no_code_and_fits_or_is_refused(here, what):
    assert "w.pt" in refused(here, *add(here, TORCH[what], "w.pt"), output="zoo")


def changed(**tensors) -> dict:
    return {name: tensor for name, tensor in (STATE | tensors).items() if tensor is not None}


def weight(value=1.0, shape=(2, 1, 3, 3), dtype=torch.float32) -> torch.Tensor:
    return torch.full(shape, value, dtype=dtype)


TENSORS = {
    "missing": changed(**{"conv1.weight": None}),
    "additional": changed(x=weight()),
    "a thousand more": changed(**{f"x{number}": weight(shape=(1,)) for number in range(1000)}),
    "another shape": changed(**{"conv1.weight": weight(shape=(2, 1, 5, 5))}),
    "flat": changed(**{"conv1.weight": weight(shape=(18,))}),
    "a scalar": changed(**{"conv1.weight": weight(shape=())}),
    "no value": changed(**{"conv1.weight": weight(shape=(0, 1, 3, 3))}),
    "NaN": changed(**{"conv1.weight": weight(float("nan"))}),
    "infinity": changed(**{"conv1.weight": weight(float("inf"))}),
    "infinity in half precision": changed(**{"conv1.weight": weight(float("inf"), dtype=torch.float16)}),
    "overflow": changed(**{"conv1.weight": weight(3e38), "conv2.weight": weight(3e38, (2, 2, 3, 3))}),
    "negative variance": changed(**{"norm1.running_var": weight(-1.0, (2,))}),
    "64 bits beyond 32": changed(**{"conv1.weight": weight(1e300, dtype=torch.float64)}),
    "complex": changed(**{"conv1.weight": weight(1j, dtype=torch.complex64)}),
}


@pytest.mark.parametrize("what", TENSORS)
def test_tensors_that_do_not_fit_are_refused(here, what):
    refused(here, *add(here, save(TENSORS[what])), output="zoo")


def packed(here: Path, content: bytes) -> list:
    """Put a file in the place of the weights of a quantized model, with its hash on the card."""
    folder = here / "zoo" / "digits" / "stranger"
    if not folder.exists():
        shutil.copytree(BUILTIN / "digits" / "cnn-w2a2", folder)
    card = yaml.safe_load((BUILTIN / "digits" / "cnn-w2a2" / "card.yaml").read_text())
    card |= {"name": "stranger", "weights_sha256": hashlib.sha256(content).hexdigest()}
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    (folder / "model.safetensors").write_bytes(content)
    return ["zoo", "show", "stranger", "--dataset", "digits", "--zoo", "zoo"]


CODES = load((BUILTIN / "digits" / "cnn-w2a2" / "model.safetensors").read_bytes())
LAYER = "conv2.weight_code"
SCALE = next(name for name in CODES if name.startswith("conv2.") and "scale" in name)
PACKED = {
    "missing codes": {name: tensor for name, tensor in CODES.items() if name != LAYER},
    "signed codes": CODES | {LAYER: CODES[LAYER].to(torch.int8)},
    "int64 codes out of range": CODES | {LAYER: torch.full((32, 24, 3, 3), 2**62)},
    "negative codes": CODES | {LAYER: torch.full((32, 24, 3, 3), -1)},
    "codes that are floats": CODES | {LAYER: torch.full((32, 24, 3, 3), float("nan"))},
    "codes that are truths": CODES | {LAYER: torch.ones(32, 24, 3, 3, dtype=torch.bool)},
    "codes of another shape": CODES | {LAYER: torch.zeros(3, 32, 24, 3, dtype=torch.int64)},
    "no codes": CODES | {LAYER: torch.zeros(0, dtype=torch.uint8)},
    "no codes of rank 4": CODES | {LAYER: torch.zeros(0, 24, 3, 3, dtype=torch.uint8)},
    "more codes": CODES | {LAYER: torch.zeros(10_000, dtype=torch.uint8)},
    "a scale that is NaN": CODES | {SCALE: torch.full_like(CODES[SCALE], float("nan"))},
    "a scale of whole numbers": CODES | {SCALE: CODES[SCALE].to(torch.int64)},
    "bit widths of their own": CODES | {"conv2.weight_bits": torch.tensor(16)},
    "several bit widths": CODES | {"conv2.weight_bits": torch.tensor([2, 2])},
    "bit widths that are floats": CODES | {"conv2.weight_bits": torch.tensor(float("nan"))},
    "a name of a method": CODES | {"conv2.forward": torch.zeros(1)},
    "an empty name": CODES | {"": torch.zeros(1)},
    **{
        f"a clip of {value}": CODES | {name: torch.full_like(CODES[name], value)}
        for name in [name for name in CODES if name.endswith("alpha")][:1]
        for value in (0.0, -1.0, float("inf"), float("nan"))
    },
}


@pytest.mark.parametrize("what", PACKED)
def test_packed_tensors_that_do_not_fit_are_refused(here, what):
    assert "model.safetensors" in refused(here, *packed(here, save(PACKED[what])))


def test_the_weights_of_a_model_that_are_no_file(here):
    arguments = packed(here, b"")
    weights = here / "zoo" / "digits" / "stranger" / "model.safetensors"
    for replace in (weights.mkdir, lambda: os.mkfifo(weights), lambda: weights.symlink_to("/dev/zero")):
        weights.unlink() if not weights.is_dir() else weights.rmdir()
        replace()
        assert "model.safetensors: the weights cannot be read" in refused(here, *arguments)
    weights.unlink()
    with weights.open("wb") as sparse:
        sparse.truncate(2**40)
    assert "MiB, at most" in refused(here, *arguments)


FUZZ = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)


@pytest.fixture(scope="module")
def somewhere(below):
    def make() -> Path:
        here = Path(tempfile.mkdtemp(dir=below)) / "here"
        here.mkdir()
        return here

    return make


@FUZZ
@given(place=st.integers(0, 8 + LENGTH), junk=st.binary(min_size=1, max_size=8))
def test_spoilt_bytes_of_a_header_are_one_sentence_or_none(somewhere, place, junk):
    here = somewhere()
    answered(here, *add(here, GOOD[:place] + junk + GOOD[place + len(junk) :]), output="zoo")


headers = st.dictionaries(
    st.text(max_size=5) | st.sampled_from(["conv1.weight", "__metadata__"]),
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets"]), inner, max_size=3)
        ),
        max_leaves=5,
    )
    | st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F64", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "F4"]),
            "shape": st.lists(st.integers(0, 3) | st.integers(), max_size=3),
            "data_offsets": st.tuples(st.integers(0, 16), st.integers(0, 64)),
        }
    ),
    max_size=3,
)


@FUZZ
@given(header=headers, data=st.binary(max_size=32))
def test_any_header_is_one_sentence(somewhere, header, data):
    here = somewhere()
    refused(here, *add(here, raw(header, data)), output="zoo")
