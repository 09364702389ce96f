"""The commands of the zoo: list, show, verify, accuracies, add, retrain and remove."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from saq_eval.cli.console import complain, print_table
from saq_eval.cli.options import (
    ArgumentsOption,
    DataRootOption,
    DatasetOption,
    DeviceOption,
    OnlyDatasetOption,
    OverwriteOption,
    TargetZooOption,
    TrustOption,
    ZooOption,
    arguments_of,
)
from saq_eval.core.errors import SaqEvalError

zoo_app = typer.Typer(no_args_is_help=True, help="List, show, verify, add and remove the models of the zoo.")


@zoo_app.command("list")
def zoo_list(
    dataset: OnlyDatasetOption = None,
    zoo: ZooOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the cards as JSON.")] = False,
) -> None:
    """List the models of the zoo."""
    from dataclasses import asdict, astuple

    from saq_eval.zoo import WEIGHTS, find_models

    found = find_models(dataset, zoo=zoo)
    if as_json:
        typer.echo(json.dumps([asdict(card) for card, _ in found], indent=2, ensure_ascii=False))
        return
    rows = [
        (
            card.dataset,
            card.name,
            *astuple(card.bit_widths),
            card.training,
            card.seed,
            f"{100 * card.test_accuracy:.2f}",
            f"{(folder / WEIGHTS).stat().st_size / 1024:.1f}" if (folder / WEIGHTS).is_file() else "missing",
            f"{card.ideal_bytes / 1024:.1f}",
            f"{card.bops / 1e6:.0f}",
        )
        for card, folder in found
    ]
    columns = (
        *("dataset", "model", "weights", "activations", "first/last", "training", "seed"),
        *("accuracy %", "file KiB", "ideal KiB", "MBOPs"),
    )
    print_table(columns, rows)


@zoo_app.command("show")
def zoo_show(
    name: Annotated[str, typer.Argument(help="A model's name, or a pattern.")],
    dataset: OnlyDatasetOption = None,
    zoo: ZooOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Show a model: how it was made, its layers with bit widths, clips and costs, and its training curve."""
    import torch

    from saq_eval.quantization.costs import layer_costs
    from saq_eval.zoo import find_models, open_model

    for place, (card, folder) in enumerate(find_models(dataset, [name], zoo)):
        model = open_model(card, folder, trust_code=trust_code)
        typer.echo(("\n" if place else "") + f"{card.dataset}/{card.name}, in {folder}")
        facts = {
            "architecture": f"{card.architecture.name} {card.architecture.arguments or ''}".strip(),
            "scheme": card.scheme.description(),
            "training": f"{card.training}, seed {card.seed}" + (f", from {card.parent}" if card.parent else ""),
            **({} if card.calibration is None else {"calibration": card.calibration.text}),
            "test accuracy": f"{100 * card.test_accuracy:.2f} %",
            "size": f"{model.file_bytes / 1024:.1f} KiB as a file, {model.ideal_bytes / 1024:.1f} KiB ideally",
            "weights": f"SHA-256 {card.weights_sha256}",
        }
        for key, value in facts.items():
            typer.echo(f"  {key + ':':15}{value}")
        rows = [
            (
                layer.name,
                "x".join(map(str, layer.shape)),
                layer.weight_bits,
                layer.activation_bits,
                "" if layer.alpha is None else f"{layer.alpha:.3f}",
                f"{layer.weight_bytes / 1024:.2f}",
                f"{layer.macs / 1e6:.3f}",
                f"{layer.bops / 1e6:.1f}",
            )
            for layer in layer_costs(model.frozen, card.scheme, torch.zeros(1, *card.image_shape))
        ]
        typer.echo("")
        print_table(("layer", "weights", "weight bits", "activation bits", "α", "KiB", "MMACs", "MBOPs"), rows)
        if card.history:
            typer.echo("")
            curve = [
                (number, f"{epoch.loss:.4f}", f"{100 * epoch.accuracy:.2f}")
                for number, epoch in enumerate(card.history, 1)
            ]
            print_table(("epoch", "training loss", "training accuracy %"), curve)


@zoo_app.command("verify")
def zoo_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names or patterns; by default all.")] = None,
    dataset: OnlyDatasetOption = None,
    zoo: ZooOption = None,
    data_root: DataRootOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Recompute the numbers on every model's card; the exit code is 2 if one of them differs."""
    from functools import cache

    from saq_eval.data import dataset_name, open_images
    from saq_eval.zoo import find_models, verify_model

    def given(name: str) -> str:
        """Return what to open for a dataset's name: the folder that was asked for, if it is of that name."""
        return dataset if dataset is not None and dataset_name(dataset) == name else name

    test_set = cache(lambda name: open_images(given(name), "test", data_root))
    failures = 0
    found = find_models(dataset, names or ["*"], zoo)
    for card, folder in found:
        try:
            accuracy = verify_model(card, folder, test_set(card.dataset), trust_code=trust_code)
            typer.echo(f"{card.dataset}/{card.name}: hash ok, test accuracy {100 * accuracy:.2f} %")
        except SaqEvalError as error:
            failures += 1
            complain(error)
    typer.echo(f"{len(found) - failures} of {len(found)} models verified")
    if failures:
        raise typer.Exit(2)


@zoo_app.command("accuracies")
def zoo_accuracies(
    dataset: OnlyDatasetOption = None,
    zoo: ZooOption = None,
    into: Annotated[
        Path | None, typer.Option(help="Write the table into this file, between its lines <!-- accuracies … -->.")
    ] = None,
) -> None:
    """Print the test accuracy by dataset, training and scheme, mean ± standard deviation over seeds, in Markdown."""
    from saq_eval.zoo import find_models
    from saq_eval.zoo.accuracies import accuracy_table, replace_section

    table = accuracy_table([card for card, _ in find_models(dataset, zoo=zoo)])
    if into is None:
        typer.echo(table)
    else:
        replace_section(into, f"accuracies {dataset or 'all'}", table)
        typer.echo(f"Written to {into}")


@zoo_app.command("add")
def zoo_add(
    weights: Annotated[Path, typer.Option(help="A safetensors file with the network's state dict.")],
    architecture: Annotated[
        str, typer.Option(help="A registered name, torchvision:NAME, timm:NAME, or module:function, whose code is run.")
    ],
    dataset: DatasetOption,
    name: Annotated[str, typer.Option(help="The model's name in the zoo.")],
    arguments: ArgumentsOption = "{}",
    scheme: Annotated[str, typer.Option(help="What the network was quantized by.")] = "fp32",
    mean: Annotated[str, typer.Option(help="What is subtracted from pixels in [0, 1], one number per channel.")] = "0",
    std: Annotated[str, typer.Option(help="What they are then divided by, one number per channel.")] = "1",
    parent: Annotated[str | None, typer.Option(help="The full-precision model to compare it with.")] = None,
    seed: Annotated[int, typer.Option(help="The seed that it was trained with.")] = 0,
    zoo: TargetZooOption = None,
    data_root: DataRootOption = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Add a network that was trained elsewhere to the zoo, and measure its accuracy."""
    from saq_eval.networks.preprocessing import Preprocessing
    from saq_eval.zoo import add_model

    card = add_model(
        dataset,
        name,
        weights,
        architecture,
        arguments=arguments_of(arguments),
        scheme=scheme,
        preprocessing=Preprocessing(_numbers("mean", mean), _numbers("std", std)),
        parent=parent,
        seed=seed,
        zoo=zoo,
        data_root=data_root,
        overwrite=overwrite,
    )
    typer.echo(f"{card.dataset}/{card.name}: test accuracy {100 * card.test_accuracy:.2f} %")


@zoo_app.command("retrain")
def zoo_retrain(
    model: Annotated[str, typer.Argument(help="The model whose card says what to train.")],
    dataset: DatasetOption,
    name: Annotated[str, typer.Option(help="The new model's name.")],
    zoo: TargetZooOption = None,
    data_root: DataRootOption = None,
    device: DeviceOption = "auto",
    trust_code: TrustOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Train a model again from its card, under another name, to check that its accuracy can be reproduced."""
    from saq_eval.studies.driver import retrain_model
    from saq_eval.zoo import find_model

    card = retrain_model(
        dataset,
        model,
        name=name,
        zoo=zoo,
        data_root=data_root,
        device=device,
        trust_code=trust_code,
        overwrite=overwrite,
    )
    before = find_model(dataset, model, zoo)[0].test_accuracy
    typer.echo(
        f"{dataset}/{name}: test accuracy {100 * card.test_accuracy:.2f} %, "
        f"{100 * (card.test_accuracy - before):+.2f} points to {model}"
    )


@zoo_app.command("remove")
def zoo_remove(
    name: Annotated[str, typer.Argument(help="A model's name.")],
    dataset: DatasetOption,
    zoo: ZooOption = None,
) -> None:
    """Delete a model from a zoo of your own."""
    from saq_eval.zoo import remove_model

    typer.echo(f"Removed {remove_model(dataset, name, zoo)}")


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SaqEvalError(f"--{option} takes numbers separated by commas, not {text!r}") from None
