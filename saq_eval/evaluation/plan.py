"""The plan of a comparison: one checked dataclass with all of its options.

The keyword arguments of `saq_eval.compare`, the options of `saq-eval compare`, the file that `--config` reads, the plan in
`run.json` and the command that repeats a run are all made from the fields of `Plan`. So a new option is one new field.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, Field, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from saq_eval.core.errors import SaqEvalError, check_choice, in_short, unknown_name
from saq_eval.core.specs import Engine
from saq_eval.evaluation.arguments import listed, named, numbers

Target = Literal["label", "predicted", "baseline"]
SharedBy = Literal["processes", "dask"]
Group = Literal["what", "how measured", "how run", "where from", "where to"]
MARGIN = 0.2  # in standard deviations: a small effect, by Cohen's convention


def _of(group: Group, says: str, kind: Literal["names", "specs", "numbers", ""] = "") -> dict[str, Any]:
    """Return a field's metadata.

    Args:
        group: the group of options that the field belongs to.
        says: the help text on the command line.
        kind: "names" for a list of names, "specs" for a list of names with parameters, "numbers" for a list of numbers;
            otherwise the field's type says it.
    """
    return {"group": group, "says": says, "kind": kind}


_SPECS = "Comma-separated names, with parameters as in {}, or quick, standard (default) or full."


@dataclass(frozen=True)
class Plan:
    """The options of a comparison: what to compare, how to measure and run it, and where to read and write.

    Attributes:
        dataset: the images: a registered name, "folder:PATH", or in Python a `torch.utils.data.Dataset` of (image, label),
            a pair of arrays (images, labels), a Hugging Face data set, or `saq_eval.Images`; see
            `saq_eval.data.open_images`.
        study: "paper" or a file. It gives the models (over all seeds that the zoo holds), methods, metrics and samples.
            Each of these can still be given here.
        models: names or shell patterns of zoo models, and "NAME=SOURCE" for networks outside the zoo (see
            `saq_eval.networks.sources`). In Python, it may be a mapping from names to modules, functions of images,
            `saq_eval.Network`s or texts. By default every zoo model with seed 0.
        baseline: the model that all models are compared with; by default each model's full-precision
            parent, which has the same architecture, training and seed. Baselines are always part of the comparison. If
            the zoo has it, the fine-tuned parent is too: the parent, trained further in full precision by the quantized
            model's recipe. Changes from the parent to the fine-tuned parent are not caused by fewer bits.
        mean: of the normalisation (pixel − mean) / std that networks outside the zoo expect of pixels in [0, 1], one number
            per channel, if they do not bring their own.
        std: see `mean`.
        size: images are resized so that the shorter side has so many pixels; by default as the networks' own preprocessing
            does it.
        crop: a centre square of so many pixels is then cut; by default of `size` pixels.
        classes: a file with the names of the networks' outputs, one per line; the images' classes are matched by name.
        masks: where the evidence is in each image: a folder of PNG files with the pictures' names, "otsu" for the
            foreground, or "none".
        boxes: the same as boxes: a COCO JSON file, or a folder of Pascal VOC files.
        methods: registered names, optionally with parameters ("integrated_gradients:n_steps=64"), or the
            names of sets: "quick", "standard" (default) or "full". In Python also functions; see
            `saq_eval.register_method`.
        metrics: registered names, optionally with parameters ("PixelFlipping:fill=blur"), or the same names of sets, or
            functions; see `saq_eval.register_metric`.
        target: the explained class: the image's "label", the class "predicted" by each model itself, or the
            class predicted by each model's "baseline". Similarity always compares maps of the same class: if a model
            predicts another class than its baseline, the baseline's map of the model's class is used.
        samples: the number of test images; by default the study's, or 64.
        accuracy_on: the number of test images, stratified by class, that accuracy is measured on; by default all of them.
        seed: the seed of the choice of images, of random methods and metrics, of random weights, and of the statistics.
        margin: differences within this many standard deviations of the baseline's scores count as negligible.
        engine: "native", or "quantus" to score by Quantus itself where it has the metric, which is slower and gives the same
            scores.
        batch_size: the largest number of images that may pass through a network at once. Fewer do if they are so large that
            many take too much memory.
        workers: the number of processes that share the work; results are the same for any number.
        device: "cpu", "cuda" or "auto".
        compile: compile the networks' passes without gradients by `torch.compile`, which needs a C++ compiler. This takes some
            seconds for each form of network, once on a machine; then these passes are faster.
        executor: what shares the work: "processes" of this machine, or "dask", the workers of a Dask cluster.
        scheduler: the address of the cluster's scheduler, such as "tcp://10.0.0.1:8786"; by default a cluster of `workers`
            processes is made on this machine.
        fail_fast: end at the first cell that fails. By default it becomes a hole with its reason, and the rest is computed.
        progress: show a progress bar if the output is a terminal.
        data_root: see `saq_eval.load_dataset`.
        zoo: a folder that is searched in addition to the built-in zoo.
        trust_code: whether a network may be built by code outside this package that its card names.
        output: a folder to write the result to; see `Comparison.write`.
        store: the folder of the store, which keeps all that is computed; see `saq_eval.evaluation.store`. By default `store` in
            the output folder, and none without an output folder. Runs and machines may share one.
        fresh: compute everything again, and put it in the place of what the store holds.
        join: if another process writes to the output folder, help it by computing cells of the same comparison.
        save_maps: also write the maps to the folder `maps` of the output folder, under the networks' and methods' names.
        formats: formats to write in addition to CSV: "parquet", "json", "markdown", "latex".
    """

    dataset: Any = field(
        metadata=_of("what", "A name (see `saq-eval datasets`), or folder:PATH for your own pictures.")
    )
    _: KW_ONLY
    study: str | Path | None = field(
        default=None,
        metadata=_of("what", "`paper` or a .yaml file: which models, over all seeds, methods and metrics."),
    )
    models: Sequence[str] | Mapping[str, Any] | None = field(
        default=None,
        metadata=_of("what", "Names or patterns, comma-separated; may be repeated; by default all of seed 0.", "names"),
    )
    baseline: str | None = field(
        default=None,
        metadata=_of("what", "Compare all with this model instead of each one's fp32 counterpart."),
    )
    mean: Sequence[float] | None = field(
        default=None,
        metadata=_of("what", "Normalisation of networks outside the zoo: means, comma-separated.", "numbers"),
    )
    std: Sequence[float] | None = field(
        default=None,
        metadata=_of("what", "Normalisation of networks outside the zoo: standard deviations.", "numbers"),
    )
    size: int | None = field(
        default=None,
        metadata=_of("what", "Resize a folder's pictures: the shorter side, in pixels."),
    )
    crop: int | None = field(
        default=None,
        metadata=_of("what", "Then cut a centre square of so many pixels; by default of --size."),
    )
    classes: str | os.PathLike | None = field(
        default=None,
        metadata=_of("what", "A file that names the networks' outputs, one per line; folders are matched by name."),
    )
    masks: str | os.PathLike | None = field(
        default=None,
        metadata=_of("what", "A folder of PNG masks of the evidence, otsu or none."),
    )
    boxes: str | os.PathLike | None = field(
        default=None,
        metadata=_of("what", "Boxes around the evidence: a COCO .json file or a folder of Pascal VOC files."),
    )
    methods: Sequence[Any] | None = field(
        default=None,
        metadata=_of("how measured", _SPECS.format("integrated_gradients:n_steps=64,fill=blur"), "specs"),
    )
    metrics: Sequence[Any] | None = field(
        default=None,
        metadata=_of("how measured", _SPECS.format("FaithfulnessCorrelation:nr_runs=100,subset_size=64"), "specs"),
    )
    target: Target = field(
        default="label",
        metadata=_of("how measured", "The class explained: label (default), predicted, or the baseline's prediction."),
    )
    samples: int | None = field(
        default=None,
        metadata=_of("how measured", "Test images, stratified by class; 64 by default."),
    )
    accuracy_on: int | None = field(
        default=None,
        metadata=_of("how measured", "Test images that accuracy is measured on; by default all."),
    )
    seed: int = field(
        default=0,
        metadata=_of("how measured", "Of the images and of what draws at random; 0 by default."),
    )
    margin: float = field(
        default=MARGIN,
        metadata=_of(
            "how measured", "Differences within so many standard deviations count as negligible; 0.2 by default."
        ),
    )
    engine: Engine = field(
        default="native",
        metadata=_of("how measured", "What computes the scores: native (default), or quantus, the slow reference."),
    )
    batch_size: int = field(
        default=64,
        metadata=_of("how run", "Images that may pass a network at once, if memory allows; 64 by default."),
    )
    workers: int = field(
        default=1,
        metadata=_of("how run", "Processes that share the work; by default one for each processor core."),
    )
    device: str = field(default="auto", metadata=_of("how run", "cpu, cuda or auto (default)."))
    compile: bool = field(
        default=False,
        metadata=_of("how run", "Compile the networks by torch.compile: worth it for many networks or images."),
    )
    executor: SharedBy = field(
        default="processes",
        metadata=_of("how run", "What shares the work: processes of this machine (default), or dask, a Dask cluster."),
    )
    scheduler: str | None = field(
        default=None,
        metadata=_of("how run", "Address of a Dask scheduler; by default a cluster on this machine."),
    )
    fail_fast: bool = field(
        default=False,
        metadata=_of("how run", "End at the first cell that fails, instead of leaving a hole."),
    )
    progress: bool = field(default=True, metadata=_of("how run", ""))
    data_root: str | os.PathLike | None = field(
        default=None,
        metadata=_of("where from", "Folder of the dataset files; else SAQ_EVAL_DATA_ROOT, else the user cache."),
    )
    zoo: str | os.PathLike | None = field(
        default=None,
        metadata=_of("where from", "A zoo folder beside the built-in one; else SAQ_EVAL_ZOO."),
    )
    trust_code: bool = field(
        default=False,
        metadata=_of("where from", "Run code outside saq_eval that a card names to build its network."),
    )
    output: str | os.PathLike | None = field(
        default=None,
        metadata=_of("where to", "Folder of the report; by default reports/<dataset>."),
    )
    store: str | os.PathLike | None = field(
        default=None,
        metadata=_of("where to", "Folder that keeps all that is computed; by default `store` in the output folder."),
    )
    fresh: bool = field(
        default=False,
        metadata=_of("where to", "Compute everything again, whatever the store holds."),
    )
    join: bool = field(
        default=False,
        metadata=_of("where to", "Help another process that writes to the same output folder."),
    )
    save_maps: bool = field(
        default=False,
        metadata=_of("where to", "Also write the maps to the output folder, under the networks' and methods' names."),
    )
    formats: Sequence[str] = field(
        default=("csv",),
        metadata=_of("where to", "Comma-separated, beside CSV: parquet, json, markdown, latex.", "names"),
    )

    def __post_init__(self) -> None:
        """Check everything that can be checked without reading a file.

        Raises:
            SaqEvalError: a value of the wrong kind or out of range.
        """
        # Imported here, because the command line makes its options from `Plan` and should not wait for torch.
        from saq_eval.core.devices import processor_cores
        from saq_eval.core.randomness import check_seed

        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Mapping) and each.name == "models":
                object.__setattr__(self, each.name, named(value))
            elif each.metadata["kind"] in ("names", "specs"):
                functions = each.metadata["kind"] == "specs"
                given = listed(each.name.removesuffix("s"), value, functions=functions)
                object.__setattr__(self, each.name, given)
            elif each.metadata["kind"] == "numbers":
                object.__setattr__(self, each.name, numbers(each.name, value))
        whole = (("samples", None), ("accuracy_on", None), ("size", 4096), ("crop", 4096), ("batch_size", 100_000))
        for name, most in (*whole, ("workers", max(16, processor_cores()))):
            value = getattr(self, name)
            if value is None and name not in ("batch_size", "workers"):
                continue
            if type(value) is not int:
                raise SaqEvalError(f"{name} is a whole number, not {in_short(value)}")
            if most is not None and not 1 <= value <= most:  # the limit of samples is the test set's size
                raise SaqEvalError(f"{name} lies between 1 and {most}, not {value}")
        if not isinstance(self.margin, (int, float)) or not 0 < self.margin < math.inf:
            raise SaqEvalError(f"margin is above 0, in standard deviations, not {in_short(self.margin)}")
        if not isinstance(self.target, str) or self.target not in get_args(Target):
            raise unknown_name("target", self.target, get_args(Target))
        check_choice("engine", self.engine, Engine)
        check_choice("executor", self.executor, SharedBy)
        if self.scheduler is not None and self.executor != "dask":
            raise SaqEvalError("a scheduler is an address of Dask: say executor dask with it")
        check_seed(self.seed)
        if (self.mean is None) != (self.std is None):
            raise SaqEvalError("mean and std are given together, with one number per channel each")
        if self.save_maps and self.output is None:
            raise SaqEvalError("maps are kept in the output folder: name one, or save none")
        if self.join and self.output is None:
            raise SaqEvalError("two processes join at one output folder: name it")

    @property
    def outside(self) -> dict[str, Any]:
        """The networks outside the zoo, by name: modules, functions, `Network`s, or texts of sources."""
        if isinstance(self.models, Mapping):
            return {name: given for name, given in self.models.items() if not is_zoo_name(name, given)}
        split = [model.partition("=") for model in self.models or () if "=" in model]
        return {name: source for name, _, source in split}

    @property
    def zoo_models(self) -> list[str] | None:
        """The names and patterns of zoo models; `None` for all with seed 0, if no network is given."""
        if isinstance(self.models, Mapping):
            return [name for name, given in self.models.items() if is_zoo_name(name, given)]
        return None if self.models is None else [model for model in self.models if "=" not in model]

    @property
    def is_of_objects(self) -> bool:
        """Whether images, networks, methods or metrics were given as objects in Python, which no text can name."""
        given = [*self.outside.values(), *(self.methods or ()), *(self.metrics or ()), self.dataset]
        return not all(isinstance(each, str) for each in given)


def is_zoo_name(name: str, given: Any) -> bool:
    """Tell whether a network of a mapping is a zoo model under its own name."""
    return isinstance(given, str) and given == name


# Defaults for fields that neither a plan nor its study sets.
USUAL: dict[str, Any] = {"methods": ["standard"], "metrics": ["standard"], "samples": 64}


def options() -> dict[str, Field]:
    """Return the fields of a plan by name, in order."""
    return {each.name: each for each in fields(Plan)}


Kind = Literal["names", "specs", "numbers", "switch", "path", "whole number", "number", "text"]


@cache
def kinds() -> dict[str, Kind]:
    """Return by field how its value is given on the command line and in a file."""
    hints = get_type_hints(Plan)
    by_type: dict[Any, Kind] = {bool: "switch", os.PathLike: "path", int: "whole number", float: "number"}

    def kind(name: str, option: Field) -> Kind:
        types = {hints[name], *get_args(hints[name])}
        by_its_type: Kind = next((by_type[each] for each in by_type if each in types), "text")
        return option.metadata["kind"] or by_its_type

    return {name: kind(name, option) for name, option in options().items()}


def merge(*given: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the arguments of several sources; later sources override earlier ones, except with `None`."""
    return {name: value for source in given for name, value in source.items() if value is not None}
