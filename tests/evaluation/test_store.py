import numpy as np
import pytest

from saq_eval import SaqEvalError
from saq_eval.evaluation.store import MapKey, MapStore, checksum

KEY = MapKey("digits", "cnn-fp32", "a" * 64, "occlusion:window=5", {"window": 5}, 0, "00", "saq_eval 1")
MAPS = np.random.default_rng(0).standard_normal((4, 6, 5)).astype(np.float32)
TARGETS, INDICES = np.array([1, 2, 3, 4]), np.array([9, 8, 7, 6])


def test_maps_are_computed_once_and_read_through_memory_mapping(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return MAPS

    store = MapStore(tmp_path / "maps")
    first, second = (store.fetch(KEY, TARGETS, INDICES, compute) for _ in range(2))
    for maps in (first, second):
        np.testing.assert_array_equal(maps, MAPS)
        assert isinstance(maps, np.memmap) and not maps.flags.writeable
    assert len(calls) == store.computed == 1
    assert [file.name for file in (tmp_path / "maps" / "cnn-fp32").iterdir()] == ["occlusion@window=5.safetensors"]


@pytest.mark.parametrize(
    "change",
    [{"identity": "b" * 64}, {"seed": 1}, {"images": "01"}, {"version": "saq_eval 2"}, {"parameters": {"window": 6}}],
)
def test_other_maps_are_not_taken_for_these(change, tmp_path):
    store = MapStore(tmp_path)
    store.fetch(KEY, TARGETS, INDICES, lambda: MAPS)
    other = MapKey(**{**vars(KEY), **change})
    np.testing.assert_array_equal(store.fetch(other, TARGETS, INDICES, lambda: MAPS + 1), MAPS + 1)
    np.testing.assert_array_equal(store.fetch(other, TARGETS + 1, INDICES, lambda: MAPS + 2), MAPS + 2)
    assert store.computed == 3


def test_a_spoiled_file_is_named(tmp_path):
    store = MapStore(tmp_path)
    store.fetch(KEY, TARGETS, INDICES, lambda: MAPS)
    path = store.path(KEY.model, KEY.method)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(SaqEvalError, match=r"occlusion@window=5.safetensors cannot be read: .*; delete the file"):
        store.fetch(KEY, TARGETS, INDICES, lambda: MAPS)


def test_a_computation_that_fails_leaves_nothing(tmp_path):
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MapStore(tmp_path).fetch(KEY, TARGETS, INDICES, fail)
    assert not any(tmp_path.rglob("*.safetensors"))
    (tmp_path / "file").write_text("")
    with pytest.raises(SaqEvalError, match="cannot be written"):
        MapStore(tmp_path / "file").fetch(KEY, TARGETS, INDICES, lambda: MAPS)


def test_checksums():
    assert checksum(MAPS, INDICES) == checksum(MAPS.copy(), INDICES) != checksum(MAPS, INDICES + 1)
