"""Networks of torchvision that classify images: `torchvision:resnet18@weights.safetensors`."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from saq_eval.core.errors import SaqEvalError
from saq_eval.data.geometry import Geometry, Interpolation
from saq_eval.networks.architectures import build
from saq_eval.networks.libraries import INCEPTIONS, torchvision_builder
from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.networks.sources.base import Opened, Stored, builds, read_named, register_source
from saq_eval.networks.sources.text import SourceText
from saq_eval.networks.weights import load_into


@register_source("torchvision")
def open_torchvision(source: SourceText, *, trust_code: bool) -> Opened:
    """Open a torchvision network; the number of its outputs follows from its weights.

    Pictures are prepared as for torchvision's own weights: the release that the file is, by its hash, or the default one.
    """
    name, builder = f"torchvision:{source.name}", torchvision_builder(source.name)
    stored = read_named(source, f"torchvision.models.{source.name}(weights='DEFAULT').state_dict()")
    arguments = {**_of_training(source, stored), **source.arguments}
    network = build(name, builder, arguments, seed=0)
    head, outputs = _outputs(network)
    rows = stored.tensors[f"{head}.weight"].shape[:1].numel() if f"{head}.weight" in stored.tensors else outputs
    if rows != outputs and "num_classes" not in arguments:
        arguments, outputs = {**arguments, "num_classes": rows}, rows
        network = build(name, builder, arguments, seed=0)
    load_into(network, stored.tensors, str(source.file))
    release = _release(source.name, stored.sha256)
    prepared = release.transforms()
    return Opened(
        network.eval(),
        name,
        source.preprocessing(Preprocessing(tuple(prepared.mean), tuple(prepared.std))),
        source.geometry(
            Geometry(prepared.resize_size[0], prepared.crop_size[0], cast(Interpolation, prepared.interpolation.value))
        ),
        tuple(release.meta["categories"]) if outputs == len(release.meta["categories"]) else None,
        stored.sha256,
        stored.size,
        builds(name, builder, arguments),
        arguments,
    )


def _of_training(source: SourceText, stored: Stored) -> dict[str, Any]:
    """Return the arguments of Inception networks that follow from the file; the others have none."""
    if source.name not in INCEPTIONS:
        return {}
    if "transform_input" not in source.arguments:
        raise SaqEvalError(
            f"{source.text}: torchvision's {source.name} reads pixels in one of two ways, which its weights do not tell; "
            "give ?transform_input=true for torchvision's own weights and what was trained from them, else =false"
        )
    return {"aux_logits": any(name.lower().startswith("aux") for name in stored.tensors)}


def _outputs(network: nn.Module) -> tuple[str, int]:
    """Return the name of a network's last layer, and the number of its outputs."""
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    name, layer = layers[-1]
    return name, layer.weight.shape[0]


def _release(name: str, sha256: str) -> Any:
    """Return the entry of torchvision's weights whose file has this hash, or the default one."""
    from torchvision import models

    releases = models.get_model_weights(name)
    # The names of torchvision's files end with the first digits of their hash.
    return next((each for each in releases if each.url.endswith(f"-{sha256[:8]}.pth")), releases.DEFAULT)
