"""Images: datasets by name, folders and others' data sets, the sample that a comparison uses, masks, and fills.

A fill replaces hidden pixels.
"""

from saq_eval.data import builtin  # noqa: F401  (registers the datasets)
from saq_eval.data.geometry import Geometry
from saq_eval.data.images import Dataset, Images, Item, Split
from saq_eval.data.lazy import check_readable
from saq_eval.data.opening import dataset_name, open_images
from saq_eval.data.registry import DATASETS, load_dataset, register_dataset

__all__ = [
    "DATASETS",
    "Dataset",
    "Geometry",
    "Images",
    "Item",
    "Split",
    "check_readable",
    "dataset_name",
    "load_dataset",
    "open_images",
    "register_dataset",
]
