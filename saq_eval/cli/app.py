"""The command line: each command converts its arguments and calls the Python API.

A command imports the modules that it needs when it runs, so that `--help` does not wait for torch.
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

import saq_eval
from saq_eval.cli.compare import compare, explain, report
from saq_eval.cli.console import complain, print_any_character, show_warning
from saq_eval.cli.ending import INTERRUPTED, STOPPED, complain_of_end, ends_when_told
from saq_eval.cli.lists import architectures, datasets, methods, metrics, quantizers, schemes, sources, tables
from saq_eval.cli.quantize import quantize
from saq_eval.cli.store import store_app
from saq_eval.cli.train import train
from saq_eval.cli.zoo import zoo_app
from saq_eval.core.errors import CannotWrite, SaqEvalError, Stopped

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Does a network still look at the right part of the image after quantization?",
)
# In the order of `--help`.
for command in (
    compare,
    report,
    explain,
    train,
    quantize,
    datasets,
    architectures,
    sources,
    schemes,
    quantizers,
    methods,
    metrics,
    tables,
):
    app.command()(command)
app.add_typer(zoo_app, name="zoo")
app.add_typer(store_app, name="store")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"saq-eval {saq_eval.__version__}")
        raise typer.Exit


@app.callback()
def before_any_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Handle the options that are given before a command."""


def main() -> None:
    """Run the command line, and end this process with an exit code.

    It is 0 if all went well, 1 if something that was asked for has failed or is damaged, 2 for bad input, 3 if a file could
    not be written in the middle of the work, 130 after Ctrl-C and 143 after SIGTERM. From 2 on, one line on standard error
    says why.
    """
    warnings.showwarning = show_warning
    print_any_character()
    try:
        with ends_when_told():
            code = app(prog_name="saq-eval", standalone_mode=False)
    except SaqEvalError as error:
        complain(error)
        code = 3 if isinstance(error, CannotWrite) else 2
    except typer.TyperException as error:
        if error.format_message():  # empty if no command was given, which prints the help
            complain(error.format_message())
        code = 2
    except Stopped:
        code = STOPPED
    if code in (INTERRUPTED, STOPPED):
        complain_of_end(code)
    sys.exit(code)
