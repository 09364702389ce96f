"""The command that trains networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypedDict, cast

import typer

from saq_eval.cli.options import (
    ArgumentsOption,
    CropOption,
    DataRootOption,
    DatasetOption,
    DeviceOption,
    OverwriteOption,
    SizeOption,
    TargetZooOption,
    arguments_of,
    names,
)
from saq_eval.core.errors import SaqEvalError


class _Where(TypedDict):
    zoo: Path | None
    data_root: Path | None
    device: str
    overwrite: bool


def train(
    dataset: DatasetOption,
    scheme: Annotated[
        str | None, typer.Option(help="A scheme's name (see `saq-eval schemes`) or a .yaml file.")
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Train all models of a study, `paper` or a .yaml file, instead of one.")
    ] = None,
    only: Annotated[str, typer.Option(help="With --study: names or patterns of its models, comma-separated.")] = "*",
    architecture: Annotated[
        str, typer.Option(help="See `saq-eval architectures`; or torchvision:NAME, timm:NAME.")
    ] = "cnn",
    arguments: ArgumentsOption = "{}",
    saliency_guided: Annotated[bool, typer.Option("--saliency-guided", help="Train with saliency guidance.")] = False,
    masked_fraction: Annotated[float, typer.Option(help="Saliency guidance: the share of features to replace.")] = 0.5,
    divergence_weight: Annotated[
        float, typer.Option(help="Saliency guidance: λ, of the divergence in the loss.")
    ] = 0.5,
    ranking: Annotated[
        str, typer.Option(help="Saliency guidance: rank gradients by magnitude or signed.")
    ] = "magnitude",
    seed: Annotated[int, typer.Option(help="Of initialisation, order, augmentation and masking.")] = 0,
    parent: Annotated[str | None, typer.Option(help="The full-precision model to start from.")] = None,
    name: Annotated[str | None, typer.Option(help="By default <architecture>-<scheme>[-sgt][-s<seed>].")] = None,
    recipe: Annotated[Path | None, typer.Option(help="A .yaml file with the fields of saq_eval.Recipe.")] = None,
    keep_training_form: Annotated[
        bool, typer.Option("--keep-training-form", help="Keep the latent weights too, to go on training from.")
    ] = False,
    size: SizeOption = None,
    crop: CropOption = None,
    zoo: TargetZooOption = None,
    data_root: DataRootOption = None,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Train one network, or all networks of a study, and write them to the zoo; a stopped run is resumed."""
    from saq_eval.core.records import read_record
    from saq_eval.studies.completion import train_study
    from saq_eval.studies.driver import train_model
    from saq_eval.training.recipes import Recipe
    from saq_eval.training.saliency_guided import Ranking, SaliencyGuided

    where: _Where = {"zoo": zoo, "data_root": data_root, "device": device, "overwrite": overwrite}
    if study is not None and scheme is None:
        train_study(study, dataset, only=names([only]), report=typer.echo, **where)
        return
    if scheme is None or study is not None:
        raise SaqEvalError("say what to train: either --scheme (one network) or --study (all networks of one)")
    card = train_model(
        dataset,
        scheme,
        architecture=architecture,
        arguments=arguments_of(arguments),
        saliency_guided=saliency_guided and SaliencyGuided(masked_fraction, divergence_weight, cast(Ranking, ranking)),
        seed=seed,
        parent=parent,
        name=name,
        recipe=read_record(Recipe, recipe) if recipe else None,
        keep_training_form=keep_training_form,
        size=size,
        crop=crop,
        **where,
    )
    typer.echo(f"{card.dataset}/{card.name}: test accuracy {100 * card.test_accuracy:.2f} %")
