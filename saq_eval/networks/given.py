"""Networks that a user gives: modules, functions, and texts that name a source. They are described as they are found."""

from __future__ import annotations

import hashlib
import inspect
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.paths import check_name
from saq_eval.networks.fingerprint import fingerprint
from saq_eval.networks.network import RANDOM_WEIGHTS, UNKNOWN, Network
from saq_eval.networks.preprocessing import Preprocessing, with_preprocessing
from saq_eval.networks.private import private
from saq_eval.networks.sources import Opened, open_source
from saq_eval.networks.untrained import untrained_copy


def given_networks(
    models: Mapping[str, Any], preprocessing: Preprocessing | None = None, *, trust_code: bool = False
) -> dict[str, Network]:
    """Return the networks that a user gives, by name, ready for a comparison.

    The user's own networks are not changed: copies in eval mode, in single precision and on the CPU are used.

    Args:
        models: by name, a module, a function of images, a `Network`, or the text of a source; see
            `saq_eval.networks.sources`.
        preprocessing: the normalisation before each network that has none of its own; `None` if they read pixels in
            [0, 1].
        trust_code: whether a source may run code outside this package.

    Raises:
        SaqEvalError: a name that is none, a network that is none, or a source that cannot be opened.
    """
    networks = {}
    for name, given in models.items():
        check_name("network", name)
        try:
            networks[name] = _ready(name, _described(given, trust_code=trust_code), preprocessing)
        except SaqEvalError as error:
            raise SaqEvalError(f"the network {name!r}: {error}") from error
    return networks


def _described(given: Any, *, trust_code: bool) -> Network:
    """Return a user's network with the facts that can be read from it."""
    if isinstance(given, str):
        return _of_source(open_source(given, trust_code=trust_code))
    network = given if isinstance(given, Network) else None
    module = network.module if network is not None else given
    if inspect.isclass(module):
        raise SaqEvalError(f"a network is a module or a function of images, not the class {module.__name__}")
    if isinstance(module, str):
        raise SaqEvalError(f"a `Network` holds a module or a function, not {in_short(module)}")
    network = network or Network(module)
    if isinstance(module, nn.Module) and network.architecture == UNKNOWN:
        network = replace(network, architecture=type(module).__name__)
    return network


def _of_source(opened: Opened) -> Network:
    build = opened.build
    return Network(
        opened.module,
        architecture=opened.architecture,
        # A source that knows of no normalisation states the identity; then that of the comparison holds.
        preprocessing=None if opened.preprocessing.is_identity else opened.preprocessing,
        classes=opened.classes,
        geometry=opened.geometry,
        input_size=opened.input_size,
        weights=opened.weights,
        file_bytes=opened.file_bytes,
        untrained=None if build is None else lambda seed: Network(_built(build, seed)),
    )


def _built(build: Any, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def _ready(name: str, network: Network, preprocessing: Preprocessing | None) -> Network:
    """Return a network under its name, with its preprocessing before its module, and with its identity."""
    module = private(network.module, torch.device("cpu"))
    before = network.preprocessing or preprocessing or Preprocessing()
    weights = network.weights or _hash_of(module)
    # A function may compute anything, and a module may hold what cannot be read. Such a network is never taken for another.
    known = fingerprint(network.module) if isinstance(network.module, nn.Module) else None
    # The name keeps two networks of one comparison apart whatever they are.
    identity = f"{name}\n{before}\n{network.identity or known or uuid.uuid4().hex}"
    parameters = sum(parameter.numel() for parameter in module.parameters())
    anew = network.untrained  # not the network itself: a source's module is not needed any more, and may be large

    def untrained(seed: int) -> Network | None:
        return _untrained(described, module, before, anew, seed)

    described = replace(
        network,
        name=name,
        kin=network.kin or name,
        module=with_preprocessing(module, before),
        preprocessing=None,
        weights=weights or "unknown",
        identity=hashlib.sha256(identity.encode()).hexdigest(),
        parameters=network.parameters if network.parameters is not None else (parameters or None),
    )
    return replace(described, untrained=untrained)


def _untrained(
    described: Network,
    module: nn.Module,
    before: Preprocessing,
    anew: Callable[[int], Network | None] | None,
    seed: int,
) -> Network | None:
    """Return a network with random weights: built anew if the user's network can be, else a copy with weights drawn."""
    fresh = anew(seed) if anew is not None else None
    drawn = private(fresh.module, torch.device("cpu")) if fresh is not None else untrained_copy(module, seed)
    if drawn is None:
        return None
    name = f"{described.name} ({RANDOM_WEIGHTS})"
    return replace(
        described,
        module=with_preprocessing(drawn, before),
        name=name,
        training="none",
        kin=name,
        kin_but_guidance=None,
        identity=f"{described.identity}, random weights of seed {seed}",
        weights=f"seed {seed}",
        layers=(),
        untrained=None,
    )


def _hash_of(module: nn.Module) -> str:
    """Return a SHA-256 of a module's weights; "" for a module without weights, or if they cannot be read."""
    state = dict(module.state_dict())
    return fingerprint(state) or "" if state else ""
