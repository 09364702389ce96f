"""The command line: each command translates its arguments and calls the Python API."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from saq_eval.errors import SaqEvalError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Does a network still look at the right part of the image after quantization?",
)
zoo_app = typer.Typer(no_args_is_help=True, help="List and verify the models of the zoo.")
app.add_typer(zoo_app, name="zoo")

DatasetOption = Annotated[str, typer.Option(help="digits, mnist or fashionmnist.")]
ZooOption = Annotated[Path | None, typer.Option(help="A zoo folder beside the built-in one; else SAQ_EVAL_ZOO.")]
DataRootOption = Annotated[
    Path | None, typer.Option(help="Folder of the dataset files; else SAQ_EVAL_DATA_ROOT, else the user cache.")
]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or auto.")]


@app.command()
def compare(
    dataset: DatasetOption,
    models: Annotated[
        list[str] | None, typer.Option(help="Names or patterns, comma-separated; may be repeated.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Compare all with this model instead of each one's fp32 counterpart.")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="Comma-separated; by default all.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Comma-separated; by default all.")] = None,
    samples: Annotated[int, typer.Option(help="Test images, stratified by class.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the images, of random methods and metrics, of the bootstrap.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Images in a chunk.")] = 64,
    device: DeviceOption = "auto",
    data_root: DataRootOption = None,
    zoo: ZooOption = None,
    output: Annotated[Path | None, typer.Option(help="Folder of the report; by default reports/<dataset>.")] = None,
) -> None:
    """Compare accuracy and saliency maps of full-precision and quantized models; write CSV and HTML reports."""
    import saq_eval

    output = output or Path("reports") / dataset
    result = saq_eval.compare(
        dataset,
        models=_names(models) if models is not None else ["*"],
        baseline=baseline,
        methods=_names([methods]) if methods is not None else None,
        metrics=_names([metrics]) if metrics is not None else None,
        samples=samples,
        seed=seed,
        batch_size=batch_size,
        device=device,
        data_root=data_root,
        zoo=zoo,
        output=output,
    )
    table = result.overview()
    _print_table(table.columns, table.itertuples(index=False))
    typer.echo(f"Written to {output}: scores.csv, summary.csv, models.csv, report.html, run.json")


@app.command()
def train(
    dataset: DatasetOption,
    scheme: Annotated[str, typer.Option(help="A scheme's name (see `saq-eval schemes`) or a .yaml file.")],
    architecture: Annotated[str, typer.Option(help="See `saq-eval architectures`.")] = "cnn",
    saliency_guided: Annotated[bool, typer.Option("--saliency-guided", help="Train with saliency guidance.")] = False,
    masked_fraction: Annotated[float, typer.Option(help="Saliency guidance: the share of features to replace.")] = 0.5,
    ranking: Annotated[
        str, typer.Option(help="Saliency guidance: rank gradients by magnitude or signed.")
    ] = "magnitude",
    seed: Annotated[int, typer.Option(help="Of initialisation, order, augmentation and masking.")] = 0,
    parent: Annotated[str | None, typer.Option(help="The full-precision model to start from.")] = None,
    name: Annotated[str | None, typer.Option(help="By default <architecture>-<scheme>[-sgt][-s<seed>].")] = None,
    recipe: Annotated[Path | None, typer.Option(help="A .yaml file with the fields of saq_eval.Recipe.")] = None,
    zoo: Annotated[Path | None, typer.Option(help="The zoo folder to write to; else SAQ_EVAL_ZOO.")] = None,
    data_root: DataRootOption = None,
    device: DeviceOption = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")] = False,
) -> None:
    """Train one network and write it to the zoo."""
    from saq_eval.records import read_record
    from saq_eval.training.recipes import Recipe
    from saq_eval.training.saliency_guided import SaliencyGuided
    from saq_eval.zoo import train_model

    card = train_model(
        dataset,
        scheme,
        architecture=architecture,
        saliency_guided=saliency_guided and SaliencyGuided(masked_fraction, ranking=ranking),
        seed=seed,
        parent=parent,
        name=name,
        recipe=read_record(Recipe, recipe) if recipe else None,
        zoo=zoo,
        data_root=data_root,
        device=device,
        overwrite=overwrite,
    )
    typer.echo(f"{card.dataset}/{card.name}: test accuracy {100 * card.test_accuracy:.2f} %")


@zoo_app.command("list")
def zoo_list(
    dataset: Annotated[str | None, typer.Option(help="Only models of this dataset.")] = None,
    zoo: ZooOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the cards as JSON.")] = False,
) -> None:
    """List the models of the zoo."""
    from dataclasses import asdict

    from saq_eval.zoo import WEIGHTS, find_models

    found = find_models(dataset, zoo=zoo)
    if as_json:
        typer.echo(json.dumps([asdict(card) for card, _ in found], indent=2, ensure_ascii=False))
        return
    rows = [
        (
            card.dataset,
            card.name,
            card.scheme.hidden_bits("weight_bits"),
            card.scheme.hidden_bits("activation_bits"),
            card.scheme.ends.weight_bits,
            card.training,
            card.seed,
            f"{100 * card.test_accuracy:.2f}",
            f"{(folder / WEIGHTS).stat().st_size / 1024:.1f}" if (folder / WEIGHTS).is_file() else "missing",
        )
        for card, folder in found
    ]
    columns = ("dataset", "model", "weights", "activations", "first/last", "training", "seed", "accuracy %", "file KiB")
    _print_table(columns, rows)


@zoo_app.command("verify")
def zoo_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names or patterns; by default all.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only models of this dataset.")] = None,
    zoo: ZooOption = None,
    data_root: DataRootOption = None,
) -> None:
    """Recompute every model's hash and test accuracy; exit code 2 if one differs from its card."""
    from functools import cache

    from saq_eval.datasets import load_dataset
    from saq_eval.zoo import find_models, verify_model

    test_set = cache(lambda name: load_dataset(name, "test", data_root))
    failures = 0
    found = find_models(dataset, names or ["*"], zoo)
    for card, folder in found:
        try:
            accuracy = verify_model(card, folder, test_set(card.dataset))
            typer.echo(f"{card.dataset}/{card.name}: hash ok, test accuracy {100 * accuracy:.2f} %")
        except SaqEvalError as error:
            failures += 1
            _complain(error)
    typer.echo(f"{len(found) - failures} of {len(found)} models verified")
    if failures:
        raise typer.Exit(2)


@app.command()
def datasets() -> None:
    """List the datasets."""
    from saq_eval.datasets import DATASETS

    typer.echo("\n".join(DATASETS))


@app.command()
def architectures() -> None:
    """List the architectures."""
    from saq_eval.architectures import ARCHITECTURES

    typer.echo("\n".join(ARCHITECTURES))


@app.command()
def schemes() -> None:
    """List the quantization schemes, as weight bits / activation bits."""
    from saq_eval.quantization import SCHEMES

    def bits(value: Any) -> str:
        return "same" if value is None else f"{value.weight_bits}/{value.activation_bits}"

    rows = [(s.name, bits(s.default), bits(s.later), bits(s.ends)) for s in SCHEMES.values()]
    _print_table(("scheme", "hidden layers", "later hidden layers", "first and last layer"), rows)


@app.command()
def methods() -> None:
    """List the attribution methods; passes are runs of the network per image."""
    from saq_eval.attribution import METHODS

    rows = [(m.name, m.family, m.passes, "yes" if m.random else "no", m.reference) for m in METHODS.values()]
    _print_table(("method", "family", "passes", "random", "reference"), rows)


@app.command()
def metrics() -> None:
    """List the metrics."""
    from saq_eval.metrics import METRICS

    rows = [
        (
            m.name,
            m.category,
            "higher" if m.higher_is_better else "lower",
            f"{m.range[0]:g} to {m.range[1]:g}",
            m.reference,
        )
        for m in METRICS.values()
    ]
    _print_table(("metric", "category", "better", "range", "reference"), rows)


def _names(given: Iterable[str] | None) -> list[str]:
    """Split comma-separated lists."""
    return [name.strip() for part in given or () for name in part.split(",") if name.strip()]


def _print_table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    # A terminal gets narrow columns, RelevanceMassAccuracy in three lines, but no broken word; a pipe gets whole lines.
    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(re.sub(r"(?<=[a-z])(?=[A-Z][a-z])| (?=%)", "\n", column) if terminal else column)
    for row in rows:
        table.add_row(*map(str, row))
    console = Console(width=10_000, highlight=False, markup=False)
    needed = console.measure(table)
    console.width = max(shutil.get_terminal_size().columns, needed.minimum) if terminal else needed.maximum
    console.print(table)


def _complain(error: Exception | str) -> None:
    typer.echo(f"saq-eval: {' '.join(str(error).split())}", err=True)


def main() -> None:
    """Run the command line; bad input ends in one line on standard error and exit code 2."""
    try:
        code = app(prog_name="saq-eval", standalone_mode=False)
    except SaqEvalError as error:
        _complain(error)
        code = 2
    except typer.TyperException as error:
        if error.format_message():  # empty where the help was asked for by giving no command
            _complain(error.format_message())
        code = 2
    if code == 130:
        _complain("interrupted")
    sys.exit(code)


if __name__ == "__main__":
    main()
