"""Call a metric of Quantus, and turn its result into one score per image.

Choices that Quantus leaves to its caller or to chance are made here and in `draws`, in the same way for all metrics.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import quantus
import torch
from quantus.helpers import asserts, utils
from quantus.helpers.enums import EvaluationCategory, ScoreDirection
from quantus.helpers.model.pytorch_model import PyTorchModel
from scipy.stats import rankdata
from torch import nn

from saq_eval.core.errors import Unsupported, first_line
from saq_eval.core.randomness import derived_seed
from saq_eval.metrics.base import METRICS, Metric, Need, Shape, Task
from saq_eval.metrics.hiding import MaskedNetwork, changeable, mean_of_both_orders, order_matters
from saq_eval.metrics.maps import Reading, is_degenerate, read
from saq_eval.metrics.passes import NO_PASSES, MetricPasses
from saq_eval.metrics.quantus.draws import draws_of_each_image, random_layers, replaced

Arguments = dict[str, Any]
Declaration = Callable[..., Arguments]
_ALWAYS = {"normalise": False, "return_aggregate": False, "disable_warnings": True}
_NEEDS: dict[EvaluationCategory, tuple[Need, ...]] = {
    EvaluationCategory.ROBUSTNESS: ("explanations",),
    EvaluationCategory.RANDOMISATION: ("explanations", "known layers"),
}


def _any_network(network: nn.Module) -> None:
    """Accept every network."""


def _as_answered(scores: Any, task: Task, positions: np.ndarray, arguments: Arguments) -> Any:
    return scores


@dataclass(frozen=True, kw_only=True)
class register_quantus:
    """Decorator: register the Quantus metric that has the decorated function's name.

    The function's keyword-only parameters are the metric's parameters. It takes an image's shape (c, h, w) and returns
    arguments of Quantus' constructor, which reports print. The argument `fill` is translated into Quantus' terms here.

    Args:
        reference: the paper.
        range: lowest and highest possible score.
        reads: the output of the network that the metric reads, if any.
        maps: how maps are read before they are passed to Quantus. Further maps that the metric computes are read in the
            same way. Quantus' own `normalise_by_max` divides by the batch's largest magnitude, not by the image's.
        random: whether it uses random draws.
        draws: the name of its random draws, which seeds them. Metrics of one name see the same draws, in both engines. By
            default it is the metric's own name.
        ranks: whether it depends on the order of relevance, of pixels (or patches) or of segments. Quantus breaks ties by
            position. So if the order of tied pixels matters, Quantus is called twice, the second time with everything
            turned by 180°. With segments it is always called twice, since a turned image has other segments.
        singly: whether Quantus gets one image at a time, because its scores for a batch differ from those for single
            images.
        explains_itself: whether it explains the images itself instead of reading the maps.
        steps: for a metric that gives curves: (arguments that the function returned, an image's shape) -> the curves'
            length. A curve has a point after each step, and no point before the first.
        positions: see `Metric`.
        higher_is_better: the direction, if Quantus states it wrongly.
        needs: what it needs besides maps and network; by default the needs of its category.
        fixed: arguments of Quantus' constructor that are not parameters of the metric.
        complete: makes arguments of Quantus' constructor that depend on the images:
            (arguments, task, positions (m,), their maps (m, h, w) as given to Quantus) -> arguments.
        finish: (Quantus' result, task, positions, arguments that the function returned) -> scores (m,) or curves
            (m, steps). It divides areas and counts by the number of segments or pixels.
        passes, chance, check: see `Metric`.
        native: the score in torch: (task, **arguments that the function returned) -> scores or curves; see
            `saq_eval.metrics.native`. Without it, Quantus is the only engine.
    """

    reference: str
    range: tuple[float, float]
    reads: Literal["logits", "probabilities"] | None = None
    maps: Reading = "signed maps"
    random: bool = False
    draws: str | None = None
    ranks: Literal["pixels", "segments"] | None = None
    singly: bool = False
    explains_itself: bool = False
    steps: Callable[[Arguments, Shape], int] | None = None
    positions: Callable[[Arguments, int], np.ndarray] | None = None
    higher_is_better: bool | None = None
    needs: tuple[Need, ...] | None = None
    fixed: Arguments | None = None
    complete: Callable[[Arguments, Task, np.ndarray, np.ndarray], Arguments] | None = None
    finish: Callable[[Any, Task, np.ndarray, Arguments], Any] = _as_answered
    passes: Callable[[Arguments, Shape], MetricPasses] = lambda settings, shape: NO_PASSES
    chance: Callable[..., np.ndarray] | None = None
    check: Callable[[nn.Module], None] = _any_network
    native: Callable[..., np.ndarray] | None = None

    @property
    def looks_inside(self) -> bool:
        """Whether the metric depends on the network's layers, and not only on its logits."""
        return self.check is not _any_network

    def __call__(self, declare: Declaration) -> Declaration:
        name = declare.__name__
        kind = getattr(quantus, name)
        higher_by_quantus = kind.score_direction is ScoreDirection.HIGHER

        def resolve(parameters: Arguments, shape: Shape) -> Arguments:
            return declare(shape, **parameters) | {"reads": " and ".join(filter(None, (self.maps, self.reads)))}

        def natively(task: Task, **parameters: Any) -> np.ndarray:
            assert self.native is not None
            return self.native(task, **declare(task.images.shape[1:], **parameters))

        by_quantus_itself = functools.partial(_score, self, declare)
        positions: dict[str, Any] = {"positions": self.positions} if self.positions else {}
        METRICS.add(
            name,
            Metric(
                name=name,
                category=kind.evaluation_category.value.lower(),
                higher_is_better=higher_by_quantus if self.higher_is_better is None else self.higher_is_better,
                range=self.range,
                reference=self.reference,
                score=natively if self.native else by_quantus_itself,
                by_quantus=by_quantus_itself if self.native else None,
                declares=declare,
                resolve=resolve,
                needs=_NEEDS.get(kind.evaluation_category, ()) if self.needs is None else self.needs,
                curve=self.steps is not None,
                **positions,
                random=self.random,
                passes=self.passes,
                chance=self.chance,
                check=self.check,
            ),
        )
        return declare


def _score(about: register_quantus, declare: Declaration, task: Task, /, **parameters: Any) -> np.ndarray:
    """Return the images' scores, float64 (n,), or curves, float64 (n, steps); NaN for degenerate maps."""
    arguments = declare(task.images.shape[1:], **parameters)
    twice = np.full(len(task.maps), about.ranks == "segments")
    if about.ranks == "pixels":
        hidden = changeable(task.images, arguments["fill"]) if "fill" in arguments else None
        twice = order_matters(read(about.maps, task.maps), hidden)
    return mean_of_both_orders(functools.partial(_in_one_order, about, declare.__name__, arguments), task, twice)


def _in_one_order(about: register_quantus, name: str, arguments: Arguments, task: Task) -> np.ndarray:
    shape = task.images.shape[1:]
    given = read(about.maps, task.maps)
    # Quantus fails on a batch that has only degenerate maps, but gives scores to degenerate maps in other batches.
    usable = np.flatnonzero(~is_degenerate(task.maps) & ~is_degenerate(given))
    scores = np.full((len(given), about.steps(arguments, shape)) if about.steps else len(given), np.nan)
    chunk = 1 if about.singly else task.batch_size
    for start in range(0, len(usable), chunk):
        positions = usable[start : start + chunk]
        scores[positions] = _ask(about, name, arguments, task, positions, given[positions])
    return scores


def _ask(
    about: register_quantus, name: str, arguments: Arguments, task: Task, positions: np.ndarray, maps: np.ndarray
) -> np.ndarray:
    """Return Quantus' scores for some of a task's images, float64 (m,) or (m, steps).

    Args:
        about: the metric's registration.
        name: the metric's name, in Quantus and here.
        arguments: the arguments that the metric's declaration returned.
        positions: int (m,), the images' positions in the task.
        maps: float64 (m, h, w), the images' maps as read.
    """
    network, pictures, completed = task.network, task.images[positions], arguments
    if "fill" in arguments:
        network, pictures, completed = _hidden_whole(task, positions, arguments)
    if about.complete:
        completed = about.complete(completed, task, positions, maps)
    absolute = about.maps in ("magnitudes", "positive relevance")  # these maps have no negative values already
    softmax = about.reads == "probabilities"
    with _quiet(), _on_our_terms(about.draws or name, task, positions, about.maps) as explain:
        metric = getattr(quantus, name)(abs=absolute, **_ALWAYS, **(about.fixed or {}), **completed)
        try:
            answer = metric(
                model=_Probabilities(network) if softmax else network,
                x_batch=pictures,
                y_batch=task.targets[positions],
                a_batch=None if about.explains_itself else _with_channels(maps, pictures.shape[1:], about.maps),
                explain_func=explain,
                softmax=softmax,
                channel_first=True,
                device=task.device,
                batch_size=len(positions),
            )
        except (AttributeError, TypeError, RuntimeError, NotImplementedError) as error:
            if not about.looks_inside or isinstance(error, torch.OutOfMemoryError):
                raise
            raise Unsupported(f"it fails on the network's layers: {first_line(error)}", who=name) from error
        return np.asarray(about.finish(answer, task, positions, arguments), dtype=np.float64)


def _hidden_whole(task: Task, positions: np.ndarray, arguments: Arguments) -> tuple[nn.Module, np.ndarray, Arguments]:
    """Return a network, pictures and arguments that make Quantus hide whole pixels, with this package's fill.

    Quantus would hide single channels of a pixel, although the attribution is for the whole pixel. So it gets pictures of
    one channel that say which pixels are shown. Quantus' names of fills also differ in meaning from those of the
    attribution methods: its "black" is the image's minimum, its "uniform" is one number per step for all pixels.
    """
    network = MaskedNetwork(task.network, task.images[positions], arguments["fill"], task.device)
    pictures = np.ones((len(positions), 1, *task.images.shape[2:]), dtype=np.float32)
    return network, pictures, without("fill", arguments) | {"perturb_baseline": 0.0}


class _Probabilities(nn.Sequential):
    """A network with softmax. If Quantus added the softmax itself, it would also set up the root logger."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, nn.Softmax(dim=-1))
        self.eval()


def _with_channels(maps: np.ndarray, shape: Shape, reading: Reading) -> np.ndarray:
    """Return maps (n, h, w) with the channel axis that Quantus expects; the sum of an unscaled map does not change."""
    if reading == "unscaled maps":
        return np.repeat(maps[:, None] / shape[0], shape[0], axis=1)
    return maps[:, None].copy()  # a copy, because some metrics of Quantus change it in place


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress Quantus' warnings about choices that the adapter has made and about undefined scores."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _on_our_terms(
    draws: str, task: Task, positions: np.ndarray, reading: Reading
) -> Iterator[Callable[..., np.ndarray]]:
    """Make Quantus draw from each image's own generator, and explain by the task's method.

    Args:
        draws: the name of the random draws.

    Yields:
        Quantus' `explain_func`.
    """

    def explain(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **_: Any) -> np.ndarray:
        network = model[0] if isinstance(model, _Probabilities) else model
        explained = task.explain(network, inputs.astype(np.float32), targets, task.indices[positions])
        return _with_channels(read(reading, explained), inputs.shape[1:], reading)

    seeds = [derived_seed(task.seed, draws, int(index)) for index in task.indices[positions]]
    parts_of_quantus = (
        (quantus, "explain", explain),  # SmoothMPRT calls this and ignores its `explain_func`
        # The adapter has checked each map. These checks would fail for a whole batch.
        (asserts, "assert_attributions", lambda x_batch, a_batch: None),
        (asserts, "assert_nr_segments", lambda nr_segments: None),
        (PyTorchModel, "get_random_layer_generator", random_layers),
        (utils, "get_superpixel_segments", lambda img, segmentation_method: segmentation_method),  # gets segments
    )
    with draws_of_each_image(seeds), replaced(*parts_of_quantus):
        try:
            yield explain
        finally:
            # This cache of Quantus keeps every network that Quantus has wrapped.
            PyTorchModel._get_last_softmax_layer_index.cache_clear()


def without(key: str, arguments: Arguments) -> Arguments:
    """Return arguments without one of them."""
    return {other: value for other, value in arguments.items() if other != key}


def spearman(a: np.ndarray, b: np.ndarray, **_: Any) -> np.ndarray:
    """Return the rank correlations of rows, (n, m) and (n, m) -> (n,); NaN if a row is constant.

    Quantus' own function correlates every row with every other row, and fails if the first row is constant.
    """
    ranks = [rankdata(rows, axis=1) for rows in (a, b)]
    first, second = (rows - rows.mean(axis=1, keepdims=True) for rows in ranks)
    return (first * second).sum(axis=1) / np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
