"""The data that the jobs of a comparison share: settings, networks and test set. A job holds only the name of a folder.

In the main process, these data are objects. Each worker process reads them from the folder when a job first needs them.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn

from saq_eval.core.devices import take_cuda_device
from saq_eval.core.errors import CannotWrite, SaqEvalError, first_line
from saq_eval.core.memory import give_back
from saq_eval.core.temporary import temporary_folder
from saq_eval.data import Images
from saq_eval.evaluation.settings import Settings
from saq_eval.evaluation.store import Key, Keys, Store
from saq_eval.networks.compiled import Compiled
from saq_eval.networks.inference import predict

SETTINGS, IDENTITIES, TEST_SET = "settings", "identities", "test_set"  # files in the folder of shared data
_OPEN: dict[str, Shared] = {}  # by folder, in this process


class Shared:
    """The data that jobs share.

    Attributes:
        settings: the settings that hold for every network.
        networks: by identity, networks in eval mode: float32 pixels (n, c, h, w) in [0, 1] -> logits (n, classes).
        test_set: the whole test set, read batch by batch.
        folder: the folder of what jobs compute once for all; see `once`.
        store: the store of the settings.
        keys: the keys of its entries.
    """

    def __init__(
        self, settings: Settings, networks: Mapping[str, nn.Module], test_set: Images, folder: Path | None = None
    ) -> None:
        self.settings, self.networks, self.test_set, self.folder = settings, networks, test_set, folder
        self.store, self.keys = Store(settings.store), Keys(settings)
        self._placed = lru_cache(maxsize=4)(self._place)  # of the few that a job needs
        self._compiled = lru_cache(maxsize=4)(lambda identity: Compiled(self.network(identity), settings.batch_size))

    def keep(self, key: Key, arrays: Mapping[str, np.ndarray], facts: Mapping[str, str] | None = None) -> None:
        """Put an entry into the store, unless it is there already."""
        if not self.store.path(key).exists():
            self.store.put(key, arrays, facts)

    def halve_batch(self) -> bool:
        """Let half as many images pass at once in this process, because memory is short; return false for one image."""
        size = self.settings.batch_size
        if size > 1:
            self.settings = replace(self.settings, batch_size=size // 2)
        return size > 1

    def network(self, identity: str) -> nn.Module:
        """Return a network, on the device of the settings."""
        return self._placed(identity)

    def _place(self, identity: str) -> nn.Module:
        network = self.networks[identity]
        return network if self.settings.device == "cpu" else copy.deepcopy(network).to(self.settings.device)

    def compiled(self, identity: str) -> Compiled:
        """Return a network's logits without gradients, compiled; see `Compiled`."""
        return self._compiled(identity)

    def once(self, key: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return an array that several jobs need, memory-mapped; the first job that asks for it computes it.

        Args:
            key: names everything that determines the array, other than the settings.

        Raises:
            CannotWrite: if there is no room for it.
        """
        assert self.folder is not None  # `share` has set it
        path = self.folder / f"once-{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
        if not path.exists():
            with FileLock(path.with_suffix(".lock")):  # another process may be computing it
                if not path.exists():
                    _write_array(compute(), path)
        return np.load(path, mmap_mode="r")

    def logits(self, identity: str, batches: Iterable[Tensor]) -> np.ndarray:
        """Return a network's logits for batches of images, each float32 (m, c, h, w): float32 (n, classes)."""
        try:
            if self.settings.compile:
                device, compiled = self.settings.device, self.compiled(identity)
                return np.concatenate([compiled(part.to(device)).cpu().numpy() for part in batches])
            return np.concatenate([predict(self.network(identity), part, len(part)).numpy() for part in batches])
        except SaqEvalError:
            raise
        except Exception as error:  # a user's network may raise anything
            raise SaqEvalError(f"it fails on some of the images: {first_line(error)}") from error


class _Kept(Mapping[str, nn.Module]):
    """Networks in files, each read when it is used."""

    def __init__(self, folder: Path, identities: list[str]) -> None:
        self.folder, self.identities = folder, identities

    def __getitem__(self, identity: str) -> nn.Module:
        return _read_network(self.folder / _file_of(self.identities.index(identity)))

    def __iter__(self) -> Iterator[str]:
        return iter(self.identities)

    def __len__(self) -> int:
        return len(self.identities)


@contextmanager
def share(shared: Shared, *, apart: bool) -> Iterator[str]:
    """Make shared data available to the jobs of this process and of others; yield the folder's name for `shared_at`.

    Args:
        apart: whether there are other processes, which read the data from files.

    Raises:
        CannotWrite: if there is no room for the files.
    """
    with temporary_folder() as folder:
        if apart:
            # cloudpickle also stores the code of classes that other processes cannot import, such as those of a notebook.
            # A network's weights are not in its pickle, but beside it, as `torch.save` writes them.
            _write(folder / SETTINGS, shared.settings)
            _write(folder / IDENTITIES, list(shared.networks))
            for place, network in enumerate(shared.networks.values()):
                _write_network(network, folder / _file_of(place))
            _write(folder / TEST_SET, shared.test_set)
        shared.folder = folder
        give_back()  # what loading and trying the networks took
        _OPEN[str(folder)] = shared
        try:
            yield str(folder)
        finally:
            del _OPEN[str(folder)]


def why_not_stored(network: nn.Module, image: Tensor) -> str:
    """Return why a network cannot be sent to another process; "" if it can, and computes the same there.

    Args:
        image: float32 (1, c, h, w).
    """
    try:
        with temporary_folder() as folder:
            _write_network(network, folder / "network")
            same = torch.equal(predict(_read_network(folder / "network"), image), predict(network, image))
    except CannotWrite:  # which says nothing about the network
        raise
    except Exception as error:  # the parts of a user's network may raise anything
        return first_line(error)
    return "" if same else "it returns other logits there"


def shared_at(folder: str) -> Shared:
    """Return the shared data of a folder: this process's own, or read from the folder and cached until another is read."""
    if folder not in _OPEN:
        place = Path(folder)
        _OPEN.clear()
        settings = _read(place / SETTINGS)
        if settings.device == "cuda":
            take_cuda_device(place)
        _OPEN[folder] = Shared(
            settings,
            _Kept(place, _read(place / IDENTITIES)),
            _read(place / TEST_SET),
            place,
        )
    return _OPEN[folder]


def files_of(folder: str, networks: Sequence[str]) -> list[str]:
    """Return the names of the files that calls with networks of these identities read; none if the folder has no such data."""
    place = Path(folder)
    if not (place / SETTINGS).exists():
        return []
    identities = _read(place / IDENTITIES)
    return [SETTINGS, IDENTITIES, TEST_SET, *(_file_of(identities.index(identity)) for identity in networks)]


def close_at(folder: str) -> None:
    """Let go of the shared data that were read from a folder."""
    _OPEN.pop(folder, None)


def _file_of(place: int) -> str:
    return f"network-{place}"


def _write_network(network: nn.Module, path: Path) -> None:
    try:
        with path.open("wb") as file:  # opened here, so that a full disk is an OSError
            torch.save(network, file, pickle_module=cloudpickle)
    except OSError as error:
        raise CannotWrite(path, error) from error


def _read_network(path: Path) -> nn.Module:
    # The weights are mapped into memory, so that all processes share them. It is safe: this program has written the file.
    return torch.load(path, mmap=True, weights_only=False)


def _write(path: Path, what: Any) -> None:
    data = cloudpickle.dumps(what)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise CannotWrite(path, error) from error


def _write_array(array: np.ndarray, path: Path) -> None:
    unfinished = path.with_suffix(".unfinished")
    try:
        with unfinished.open("wb") as file:
            np.save(file, array)
        unfinished.replace(path)
    except OSError as error:
        raise CannotWrite(path, error) from error


def _read(path: Path) -> Any:
    return cloudpickle.loads(path.read_bytes())  # safe: this program has written the file, in its own folder
