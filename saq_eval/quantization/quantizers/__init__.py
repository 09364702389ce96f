"""Weight quantizers, one in each file. All files in this folder are imported, so a new file needs no other edit."""

import importlib
import pkgutil

from saq_eval.quantization.quantizers.base import (
    QUANTIZERS,
    WIDTHS,
    Granularity,
    WeightQuantizer,
    dequantize,
    per_channel,
    register_quantizer,
    widths_text,
)

for _file in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_file.name)  # registers the file's quantizer

__all__ = [
    "QUANTIZERS",
    "WIDTHS",
    "Granularity",
    "WeightQuantizer",
    "dequantize",
    "per_channel",
    "register_quantizer",
    "widths_text",
]
