"""The card of a zoo model: its architecture and scheme, its training, its accuracy, and the hash of its weights."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict

from saq_eval.core.errors import SaqEvalError, in_short
from saq_eval.core.paths import check_name
from saq_eval.core.randomness import check_seed
from saq_eval.core.records import parse, read_text, yaml_of
from saq_eval.data import Geometry, Split
from saq_eval.networks.network import BitWidths
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.quantization import Scheme
from saq_eval.quantization.calibration import ClipRule, Rounding
from saq_eval.training.checkpoints import Epoch
from saq_eval.training.recipes import Recipe

CARD, WEIGHTS, TRAINING_FORM = "card.yaml", "model.safetensors", "training_form.safetensors"

# Placeholders for the fields of a card that are measured on the finished network.
NOT_MEASURED: dict[str, Any] = {"test_accuracy": 0.0, "ideal_bytes": 0, "bops": 0, "weights_sha256": "0" * 64}

_STRICT = ConfigDict(extra="forbid")
_MOST_COUNTED = 2**63  # bytes, or bit operations
_MOST_VALUES = 3 * 2048 * 2048  # of an image; a network is run on one to find what it costs
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ArchitectureCard:
    """An architecture's name, as `find_architecture` takes it, and the keyword arguments that it is built with."""

    __pydantic_config__ = _STRICT

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CalibrationCard:
    """How a network was quantized after training (see `saq_eval.quantization.calibration.calibrate`).

    Attributes:
        images: the number of calibration images, drawn from the dataset's `split`, stratified by class.
        split: "train" or "test".
        clip: how the clips were found: "mse", or "quantile:q".
        rounding: how the weights were rounded: "least-squares" or "nearest". Further training rounds them anew.
        seed: the seed by which the images were drawn.
        bias_correction: whether biases were changed so that each output channel kept its mean.
    """

    __pydantic_config__ = _STRICT

    images: int
    split: Split
    clip: str
    rounding: Rounding
    seed: int = 0
    bias_correction: bool = True

    def __post_init__(self) -> None:
        ClipRule.parse(self.clip)
        check_seed(self.seed)
        if self.images < 1:
            raise SaqEvalError(f"a network is calibrated on at least one image, not on {self.images}")

    @property
    def text(self) -> str:
        """The calibration in words."""
        return (
            f"calibrated on {self.images} {self.split} images, seed {self.seed}; clips by {self.clip}, "
            f"weights rounded by {self.rounding}{'' if self.bias_correction else ', biases not corrected'}"
        )


@dataclass(frozen=True)
class Card:
    """Everything about a zoo model except its weights; the file `card.yaml`.

    Attributes:
        name: the name of the model and of its folder.
        dataset: the dataset that it was trained on; also the name of the folder above the model's folder.
        architecture: the architecture and its arguments.
        scheme: the quantization scheme.
        seed: the seed of initialisation, order of the images, augmentation and masking.
        parent: the name of the full-precision model that it started from, or `None`.
        parent_sha256: SHA-256 of the parent's training form at that time; `None` if it is not known.
        recipe: the training recipe; `None` for a network trained elsewhere, or not trained after it was quantized.
        image_shape: (channels, height, width) of the images that it reads.
        test_accuracy: the share of the dataset's test images that the stored network classifies correctly, 0 to 1.
        ideal_bytes: its size at its bit widths: packed weights, and scales, biases and clips as float32. The
            stored file also has a header of names and shapes.
        bops: bit operations of one inference (see `LayerCost.bops`).
        bits: the bit widths of its layers; `None` on cards of earlier versions.
        weights_sha256: SHA-256 of `model.safetensors`.
        training_form_sha256: SHA-256 of `training_form.safetensors`, which quantized children start
            from; `None` if the file is not kept.
        preprocessing: the normalisation of the pixels.
        geometry: how pictures are brought to one size for it; `None` if they have one size.
        classes: the names of its outputs; `None` if they are the dataset's classes in order.
        calibration: how the network was quantized after training; `None` if it was not.
        parent_recipe: the parent's recipe, if the network is calibrated and not trained further.
        history: one record per epoch.
        versions: the versions of the packages that trained it.
    """

    __pydantic_config__ = _STRICT

    name: str
    dataset: str
    architecture: ArchitectureCard
    scheme: Scheme
    seed: int
    parent: str | None
    recipe: Recipe | None
    image_shape: tuple[int, int, int]
    test_accuracy: float
    ideal_bytes: int
    bops: int
    weights_sha256: str
    training_form_sha256: str | None = None
    bits: BitWidths | None = None
    parent_sha256: str | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    geometry: Geometry | None = None
    classes: tuple[str, ...] | None = None
    calibration: CalibrationCard | None = None
    parent_recipe: Recipe | None = None
    history: tuple[Epoch, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_name("model", self.name)
        check_seed(self.seed)
        if self.parent is not None:
            check_name("parent", self.parent)
        for measured in ("ideal_bytes", "bops"):
            if not 0 <= getattr(self, measured) < _MOST_COUNTED:
                raise SaqEvalError(f"{measured} lies between 0 and 2^63, not {in_short(getattr(self, measured))}")
        if not all(1 <= size <= 4096 for size in self.image_shape) or math.prod(self.image_shape) > _MOST_VALUES:
            raise SaqEvalError(
                "image_shape is channels, height and width from 1 to 4096, together at most 12,582,912 values, not "
                f"{in_short(self.image_shape)}"
            )
        if not 0 <= self.test_accuracy <= 1:
            raise SaqEvalError(f"test_accuracy lies between 0 and 1, not {self.test_accuracy}")
        for digest in (self.weights_sha256, self.training_form_sha256, self.parent_sha256):
            if digest is not None and not _SHA256.fullmatch(digest):
                raise SaqEvalError(f"a SHA-256 is 64 lower-case hexadecimal digits, not {digest!r}")

    @property
    def bit_widths(self) -> BitWidths:
        """The bit widths to show: `bits`, or those of the scheme if the card has no `bits`."""
        return self.bits or BitWidths(
            weights=self.scheme.hidden_bits("weight_bits"),
            activations=self.scheme.hidden_bits("activation_bits"),
            ends=str(self.scheme.ends.weight_bits),
        )

    @property
    def training(self) -> str:
        """ "standard", "saliency-guided", or "external" for a network trained elsewhere.

        A network that is quantized after training has its parent's.
        """
        recipe = self.recipe or self.parent_recipe
        if recipe is None:
            return "external"
        return "saliency-guided" if recipe.saliency_guided else "standard"

    @property
    def only_quantized(self) -> bool:
        """Whether nothing but quantization sets the network apart from its parent: it was not trained further."""
        return self.calibration is not None and self.recipe is None


def twin(card: Card) -> tuple:
    """Return a key that is equal for networks that differ only in the seed; a network trained elsewhere has no twin.

    The precision of training is not part of the key, because it may depend on the processor.
    """
    calibration = None if card.calibration is None else replace(card.calibration, seed=0)
    return card.dataset, card.architecture, card.scheme, _recipe(card), calibration, card.preprocessing


def is_fine_tuned_twin(other: Card, card: Card) -> bool:
    """Tell whether `other` is the control of the quantized `card`: the same further training, in full precision."""
    return (
        other.scheme.fine_tuned
        and other.scheme.is_full_precision
        and card.scheme.starts_from_parent
        and not card.only_quantized
        and (other.dataset, other.parent, other.seed) == (card.dataset, card.parent, card.seed)
        and (other.architecture, other.preprocessing) == (card.architecture, card.preprocessing)
        and other.recipe is not None
        and card.recipe is not None
        and _without_clips(other.recipe) == _without_clips(card.recipe)
    )


def _without_clips(recipe: Recipe) -> Recipe:
    """Return what a recipe means for a full-precision network, which has no clips."""
    return replace(recipe, precision="float32", alpha_init=10.0, alpha_decay=0.0)


def _recipe(card: Card) -> Recipe | str:
    recipe = card.recipe or card.parent_recipe
    return card.name if recipe is None else replace(recipe, precision="float32")


def read_card(path: Path) -> Card:
    """Read and check a `card.yaml`; raises `SaqEvalError` that names the file and the field."""
    card = _card(read_text(path), path)
    for name, value, folder in (("name", card.name, path.parent), ("dataset", card.dataset, path.parent.parent)):
        if value != folder.resolve().name:
            raise SaqEvalError(f"{path}: {name}: is {value!r}, but the folder is called {folder.resolve().name!r}")
    return card


@functools.lru_cache(maxsize=4096)
def _card(text: str, path: Path) -> Card:
    """Parse a card's text once: whoever looks for one model reads the cards of all."""
    return parse(Card, yaml_of(text, path), path)


def write_card(card: Card, path: Path) -> None:
    """Write a card as YAML, with the fields in the order of `Card`."""
    path.write_text(
        yaml.safe_dump(_plain(asdict(card)), sort_keys=False, allow_unicode=True, width=100), encoding="utf-8"
    )


def _plain(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    return [_plain(value) for value in data] if isinstance(data, (list, tuple)) else data
