"""The commands that list what there is: datasets, architectures, sources of networks, schemes, methods, metrics, tables."""

from __future__ import annotations

from typing import Annotated, Any

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


def sources() -> None:
    """List the ways to name a network outside the zoo, for `--model NAME=SOURCE`."""
    from saq_eval.networks.sources import source_forms

    print_table(("source", "is"), source_forms())


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


Size = Annotated[int, typer.Option("--size", min=3, max=4096, help="The side of the images, in pixels.")]


def methods(size: Size = 28) -> None:
    """List the attribution methods; "passes" is the number of runs of the network for one image of the size."""
    from saq_eval.attribution import METHODS, find_explainer, method_sets
    from saq_eval.core.specs import stated

    sets, shape = method_sets(), (3, size, size)
    rows = []
    for name, method in METHODS.items():
        explainer = find_explainer(name)
        smallest = next((kind for kind, names in sets.items() if name in names), "always")
        passes, random = explainer.passes(shape), "yes" if method.random else "no"
        facts = (method.family, smallest, method.sign, passes, random, method.needs)
        rows.append((name, *facts, stated(explainer.settings(shape)) or "–", method.reference))
    passes_at = f"passes at {size}x{size}"
    print_table(("method", "family", "in set", "maps", passes_at, "random", "needs", "parameters", "reference"), rows)


def metrics(size: Size = 28) -> None:
    """List the metrics of saliency maps, with their parameters for images of the size."""
    from saq_eval.core.specs import stated
    from saq_eval.metrics import METRICS, find_scorer, metric_sets

    sets = metric_sets()
    rows = []
    for name, metric in METRICS.items():
        smallest = next((kind for kind, specs in sets.items() if any(s.partition(":")[0] == name for s in specs)), "–")
        better = "higher" if metric.higher_is_better else "lower"
        facts = (metric.category, smallest, better, f"{metric.range[0]:g} to {metric.range[1]:g}")
        scorer = find_scorer(name)
        used = scorer.settings((3, size, size))
        parameters = stated({key: used.get(key, value) for key, value in scorer.parameters.items()})
        rows.append((name, *facts, ", ".join(metric.needs) or "–", parameters or "–", metric.reference))
    columns = ("metric", "category", "in set", "better", "range", "needs", f"parameters at {size}x{size}", "reference")
    print_table(columns, rows)
