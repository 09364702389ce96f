"""Quantization after training: clips, weights and biases from some hundred images, without a gradient."""

from saq_eval.quantization.calibration.calibrate import Rounding, calibrate, check_not_quantized, post_training
from saq_eval.quantization.calibration.clips import ClipRule

__all__ = ["ClipRule", "Rounding", "calibrate", "check_not_quantized", "post_training"]
