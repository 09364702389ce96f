"""The commands that list datasets, architectures, schemes, quantizers, methods, metrics and result tables."""

from __future__ import annotations

from typing import Any

import typer

from saq_eval.cli.console import print_table


def datasets() -> None:
    """List the datasets."""
    from saq_eval.data import DATASETS

    typer.echo("\n".join(DATASETS))


def architectures() -> None:
    """List the architectures."""
    from saq_eval.networks.architectures import ARCHITECTURES

    typer.echo("\n".join(ARCHITECTURES))


def schemes() -> None:
    """List the quantization schemes, as weight bits / activation bits."""
    from saq_eval.quantization import SCHEMES

    def bits(value: Any) -> str:
        return "same" if value is None else f"{value.weight_bits}/{value.activation_bits}"

    rows = [
        (s.name, bits(s.default), bits(s.later), bits(s.ends), s.weights, s.two_bit_weights) for s in SCHEMES.values()
    ]
    columns = ("scheme", "hidden layers", "later hidden layers", "first and last layer", "weights by")
    print_table((*columns, "2-bit weights by"), rows)


def quantizers() -> None:
    """List the quantizers of weights that a scheme can name, with the bit widths that they support."""
    from saq_eval.quantization.quantizers import QUANTIZERS, widths_text

    rows = [(name, widths_text(kind.widths), kind.reference) for name, kind in QUANTIZERS.items()]
    print_table(("quantizer", "bits", "reference"), rows)


def tables() -> None:
    """List the tables that a comparison writes, each to a CSV file."""
    from saq_eval.analysis.tables import TABLES

    print_table(("table", "a row is", "holds"), [(name, each.row, each.holds) for name, each in TABLES.items()])


def methods() -> None:
    """List the attribution methods; "passes" is the number of runs of the network for one 28x28 image."""
    from saq_eval.attribution import METHODS, find_explainer, method_sets

    sets = method_sets()
    rows = []
    for name, method in METHODS.items():
        explainer = find_explainer(name)
        smallest = next((kind for kind, names in sets.items() if name in names), "always")
        facts = (method.family, smallest, method.sign, explainer.passes, "yes" if method.random else "no", method.needs)
        rows.append((name, *facts, explainer.settings or "–", method.reference))
    columns = ("method", "family", "in set", "maps", "passes", "random", "needs", "parameters", "reference")
    print_table(columns, rows)


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
    print_table(columns, rows)
