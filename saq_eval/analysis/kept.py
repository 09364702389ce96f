"""Keeping a comparison's tables in the store: with many networks, their statistics take minutes."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from saq_eval.analysis.results import Results
from saq_eval.analysis.schema import make_tables
from saq_eval.analysis.tables import TABLES
from saq_eval.core.code import checksum_of_packages, code_of
from saq_eval.evaluation.store import Key, Store
from saq_eval.evaluation.store.keys import versions

_PACKAGES = ("core", "data", "networks", "attribution", "metrics", "evaluation", "analysis")
_LIBRARIES = ("saq_eval", "numpy", "pandas", "pyarrow", "scipy", "scikit-learn")
_NOT_FACTS = ("module", "untrained")  # of a network: what computes


def tables_of(results: Results, store: Store) -> tuple[dict[str, pd.DataFrame], Key]:
    """Return all tables by name, and their key: those that the store holds, if they were made from the same results, or new ones.

    Raises:
        CannotWrite: if the store cannot be written.
    """
    key = _key(results)
    entry = store.get(key)
    if entry is not None and list(entry.arrays) and set(entry.arrays) == set(TABLES):
        return {name: pd.read_parquet(io.BytesIO(entry.arrays[name].tobytes())) for name in TABLES}, key
    tables = make_tables(results)
    written = {name: _as_parquet(table) for name, table in tables.items()}
    store.put(key, written)
    return tables, key


def _as_parquet(table: pd.DataFrame) -> np.ndarray:
    buffer = io.BytesIO()
    table.to_parquet(buffer, compression="zstd")
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8)


def _key(results: Results) -> Key:
    digest = hashlib.blake2b(digest_size=16)
    for part in _parts(results):
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str} {part.shape}\0".encode())
            digest.update(np.ascontiguousarray(part).view(np.uint8).data if part.size else b"")
        else:
            digest.update(f"{part!r}\0".encode())
    return {
        "kind": "tables",
        "results": digest.hexdigest(),
        "tables": {name: code_of(table.make, *_PACKAGES) for name, table in TABLES.items()},
        "code": checksum_of_packages(*_PACKAGES),
        "libraries": versions(_LIBRARIES),
    }


def _parts(results: Results) -> Iterator[Any]:
    """Yield all that the tables are made from: arrays, and values with a `repr` that says all of them."""
    grid = results.grid
    yield results.margin, {method: [s.label for s in chosen] for method, chosen in results.composite.pairs.items()}
    for name, network in results.networks.items():
        facts = {each.name: getattr(network, each.name) for each in fields(network) if each.name not in _NOT_FACTS}
        yield name, facts
    settings, sample = grid.settings, grid.settings.sample
    yield sample.name, sample.fingerprint, sample.files, sample.mask_record(), settings.seed, settings.device
    yield [(e.label, e.method.code, e.settings(sample.image_shape)) for e in settings.methods_of("model")]
    yield [(s.label, s.metric.code, s.settings(sample.image_shape)) for s in settings.scorers]
    yield grid.subjects
    # In an order that does not depend on which cell was finished first.
    for cell, scored in sorted(grid.cells.items(), key=lambda item: repr(item[0])):
        yield cell, scored.hole, sorted(scored.controls)
        parts = (scored.scores, scored.curve, scored.chance, scored.to_fine_tuned, scored.noise)
        yield from (part for part in (*parts, *(scored.controls[name] for name in sorted(scored.controls))))
    for (subject, method), explained in sorted(grid.explained.items(), key=lambda item: repr(item[0])):
        yield subject, method
        yield explained.degenerate
    by_whom: Mapping[Any, np.ndarray]
    for by_whom in (grid.logits, grid.predictions, grid.targets):
        for whose, values in by_whom.items():
            yield whose
            yield values
    yield grid.accuracies, grid.surrogate_gaps
    yield grid.test_labels
