"""Entries of the store: files of arrays, each with its key and a checksum.

An entry is a safetensors file. Such a file holds numbers and texts only, so reading one that comes from a stranger runs no
code. Its metadata hold the key, facts, and a checksum of everything else in the file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from saq_eval.core.errors import CannotWrite, SaqEvalError
from saq_eval.evaluation.store.files import write_tensors

Key = Mapping[str, Any]
_KINDS = {"U8": "<u1", "F32": "<f4", "F64": "<f8", "I64": "<i8", "BOOL": "?"}
_MAPPED = 2**16  # bytes; larger files are mapped into memory, smaller ones are read


class Damaged(SaqEvalError):
    """A file of the store that is not as it was written: cut off, or with other contents."""


@dataclass(frozen=True, eq=False)
class Entry:
    """What a file of the store holds.

    Attributes:
        key: everything that determines the arrays, as text; see `key_text`.
        arrays: by name; read-only, of a large file memory-mapped.
        facts: further texts by name, such as why a cell is a hole.
    """

    key: str
    arrays: Mapping[str, np.ndarray]
    facts: Mapping[str, str]


def key_text(key: Key) -> str:
    """Return a key as text: equal keys give equal texts. Values that JSON does not know are stated by their `repr`."""
    return json.dumps(key, sort_keys=True, ensure_ascii=True, default=repr)


def digest_of_key(key: Key) -> str:
    """Return a key's hash, 32 hexadecimal digits."""
    return hashlib.blake2b(key_text(key).encode(), digest_size=16).hexdigest()


def write_entry(path: Path, key: Key, arrays: Mapping[str, np.ndarray], facts: Mapping[str, str] | None = None) -> None:
    """Write a file, completely or not at all, in the place of one that is there.

    Args:
        arrays: float32, float64, int64, uint8 or bool, by name.
        facts: texts by name, other than "key" and "checksum".

    Raises:
        CannotWrite: if the file cannot be written, as on a full disk.
    """
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata = {**(facts or {}), "key": key_text(key)}
    try:
        write_tensors(path, plain, {**metadata, "checksum": _checksum(plain, metadata)})
    except OSError as error:
        raise CannotWrite(path, error) from error


def read_entry(path: Path) -> Entry:
    """Return what a file holds.

    Raises:
        FileNotFoundError: if there is no such file.
        Damaged: if it is not as it was written.
        SaqEvalError: if it cannot be read.
    """
    try:
        data = _bytes_of(path)
        length = int.from_bytes(data[:8].tobytes(), "little")
        header = json.loads(data[8 : 8 + length].tobytes())
        metadata = header.pop("__metadata__")
        checksum = metadata.pop("checksum")
        arrays = {name: _array(data[8 + length :], about) for name, about in header.items()}
        if sum(array.nbytes for array in arrays.values()) != len(data) - 8 - length:
            raise ValueError("bytes of no array")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SaqEvalError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"{path} is damaged: it is cut off, or its header was changed") from error
    if _checksum(arrays, metadata) != checksum:
        raise Damaged(f"{path} is damaged: its checksum is not that of its contents")
    return Entry(metadata.pop("key", ""), arrays, metadata)


def _bytes_of(path: Path) -> np.ndarray:
    if os.path.getsize(path) >= _MAPPED:
        return np.memmap(path, dtype=np.uint8, mode="r")
    return np.frombuffer(path.read_bytes(), dtype=np.uint8)


def _array(data: np.ndarray, about: Mapping[str, Any]) -> np.ndarray:
    start, stop = about["data_offsets"]
    kind, shape = np.dtype(_KINDS[about["dtype"]]), tuple(about["shape"])
    if (
        min(shape, default=0) < 0
        or stop - start != math.prod(shape) * kind.itemsize
        or not 0 <= start <= stop <= len(data)
    ):
        raise ValueError("no such bytes")
    return data[start:stop].view(kind).reshape(shape)


def _checksum(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"\0{name} {array.dtype.str} {array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()
