"""The command line: each command converts its arguments and calls the Python API."""

from saq_eval.cli.app import main

__all__ = ["main"]
