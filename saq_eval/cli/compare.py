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
from saq_eval.cli.plan_options import arguments_of_plan, takes_a_plan
from saq_eval.core.errors import SaqEvalError

if TYPE_CHECKING:
    from saq_eval.comparison import Comparison


@takes_a_plan
def compare(
    model: Annotated[
        list[str] | None,
        typer.Option(help="A network outside the zoo, NAME=SOURCE; may be repeated. `saq-eval sources` says which."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A .yaml file that gives these options; the command line comes before it.")
    ] = None,
    quiet: QuietOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the models, the findings and where they are written as JSON.")
    ] = False,
    **plan: Any,
) -> None:
    """Compare accuracy and saliency maps of full-precision and quantized models; write CSV and HTML reports."""
    import saq_eval
    from saq_eval.core.devices import pick_device, processor_cores
    from saq_eval.data import dataset_name
    from saq_eval.evaluation.configuration import read_configuration
    from saq_eval.evaluation.plan import merge

    asked = arguments_of_plan(plan)
    if model:
        asked["models"] = [*(asked["models"] or ()), *map(_outside, model)]
    arguments = merge(read_configuration(config) if config else {}, asked)
    if "dataset" not in arguments:
        raise SaqEvalError(
            "say which images to compare networks on: --dataset digits, mnist, fashionmnist or planted, or folder:PATH for "
            "your own pictures"
        )
    arguments.setdefault("output", Path("reports") / dataset_name(arguments["dataset"]))
    on_processor = pick_device(arguments.get("device", "auto")).type == "cpu"
    arguments.setdefault("workers", processor_cores() if on_processor else 1)
    arguments |= {"progress": False} if quiet or as_json else {}
    result = saq_eval.compare(**arguments)
    if as_json:
        typer.echo(json.dumps(_as_record(result, arguments["output"]), indent=2, ensure_ascii=False))
    elif not quiet:
        _tell(result, arguments["output"])


def _outside(text: str) -> str:
    """Return the text of `--model`; raises `SaqEvalError` unless it has the form NAME=SOURCE."""
    name, equals, source = (part.strip() for part in text.partition("="))
    if not (name and equals and source):
        raise SaqEvalError(
            f"--model takes NAME=SOURCE, as in fp32=torchvision:resnet18@weights.safetensors, not {text!r}"
        )
    return f"{name}={source}"


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
    """Render the page of one finished comparison again, or of several together, without computing anything."""
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
    """Draw one image's maps as a picture, with a row per model and a column per method."""
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
