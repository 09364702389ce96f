"""The command line: each command translates its arguments and calls the Python API."""

from __future__ import annotations

import json
import re
import shutil
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from saq_eval.core.errors import SaqEvalError, SaqEvalWarning

if TYPE_CHECKING:
    from saq_eval.comparison import Comparison

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Does a network still look at the right part of the image after quantization?",
)
zoo_app = typer.Typer(no_args_is_help=True, help="List, show, verify, add and remove the models of the zoo.")
app.add_typer(zoo_app, name="zoo")

DatasetOption = Annotated[str, typer.Option(help="digits, mnist, fashionmnist or planted.")]
ZooOption = Annotated[Path | None, typer.Option(help="A zoo folder beside the built-in one; else SAQ_EVAL_ZOO.")]
DataRootOption = Annotated[
    Path | None, typer.Option(help="Folder of the dataset files; else SAQ_EVAL_DATA_ROOT, else the user cache.")
]
ArgumentsOption = Annotated[
    str, typer.Option(help="Keyword arguments of the architecture, as JSON or YAML: '{width: 16}'.")
]
TrustOption = Annotated[
    bool, typer.Option("--trust-code", help="Run code outside saq_eval that a card names to build its network.")
]
ModelsOption = Annotated[
    list[str] | None,
    typer.Option(help="Names or patterns, comma-separated; may be repeated; by default all of seed 0."),
]
MethodsOption = Annotated[
    str | None,
    typer.Option(
        help="Comma-separated names, with parameters as in integrated_gradients:n_steps=64,fill=blur, "
        "or quick, standard (default) or full."
    ),
]
MetricsOption = Annotated[
    str | None,
    typer.Option(
        help="Comma-separated names, with parameters as in FaithfulnessCorrelation:nr_runs=100,subset_size=64, "
        "or quick, standard (default) or full."
    ),
]
FormatsOption = Annotated[str | None, typer.Option(help="Comma-separated, beside CSV: parquet, json, markdown, latex.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or auto.")]


@app.command()
def compare(
    dataset: Annotated[str | None, typer.Option(help="digits, mnist, fashionmnist or planted.")] = None,
    study: Annotated[
        str | None, typer.Option(help="`paper` or a .yaml file: which models, over all seeds, methods and metrics.")
    ] = None,
    models: ModelsOption = None,
    baseline: Annotated[
        str | None, typer.Option(help="Compare all with this model instead of each one's fp32 counterpart.")
    ] = None,
    methods: MethodsOption = None,
    metrics: MetricsOption = None,
    target: Annotated[
        str | None, typer.Option(help="The class explained: label (default), predicted, or the baseline's prediction.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Test images, stratified by class; 64 by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the images and of what draws at random; 0 by default.")] = None,
    margin: Annotated[
        float | None,
        typer.Option(help="Differences within so many standard deviations count as negligible; 0.2 by default."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Images that may pass a network at once; 64 by default.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that share the work; by default one for each processor core.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or auto (default).")] = None,
    data_root: DataRootOption = None,
    zoo: ZooOption = None,
    trust_code: TrustOption = False,
    output: Annotated[Path | None, typer.Option(help="Folder of the report; by default reports/<dataset>.")] = None,
    save_maps: Annotated[
        bool | None,
        typer.Option("--save-maps", help="Keep the maps in the output folder, and take those that are there already."),
    ] = None,
    formats: FormatsOption = None,
    config: Annotated[
        Path | None, typer.Option(help="A .yaml file that gives these options; the command line comes before it.")
    ] = None,
    quiet: QuietOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the models, the findings and where they are written as JSON.")
    ] = False,
) -> None:
    """Compare accuracy and saliency maps of full-precision and quantized models; write CSV and HTML reports."""
    import saq_eval
    from saq_eval.core.devices import pick_device, processor_cores
    from saq_eval.core.specs import split_specs
    from saq_eval.evaluation.configuration import merge, read_configuration

    arguments = merge(
        read_configuration(config) if config else {},
        {
            "dataset": dataset,
            "study": study,
            "models": _names(models) if models is not None else None,
            "baseline": baseline,
            "methods": split_specs(methods) if methods is not None else None,
            "metrics": split_specs(metrics) if metrics is not None else None,
            "target": target,
            "samples": samples,
            "seed": seed,
            "margin": margin,
            "batch_size": batch_size,
            "workers": workers,
            "device": device,
            "data_root": data_root,
            "zoo": zoo,
            "output": output,
            "formats": _names([formats]) if formats is not None else None,
            "save_maps": save_maps,
        },
    )
    if "dataset" not in arguments:
        raise SaqEvalError("say which networks to compare: --dataset digits, mnist, fashionmnist or planted")
    arguments.setdefault("output", Path("reports") / arguments["dataset"])
    on_processor = pick_device(arguments.get("device", "auto")).type == "cpu"
    arguments.setdefault("workers", processor_cores() if on_processor else 1)
    arguments |= {"progress": False} if quiet or as_json else {}
    result = saq_eval.compare(**arguments, trust_code=trust_code)
    if as_json:
        typer.echo(json.dumps(_as_record(result, arguments["output"]), indent=2, ensure_ascii=False))
    elif not quiet:
        _tell(result, arguments["output"])


def _as_record(result: Comparison, output: Path) -> dict[str, Any]:
    frames = {name: json.loads(getattr(result, name).to_json(orient="records")) for name in ("models", "findings")}
    return {"headline": result.run["headline"], **frames, "output": str(output)}


def _tell(result: Comparison, output: Path) -> None:
    table = result.overview()
    _print_table(table.columns, table.itertuples(index=False))
    typer.echo("\n" + "\n".join(result.run["headline"]))
    if result.run["missing"]:
        typer.echo(f"\nNot in the zoo, so left out: {', '.join(result.run['missing'])}")
    if result.run["study"]:
        for claim, rows in result.findings.groupby("claim", sort=False):
            typer.echo(f"\n{claim[0].upper()}{claim[1:]}?")
            for row in rows.itertuples():
                typer.echo(f"  {row.text}")
    typer.echo(f"\nWritten to {output}: the report in report.html, the tables in CSV files")
    if result.run["maps"]["kept"]:
        counts = result.run["maps"]
        typer.echo(
            f"Maps kept beside them: {counts['computed']} sets computed, {counts['read']} taken from an earlier run"
        )


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished comparisons; several make one page.")],
    output: Annotated[
        Path | None, typer.Option(help="The page; by default the folder's report.html, of several reports/report.html.")
    ] = None,
    formats: Annotated[
        str | None, typer.Option(help="Of one run, other files too, comma-separated: parquet, json, markdown, latex.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Render the page of finished comparisons anew, or of several together, without computing anything."""
    from saq_eval.reporting.output import rerender

    written = rerender(runs, output, _names([formats]) if formats is not None else [])
    if not quiet:
        typer.echo(f"Written: {', '.join(map(str, written))}")


@app.command()
def explain(
    dataset: DatasetOption,
    index: Annotated[int, typer.Option(help="The image's position in the test set.")],
    models: ModelsOption = None,
    methods: MethodsOption = None,
    target: Annotated[int | None, typer.Option(help="The class to explain, an index; by default the label.")] = None,
    seed: Annotated[int, typer.Option(help="Of random methods.")] = 0,
    device: DeviceOption = "auto",
    data_root: DataRootOption = None,
    zoo: ZooOption = None,
    trust_code: TrustOption = False,
    output: Annotated[Path | None, typer.Option(help="The file; by default reports/<dataset>-<index>.png.")] = None,
) -> None:
    """Draw one image's maps, a row per model, a column per method, for looking rather than reading."""
    from saq_eval.core.specs import split_specs
    from saq_eval.panel import draw_panel
    from saq_eval.zoo import find_models

    names = _names(models) if models is not None else [c.name for c, _ in find_models(dataset, zoo=zoo) if c.seed == 0]
    written = draw_panel(
        dataset,
        index,
        models=names,
        methods=split_specs(methods) if methods is not None else ["standard"],
        target=target,
        seed=seed,
        device=device,
        data_root=data_root,
        zoo=zoo,
        trust_code=trust_code,
        output=output or Path("reports") / f"{dataset}-{index}.png",
    )
    typer.echo(f"Written to {written}")


@app.command()
def train(
    dataset: DatasetOption,
    scheme: Annotated[
        str | None, typer.Option(help="A scheme's name (see `saq-eval schemes`) or a .yaml file.")
    ] = None,
    study: Annotated[
        str | None, typer.Option(help="Train all models of a study, `paper` or a .yaml file, instead of one.")
    ] = None,
    only: Annotated[str, typer.Option(help="With --study: names or patterns of its models, comma-separated.")] = "*",
    architecture: Annotated[str, typer.Option(help="See `saq-eval architectures`.")] = "cnn",
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
    zoo: Annotated[Path | None, typer.Option(help="The zoo folder to write to; else SAQ_EVAL_ZOO.")] = None,
    data_root: DataRootOption = None,
    device: DeviceOption = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")] = False,
) -> None:
    """Train one network, or all that a study names, and write them to the zoo; goes on where it was stopped."""
    from saq_eval.core.records import read_record
    from saq_eval.studies.driver import train_model, train_study
    from saq_eval.training.recipes import Recipe
    from saq_eval.training.saliency_guided import SaliencyGuided

    if (scheme is None) == (study is None):
        raise SaqEvalError("say what to train: either --scheme (one network) or --study (all networks of one)")
    if study is not None:
        train_study(
            study,
            dataset,
            only=_names([only]),
            zoo=zoo,
            data_root=data_root,
            device=device,
            overwrite=overwrite,
            report=typer.echo,
        )
        return
    card = train_model(
        dataset,
        scheme,
        architecture=architecture,
        arguments=_arguments(arguments),
        saliency_guided=saliency_guided and SaliencyGuided(masked_fraction, divergence_weight, ranking),
        seed=seed,
        parent=parent,
        name=name,
        recipe=read_record(Recipe, recipe) if recipe else None,
        zoo=zoo,
        data_root=data_root,
        device=device,
        keep_training_form=keep_training_form,
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
    _print_table(columns, rows)


@zoo_app.command("show")
def zoo_show(
    name: Annotated[str, typer.Argument(help="A model's name, or a pattern.")],
    dataset: Annotated[str | None, typer.Option(help="Only models of this dataset.")] = None,
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
        _print_table(("layer", "weights", "weight bits", "activation bits", "α", "KiB", "MMACs", "MBOPs"), rows)
        if card.history:
            typer.echo("")
            curve = [
                (number, f"{epoch.loss:.4f}", f"{100 * epoch.accuracy:.2f}")
                for number, epoch in enumerate(card.history, 1)
            ]
            _print_table(("epoch", "training loss", "training accuracy %"), curve)


@zoo_app.command("verify")
def zoo_verify(
    names: Annotated[list[str] | None, typer.Argument(help="Names or patterns; by default all.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only models of this dataset.")] = None,
    zoo: ZooOption = None,
    data_root: DataRootOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Recompute what every model's card says of it; exit code 2 if something differs."""
    from functools import cache

    from saq_eval.data.datasets import load_dataset
    from saq_eval.zoo import find_models, verify_model

    test_set = cache(lambda name: load_dataset(name, "test", data_root))
    failures = 0
    found = find_models(dataset, names or ["*"], zoo)
    for card, folder in found:
        try:
            accuracy = verify_model(card, folder, test_set(card.dataset), trust_code=trust_code)
            typer.echo(f"{card.dataset}/{card.name}: hash ok, test accuracy {100 * accuracy:.2f} %")
        except SaqEvalError as error:
            failures += 1
            _complain(error)
    typer.echo(f"{len(found) - failures} of {len(found)} models verified")
    if failures:
        raise typer.Exit(2)


@zoo_app.command("accuracies")
def zoo_accuracies(
    dataset: Annotated[str | None, typer.Option(help="Only models of this dataset.")] = None,
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
    architecture: Annotated[str, typer.Option(help="A registered name, or module:function, whose code is run.")],
    dataset: DatasetOption,
    name: Annotated[str, typer.Option(help="The model's name in the zoo.")],
    arguments: ArgumentsOption = "{}",
    scheme: Annotated[str, typer.Option(help="What the network was quantized by.")] = "fp32",
    mean: Annotated[str, typer.Option(help="What is subtracted from pixels in [0, 1], one number per channel.")] = "0",
    std: Annotated[str, typer.Option(help="What they are then divided by, one number per channel.")] = "1",
    parent: Annotated[str | None, typer.Option(help="The full-precision model to compare it with.")] = None,
    seed: Annotated[int, typer.Option(help="The seed that it was trained with.")] = 0,
    zoo: Annotated[Path | None, typer.Option(help="The zoo folder to write to; else SAQ_EVAL_ZOO.")] = None,
    data_root: DataRootOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")] = False,
) -> None:
    """Bring a network that was trained elsewhere into the zoo, and measure its accuracy."""
    from saq_eval.networks.preprocessing import Preprocessing
    from saq_eval.zoo import add_model

    card = add_model(
        dataset,
        name,
        weights,
        architecture,
        arguments=_arguments(arguments),
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
    zoo: Annotated[Path | None, typer.Option(help="The zoo folder to write to; else SAQ_EVAL_ZOO.")] = None,
    data_root: DataRootOption = None,
    device: DeviceOption = "auto",
    trust_code: TrustOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model of that name.")] = False,
) -> None:
    """Train a model once more from its card, under another name, to see that its accuracy comes again."""
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


@app.command()
def datasets() -> None:
    """List the datasets."""
    from saq_eval.data.datasets import DATASETS

    typer.echo("\n".join(DATASETS))


@app.command()
def architectures() -> None:
    """List the architectures."""
    from saq_eval.networks.architectures import ARCHITECTURES

    typer.echo("\n".join(ARCHITECTURES))


@app.command()
def schemes() -> None:
    """List the quantization schemes, as weight bits / activation bits."""
    from saq_eval.quantization import SCHEMES

    def bits(value: Any) -> str:
        return "same" if value is None else f"{value.weight_bits}/{value.activation_bits}"

    rows = [(s.name, bits(s.default), bits(s.later), bits(s.ends), s.two_bit_weights) for s in SCHEMES.values()]
    _print_table(("scheme", "hidden layers", "later hidden layers", "first and last layer", "2-bit weights by"), rows)


@app.command()
def methods() -> None:
    """List the attribution methods; passes are runs of the network for one 28x28 image."""
    from saq_eval.attribution import METHODS, find_explainer, method_sets

    sets = method_sets()
    rows = []
    for name, method in METHODS.items():
        explainer = find_explainer(name)
        smallest = next((kind for kind, names in sets.items() if name in names), "always")
        facts = (method.family, smallest, method.sign, explainer.passes, "yes" if method.random else "no", method.needs)
        rows.append((name, *facts, explainer.settings or "–", method.reference))
    columns = ("method", "family", "in set", "maps", "passes", "random", "needs", "parameters", "reference")
    _print_table(columns, rows)


@app.command()
def metrics() -> None:
    """List the metrics of saliency maps."""
    from saq_eval.metrics import METRICS, find_scorer, metric_sets

    sets = metric_sets()
    rows = []
    for name, metric in METRICS.items():
        smallest = next((kind for kind, specs in sets.items() if any(s.partition(":")[0] == name for s in specs)), "–")
        better = "higher" if metric.higher_is_better else "lower"
        facts = (metric.category, smallest, better, f"{metric.range[0]:g} to {metric.range[1]:g}")
        settings = ",".join(f"{key}={value}" for key, value in find_scorer(name).parameters.items())
        rows.append((name, *facts, ", ".join(metric.needs) or "–", settings or "–", metric.reference))
    columns = ("metric", "category", "in set", "better", "range", "needs", "parameters", "reference")
    _print_table(columns, rows)


def _names(given: Iterable[str] | None) -> list[str]:
    """Split comma-separated lists."""
    return [name.strip() for part in given or () for name in part.split(",") if name.strip()]


def _arguments(text: str) -> dict[str, Any]:
    import yaml

    try:
        arguments = yaml.safe_load(text)  # of which JSON is a part
    except yaml.YAMLError:
        arguments = None
    if not isinstance(arguments, dict) or not all(isinstance(name, str) for name in arguments):
        raise SaqEvalError(f"--arguments is a mapping from names to values, such as '{{width: 16}}', not {text!r}")
    return arguments


def _numbers(option: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SaqEvalError(f"--{option} takes numbers separated by commas, not {text!r}") from None


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


_show_warning = warnings.showwarning


def _warn(message: Warning | str, category: type[Warning], *where: Any, **details: Any) -> None:
    """Say a warning of ours in one line, without the line of code that it comes from."""
    if issubclass(category, SaqEvalWarning):
        _complain(f"warning: {message}")
    else:
        _show_warning(message, category, *where, **details)


def main() -> None:
    """Run the command line; bad input ends in one line on standard error and exit code 2."""
    warnings.showwarning = _warn
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
