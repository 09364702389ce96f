"""The command that quantizes a trained network."""

from __future__ import annotations

import shlex
from typing import Annotated, cast

import typer

from saq_eval.cli.options import (
    ClassesOption,
    CropOption,
    DataRootOption,
    DatasetOption,
    DeviceOption,
    OverwriteOption,
    SizeOption,
    TargetZooOption,
    TrustOption,
)


def quantize(
    dataset: DatasetOption,
    model: Annotated[
        str, typer.Option(help="The full-precision model of the zoo, or NAME=SOURCE for a network outside it.")
    ],
    scheme: Annotated[str, typer.Option(help="A scheme's name (see `saq-eval schemes`) or a .yaml file.")],
    calibrate: Annotated[int, typer.Option(help="The number of images to calibrate on.")] = 256,
    clip: Annotated[
        str, typer.Option(help="How activations are clipped: mse, or quantile:q, as quantile:0.9999.")
    ] = "mse",
    weights: Annotated[
        str, typer.Option(help="How weights are scaled: mse, or scheme, by the scheme's quantizer.")
    ] = "mse",
    rounding: Annotated[str, typer.Option(help="How weights are rounded: least-squares or nearest.")] = "least-squares",
    bias_correction: Annotated[
        bool, typer.Option(help="Change biases so that each output channel keeps its mean.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of the choice of the images.")] = 0,
    finetune: Annotated[int, typer.Option(help="Train on for this many epochs, from the calibrated clips.")] = 0,
    name: Annotated[str | None, typer.Option(help="By default <model>-<scheme>-ptq; with --finetune, -ft.")] = None,
    size: SizeOption = None,
    crop: CropOption = None,
    classes: ClassesOption = None,
    zoo: TargetZooOption = None,
    data_root: DataRootOption = None,
    device: DeviceOption = "auto",
    trust_code: TrustOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Quantize a trained network without training, and write it to the zoo beside its parent."""
    from saq_eval.quantization.calibration import Rounding
    from saq_eval.studies.post_training import Weights, quantize_model
    from saq_eval.zoo import find_model

    card = quantize_model(
        dataset,
        model,
        scheme,
        calibrate=calibrate,
        clip=clip,
        weights=cast(Weights, weights),
        rounding=cast(Rounding, rounding),
        bias_correction=bias_correction,
        seed=seed,
        finetune=finetune,
        name=name,
        zoo=zoo,
        data_root=data_root,
        device=device,
        trust_code=trust_code,
        overwrite=overwrite,
        size=size,
        crop=crop,
        classes=classes,
    )
    assert card.parent is not None  # the network that was quantized
    parent, _ = find_model(dataset, card.parent, zoo)
    _, folder = find_model(dataset, card.name, zoo)
    where = f" --zoo {shlex.quote(str(zoo))}" if zoo else ""
    typer.echo(
        f"{card.dataset}/{card.name}: test accuracy {100 * card.test_accuracy:.2f} %, before "
        f"{100 * parent.test_accuracy:.2f} % ({parent.name}), in {folder}; compare them with: saq-eval compare --dataset "
        f"{shlex.quote(dataset)} --models {card.name}{where}"
    )
