"""The commands that compare networks and show their maps: compare, report and explain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saq_eval.cli.console import print_table
from saq_eval.cli.options import (
    DataRootOption,
    DatasetOption,
    DeviceOption,
    MethodsOption,
    ModelsOption,
    QuietOption,
    TrustOption,
    ZooOption,
    names,
)
from saq_eval.core.errors import SaqEvalError

if TYPE_CHECKING:
    from saq_eval.comparison import Comparison

MetricsOption = Annotated[
    str | None,
    typer.Option(
        help="Comma-separated names, with parameters as in FaithfulnessCorrelation:nr_runs=100,subset_size=64, "
        "or quick, standard (default) or full."
    ),
]
FormatsOption = Annotated[str | None, typer.Option(help="Comma-separated, beside CSV: parquet, json, markdown, latex.")]


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
            "models": names(models) if models is not None else None,
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
            "formats": names([formats]) if formats is not None else None,
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
    print_table(table.columns, table.itertuples(index=False))
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

    written = rerender(runs, output, names([formats]) if formats is not None else [])
    if not quiet:
        typer.echo(f"Written: {', '.join(map(str, written))}")


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

    chosen = names(models) if models is not None else [c.name for c, _ in find_models(dataset, zoo=zoo) if c.seed == 0]
    written = draw_panel(
        dataset,
        index,
        models=chosen,
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
