"""Measure what the parameters of the costlier faithfulness metrics buy, on 64 test digits and two networks of the zoo.

    python benchmarks/metric_parameters.py

For each setting: how far the scores of integrated gradients lie from those of random maps (Cohen's d), how well the
scores of the same images and maps agree between two seeds (Pearson; 1 where nothing is drawn), and the network's
passes for one image. Some minutes on one core.
"""

from __future__ import annotations

import numpy as np
import torch

from saq_eval import explain, load_dataset, load_model
from saq_eval.data import Dataset
from saq_eval.metrics import Task
from saq_eval.metrics.base import find_scorer

MODELS = ("cnn-fp32", "cnn-w2a2")
IMAGES = 64
# Specs with the network's passes for one image.
SETTINGS: list[tuple[str, int]] = [
    *(
        (f"FaithfulnessCorrelation:nr_runs={runs},subset_size={size}", runs + 1)
        for size in (14, 28, 56, 112)
        for runs in (25, 50, 100, 200)
    ),
    *(
        (f"FaithfulnessCorrelation:nr_runs={runs},subset_size={size},fill=blur", runs + 1)
        for size in (28, 56, 112)
        for runs in (50, 100)
    ),
    *(
        (f"{metric}:features_in_step={size},fill={fill}", passes * 784 // size)
        for metric, passes in (("PixelFlipping", 1), ("SymmetricRelevanceGain", 2))
        for fill in ("black", "blur")
        for size in (112, 56, 28, 14)
    ),
    *((f"ROAD:percentage_step={step}", len(range(step, 100, step))) for step in (20, 10, 5)),
]


def tasks(dataset: Dataset, model: str) -> dict[str, Task]:
    """Return what to score: a network's maps by integrated gradients and at random."""
    network = load_model("digits", model).network
    maps = {
        method: explain(method, network, dataset.images, dataset.labels, indices=dataset.indices.tolist()).numpy()
        for method in ("integrated_gradients", "random")
    }
    return {
        method: Task(
            network=network,
            images=dataset.images.numpy(),
            labels=dataset.labels.numpy(),
            targets=dataset.labels.numpy(),
            masks=dataset.masks().numpy(),
            maps=maps[method],
            baseline_maps=maps[method],
            indices=dataset.indices.numpy(),
            seed=0,
            batch_size=IMAGES,
            device="cpu",
            explain=None,  # none of these metrics explains
        )
        for method in maps
    }


def cohens_d(first: np.ndarray, second: np.ndarray) -> float:
    """Return the difference of two groups' means over their pooled standard deviation, missing values left out."""
    spread = np.sqrt((np.nanvar(first, ddof=1) + np.nanvar(second, ddof=1)) / 2)
    return (np.nanmean(first) - np.nanmean(second)) / spread


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Return the correlation of two runs' scores, images without a score left out."""
    both = np.isfinite(first) & np.isfinite(second)
    return np.corrcoef(first[both], second[both])[0, 1]


def main() -> None:
    torch.set_num_threads(1)
    dataset = load_dataset("digits", "test").sample(IMAGES, seed=0)
    by_model = {model: tasks(dataset, model) for model in MODELS}
    print("| metric | passes | " + " | ".join(f"{model}: d | {model}: agreement" for model in MODELS) + " |")
    print("|---|---:|" + "---:|---:|" * len(MODELS))
    for spec, passes in SETTINGS:
        scorer = find_scorer(spec)
        cells = []
        for by_method in by_model.values():
            real, random = (scorer.score(task)[0] for task in by_method.values())
            sign = 1 if scorer.metric.higher_is_better else -1
            cells.append(f"{sign * cohens_d(real, random):.2f}")
            if scorer.metric.random:
                again, _ = scorer.score(Task(**(vars(by_method["integrated_gradients"]) | {"seed": 1})))
                cells.append(f"{agreement(real, again):.2f}")
            else:
                cells.append("1")
        print(f"| {spec} | {passes} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
