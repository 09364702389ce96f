"""Tensors that are kept in memory or in files, and come back as they were."""

from pathlib import Path

import torch

from saq_eval.quantization.calibration import values
from saq_eval.quantization.calibration.values import Store, chunks_of


def test_what_does_not_fit_is_in_files_until_it_is_released():
    first, second = torch.rand(10), torch.rand(100)[:10].reshape(2, 5)
    with Store(most_bytes=first.nbytes) as store:
        kept = [store.keep(first), store.keep(second)]
        assert [each.path is None for each in kept] == [True, False] and store.held_bytes == first.nbytes
        assert torch.equal(kept[0].get(), first) and torch.equal(kept[1].get(), second)
        assert kept[1].path.stat().st_size < 2000 + second.nbytes
        folder = kept[1].path.parent
        store.release(kept)
        assert store.held_bytes == 0 and not list(folder.iterdir())
        again = store.keep(first)
        assert again.path is None
    assert not Path(folder).exists()


def test_chunks_are_bounded_and_hold_at_least_one_image(monkeypatch):
    images = torch.rand(10, 1, 4, 4)
    assert [len(chunk) for chunk in chunks_of(images)] == [10]
    monkeypatch.setattr(values, "CHUNK_BYTES", 3 * images[0].nbytes + 1)
    assert [len(chunk) for chunk in chunks_of(images)] == [3, 3, 3, 1]
    monkeypatch.setattr(values, "CHUNK_BYTES", 1)
    assert torch.equal(torch.cat(chunks_of(images)), images) and len(chunks_of(images)) == 10
