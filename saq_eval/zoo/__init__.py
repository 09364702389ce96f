"""The model zoo: find, load, verify, write, add and remove models. A model's folder is `<zoo>/<dataset>/<name>/`.

The folder holds `card.yaml` and `model.safetensors` (the frozen form, with weights as packed integer
codes). Full-precision models also keep `training_form.safetensors`, which their quantized children start
from.
"""

from saq_eval.networks.preprocessing import Preprocessing
from saq_eval.zoo.cards import CARD, TRAINING_FORM, WEIGHTS, ArchitectureCard, Card, read_card
from saq_eval.zoo.editing import (
    add_model,
    add_source,
    check_free,
    partial_folder,
    remove_model,
    writable_zoo,
    write_model,
)
from saq_eval.zoo.finding import find_model, find_models, register_zoo, zoo_folders
from saq_eval.zoo.loading import (
    Model,
    build_network,
    check_reads,
    load_model,
    load_training_form,
    measure,
    open_model,
    random_weights,
    verify_model,
    warn_of_unused_bits,
)

__all__ = [
    "CARD",
    "TRAINING_FORM",
    "WEIGHTS",
    "ArchitectureCard",
    "Card",
    "Model",
    "Preprocessing",
    "add_model",
    "add_source",
    "build_network",
    "check_free",
    "check_reads",
    "find_model",
    "find_models",
    "load_model",
    "load_training_form",
    "measure",
    "open_model",
    "partial_folder",
    "random_weights",
    "read_card",
    "register_zoo",
    "remove_model",
    "verify_model",
    "warn_of_unused_bits",
    "writable_zoo",
    "write_model",
    "zoo_folders",
]
