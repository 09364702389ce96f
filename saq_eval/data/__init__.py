"""Images: datasets by name, the sample that a comparison uses, masks, and fills, which replace hidden pixels."""

from saq_eval.data import builtin  # noqa: F401  (registers the datasets)
from saq_eval.data.images import Dataset, Item, Split
from saq_eval.data.registry import DATASETS, load_dataset, register_dataset

__all__ = ["DATASETS", "Dataset", "Item", "Split", "load_dataset", "register_dataset"]
