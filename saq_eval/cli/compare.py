"""The commands that compare networks and show their maps: compare, report and explain."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from saq_eval.cli.console import print_table
from saq_eval.cli.dry_run import tell_cost
from saq_eval.cli.ending import say_what_is_kept
from saq_eval.cli.options import ModelOption, QuietOption, names
from saq_eval.cli.plan_options import arguments_of_plan, check_images_are_named, takes_a_plan
from saq_eval.core.errors import SaqEvalError

if TYPE_CHECKING:
    from saq_eval.comparison import Comparison


@takes_a_plan()
def compare(
    model: ModelOption = None,
    config: Annotated[
        Path | None, typer.Option(help="A .yaml file that gives these options; the command line comes before it.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="I/N: compute one of N parts of the cells into the store, and write nothing else."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the comparison would cost on this machine, and compute nothing.")
    ] = False,
    quiet: QuietOption = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the models, the findings and where they are written as JSON.")
    ] = False,
    **plan: Any,
) -> None:
    """Compare accuracy and saliency maps of full-precision and quantized models; write CSV and HTML reports.

    What is finished is kept, so the same command goes on after an interruption. The exit code is 1 if cells have failed.
    """
    import saq_eval
    from saq_eval.core.devices import device_count, pick_device, processor_cores
    from saq_eval.core.printing import prints_held_back
    from saq_eval.data import dataset_name
    from saq_eval.evaluation.configuration import read_configuration
    from saq_eval.evaluation.plan import merge

    asked = arguments_of_plan(plan, model)
    arguments = merge(read_configuration(config) if config else {}, asked)
    check_images_are_named(arguments, "compare networks on")
    arguments.setdefault("output", Path("reports") / dataset_name(arguments["dataset"]))
    on_processor = pick_device(arguments.get("device", "auto")).type == "cpu"
    arguments.setdefault("workers", processor_cores() if on_processor else device_count())
    arguments |= {"progress": False} if quiet or as_json else {}
    if dry_run:
        tell_cost(arguments, as_json=as_json)
        return
    same = "the same command without --fresh" if arguments.get("fresh") else "the same command"
    say_what_is_kept(f"all that is finished is kept, and {same} goes on")
    if shard is not None:
        _compute_part(arguments, shard, quiet=quiet)
        return
    with prints_held_back():
        result = saq_eval.compare(**arguments)
    if as_json:
        typer.echo(json.dumps(_as_record(result, arguments["output"]), indent=2, ensure_ascii=False))
    elif not quiet:
        _tell(result, arguments["output"])
    if result.run["failed"]:
        raise typer.Exit(1)


def _compute_part(arguments: dict[str, Any], shard: str, *, quiet: bool) -> None:
    from saq_eval.comparison import compute_part
    from saq_eval.core.printing import prints_held_back
    from saq_eval.evaluation.plan import Plan

    parts = re.fullmatch(r"(\d{1,6})/(\d{1,6})", shard.strip())
    if parts is None:
        raise SaqEvalError(f"--shard is written I/N, as in 1/8, not {shard!r}")
    with prints_held_back():
        done = compute_part(Plan(**arguments), int(parts[1]), int(parts[2]))
    if not quiet:
        typer.echo(
            f"Part {parts[0]}: {done.computed} cells computed, {done.stored} in the store already, {len(done.failed)} failed; "
            f"the store is {done.store}. When all parts are done, the same command without --shard writes the report."
        )
    if done.failed:
        raise typer.Exit(1)


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
        typer.echo(f"Maps kept beside them: {counts['computed']} sets computed, {counts['read']} taken from the store")


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


@takes_a_plan(
    *("dataset", "models", "methods", "mean", "std", "size", "crop", "classes"),
    *("device", "data_root", "zoo", "trust_code"),
)
def explain(
    index: Annotated[int, typer.Option(help="The image's position in the test set.")],
    model: ModelOption = None,
    target: Annotated[int | None, typer.Option(help="The class to explain, an index; by default the label.")] = None,
    seed: Annotated[int, typer.Option(help="Of random methods.")] = 0,
    output: Annotated[Path | None, typer.Option(help="The file; by default reports/<dataset>-<index>.png.")] = None,
    **plan: Any,
) -> None:
    """Draw one image's maps as a picture, with a row per model and a column per method."""
    from saq_eval.data import dataset_name
    from saq_eval.evaluation.plan import Plan, merge
    from saq_eval.panel import draw_panel

    arguments = merge(arguments_of_plan(plan, model))
    check_images_are_named(arguments, "explain")
    default = Path("reports") / f"{dataset_name(arguments['dataset'])}-{index}.png"
    written = draw_panel(Plan(**arguments, seed=seed), index, target=target, output=output or default)
    typer.echo(f"Written to {written}")
