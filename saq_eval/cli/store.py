"""The commands about the store of comparisons: info, verify and prune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saq_eval.cli.console import complain, print_table

store_app = typer.Typer(no_args_is_help=True, help="Show, check and free the store of what comparisons have computed.")
FolderArgument = Annotated[Path, typer.Argument(help="The store's folder, or an output folder that holds it.")]


@store_app.command("info")
def store_info(folder: FolderArgument) -> None:
    """Show how many files of each kind a store holds, their size, and which output folders they belong to."""
    from saq_eval.core.paths import user_path
    from saq_eval.evaluation.store.upkeep import find_store, info, runs

    store = find_store(user_path(folder))
    held = info(store)
    rows = [(each.kind, each.entries, _mib(each.bytes)) for each in held]
    total = ("all", sum(each.entries for each in held), _mib(sum(each.bytes for each in held)))
    typer.echo(f"The store {store.folder}")
    print_table(("kind", "files", "MiB"), [*rows, total])
    typer.echo("")
    print_table(("output folder", "files its last run needs"), [(run.output, len(run.entries)) for run in runs(store)])


@store_app.command("verify")
def store_verify(folder: FolderArgument) -> None:
    """Read every file of a store and name those that are damaged; the exit code is 1 if there are any.

    A comparison that needs a damaged file computes it again.
    """
    from saq_eval.core.paths import user_path
    from saq_eval.evaluation.store.upkeep import find_store, info, verify

    store = find_store(user_path(folder))
    damaged = 0
    for _, what in verify(store):
        damaged += 1
        complain(what)
    typer.echo(f"{damaged} of {sum(each.entries for each in info(store))} files are damaged")
    if damaged:
        raise typer.Exit(1)


@store_app.command("prune")
def store_prune(folder: FolderArgument) -> None:
    """Remove the files that the last run of no output folder needs, and what killed runs have left."""
    from saq_eval.core.paths import user_path
    from saq_eval.evaluation.store.upkeep import find_store, prune

    files, size = prune(find_store(user_path(folder)))
    typer.echo(f"Removed {files} files, {_mib(size)} MiB")


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f}"
