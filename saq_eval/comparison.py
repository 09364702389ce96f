"""The comparison: networks × methods × metrics over the same images, from the plan to the result."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from saq_eval.analysis.headline import headline
from saq_eval.analysis.interpretability import Composite
from saq_eval.analysis.kept import tables_of
from saq_eval.analysis.record import Record, record_of
from saq_eval.analysis.results import Results
from saq_eval.analysis.selection import choose_images, gallery_of
from saq_eval.analysis.tables import TABLES
from saq_eval.analysis.wording import in_a_word
from saq_eval.core.errors import SaqEvalError, SaqEvalWarning
from saq_eval.core.paths import user_path
from saq_eval.evaluation.asking import asked_by
from saq_eval.evaluation.grid import Grid
from saq_eval.evaluation.plan import Plan
from saq_eval.evaluation.running import fill, run
from saq_eval.evaluation.store import warn_of_damage
from saq_eval.networks.chance import warn_of_chance
from saq_eval.prepared import ready_for
from saq_eval.reporting import Gallery, read_run, write_report
from saq_eval.reporting.maps import write_maps
from saq_eval.reporting.notebook import Plots, notebook_summary

MAPS = "maps"  # the folder in the output folder of the maps by name


@dataclass(frozen=True, repr=False)
class Comparison:
    """The result of `compare`: tables (pandas frames), the record of the run, and a gallery.

    Each table is also an attribute, such as `comparison.effects`. `saq_eval.analysis.schema.TABLES` says what the rows and
    columns of each table are. In tables about single networks, the first columns identify the network: `dataset`, `model`,
    `scheme`, `weight_bits`, `activation_bits`, `training`, `seed`, `role`. The role is "model" or "control". Controls are
    the methods `random` and `edges`, and networks with random weights, one for each baseline.

    Attributes:
        tables: the frames by name.
        run: the configuration, seeds, versions, weight hashes and times.
        gallery: a few images with every network's maps.
    """

    tables: Mapping[str, pd.DataFrame]
    run: Record
    gallery: Gallery

    def __getattr__(self, name: str) -> pd.DataFrame:
        if name.startswith("__") or name not in TABLES:
            raise AttributeError(f"a comparison has no {name!r}; its tables: {', '.join(TABLES)}")
        if name not in self.tables:
            raise AttributeError(f"the folder that this comparison was read from has no {name}.csv")
        return self.tables[name]

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.tables})

    def __repr__(self) -> str:
        """Return a few lines on the networks, the headline and the sizes of the tables."""
        run = self.run
        sizes = ", ".join(f"{name} {len(table)}" for name, table in self.tables.items())
        return "\n".join(
            [
                f"Comparison of {len(self.models)} networks on {run['samples']} images of {run['dataset']}, "
                f"by {len(run['methods'])} methods and {len(run['metrics'])} metrics",
                *run["headline"],
                f"Rows by table: {sizes}",
            ]
        )

    def overview(self) -> pd.DataFrame:
        """Return an overview: for each model its accuracy, its size and the findings on its group of networks, as text."""
        table = pd.DataFrame(
            {
                "model": self.models["model"],
                "accuracy %": [f"{100 * value:.2f}" for value in self.models["accuracy"]],
                "flips %": [f"{100 * value:.2f}" for value in self.models["flips"]],
                "KiB": ["" if pd.isna(value) else f"{value:.0f}" for value in self.models["size_kib"]],
            }
        )
        asked = self.findings[
            self.findings["claim"].str.contains("lower precision|further training|the change", regex=True)
        ]
        for quantity in dict.fromkeys(asked["quantity"]):
            rows = asked[asked["quantity"] == quantity]
            said = {
                (row.group, training): in_a_word(row.verdict, row.delta, quantity)
                for row in rows[::-1].itertuples()  # reversed, so that the first step, "bits", counts
                for training in row.training.split(" and ")
            }
            table[quantity] = [
                said.get(key, "") for key in zip(self.models["networks"], self.models["training"], strict=True)
            ]
        similar = self.summary[(self.summary["role"] == "model") & (self.summary["category"] == "similarity")]
        for metric in list(dict.fromkeys(similar["metric"]))[:2]:
            means = similar[similar["metric"] == metric].groupby("model")[["mean", "floor"]].mean()
            table[metric] = [f"{means['mean'][model]:.3f}" for model in table["model"]]
            if means["floor"].notna().any():
                table[f"{metric} retrained"] = [f"{means['floor'][model]:.3f}" for model in table["model"]]
        return table

    def write(self, output: str | os.PathLike, formats: Sequence[str] = ("csv",)) -> list[Path]:
        """Write a CSV file for each table, `report.html`, `run.json` and the gallery, each completely or not at all.

        Args:
            output: the folder.
            formats: formats in addition to CSV: "parquet", "json", "markdown", "latex".

        Raises:
            SaqEvalError: an unknown format, or if the folder cannot be written.
        """
        return write_report(user_path(output), dict(self.tables), self.run, self.gallery, formats)

    @classmethod
    def read(cls, folder: str | os.PathLike) -> Comparison:
        """Read a folder that `write` wrote; numbers have the seven digits of the CSV files.

        If a table's file was removed, for example the large scores.csv, the table is missing.

        Raises:
            SaqEvalError: if the folder does not hold a finished comparison.
        """
        return cls(*read_run(user_path(folder)))

    @property
    def plot(self) -> Plots:
        """The report's charts, as Plotly figures: `plot.tradeoff()`, `.effects()`, `.verdict_matrix()`, `.curves()`."""
        return Plots(dict(self.tables), self.run, self.gallery)

    def _repr_html_(self) -> str:
        """Return HTML of the headline and the overview, for a notebook."""
        return notebook_summary(self.run["headline"], self.overview())


@asked_by(Plan)
def compare(plan: Plan) -> Comparison:
    """Compare the saliency maps of networks on the same images: of the zoo's models, and of networks of your own.

    Every model explains the same test images, stratified by class. Controls are scored too: two methods that do not use
    the network (noise and the image's edges), and networks with random weights, one for each baseline.

    Args: see `saq_eval.evaluation.plan.Plan`.

    Where a network lacks what a method or a metric needs, such as a gradient or a known layer, the table `holes` says so,
    and the rest is computed. The networks and images are not changed.

    Raises:
        SaqEvalError: an unknown name, a parameter or count out of range, networks that no method can explain, a file that
            cannot be read, or an output folder that cannot be written or that another process writes to. These are found
            before anything is computed or written.
        CannotWrite: if a file cannot be written later, as on a full disk. What is finished is in the store.
    """
    start = time.perf_counter()
    output = None if plan.output is None else user_path(plan.output)
    with ready_for(plan, output) as ready:
        with ready.progress() as on_step:
            grid = run(ready.work, ready.how, ready.clock, on_step)
        _look_at_failures(grid)
        _warn_of_chance(grid)
        with ready.clock("statistics"):
            results = Results(grid, ready.setup.networks, Composite.of(grid), plan.margin)
            tables, key = tables_of(results, ready.shared.store)
            ready.note(key)
        gallery = Gallery.of(**gallery_of(results, choose_images(grid)))
        if plan.save_maps and output is not None:
            write_maps(grid, output / MAPS)
        warn_of_damage(ready.shared.store.take_damaged())  # of tables, and of maps that only the report reads
        seconds = ready.clock.seconds | {"elapsed": round(time.perf_counter() - start, 3)}
        result = Comparison(tables, record_of(ready.setup, results, headline(tables), seconds), gallery)
        if output is not None:
            with ready.output_held() as held:
                if held:
                    result.write(output, plan.formats)
    return result


@dataclass(frozen=True)
class Part:
    """What a part of a comparison has done.

    Attributes:
        computed: the number of its cells that were computed in this run.
        stored: the number of its cells that the store held.
        failed: why cells have failed, by network, method and metric.
        store: the folder of the store.
    """

    computed: int
    stored: int
    failed: dict[tuple[str, str, str], str]
    store: Path


def compute_part(plan: Plan, number: int, count: int) -> Part:
    """Compute one part of a comparison's cells into its store, and write nothing else.

    All parts of the same plan together compute all cells, each once. They may run at the same time, on machines that share the
    store's folder. `compare` with the same plan and store then finishes and writes the comparison.

    Args:
        number: which part, from 1 to `count`.

    Raises:
        SaqEvalError: as `compare` does, or if there is no such part, or neither a store nor an output folder.
    """
    if not 1 <= number <= count:
        raise SaqEvalError(f"a part is one of 1/{count} to {count}/{count}, not {number}/{count}")
    output = None if plan.output is None else user_path(plan.output)
    if plan.store is None and output is None:
        raise SaqEvalError("parts of a comparison meet in a store: name its folder, or an output folder")
    with ready_for(plan, output, part=(number, count)) as ready:
        with ready.progress() as on_step:
            done = fill(ready.work, ready.how, ready.clock, on_step)
        failed = {(cell.subject.name, cell.method, cell.metric): reason for cell, reason in done.failed.items()}
        return Part(done.computed, done.stored, failed, ready.shared.settings.store)


def _look_at_failures(grid: Grid) -> None:
    """Warn of cells that have failed; raise `SaqEvalError` if nothing else was computed."""
    if not grid.failed:
        return
    cell, reason = next(iter(grid.failed.items()))
    such = f"such as {cell.subject.name}, {cell.method}, {cell.metric}: {reason}"
    if all(scored.hole for scored in grid.cells.values()):
        raise SaqEvalError(f"every cell has failed, {such}")
    warnings.warn(
        f"{len(grid.failed)} of {len(grid.cells)} cells have failed and are holes, {such}; the same command tries them again",
        SaqEvalWarning,
        stacklevel=5,
    )


def _warn_of_chance(grid: Grid) -> None:
    accuracies = {subject.name: value for subject, value in grid.accuracies.items() if subject.role == "model"}
    images, outputs = grid.logits[next(iter(accuracies))].shape
    warn_of_chance(accuracies, images, outputs, stacklevel=5)
