"""Quantization: schemes (data), PACT activations, DoReFa weights, and the two forms of a quantized network."""

from saq_eval.quantization.convert import freeze, quantize
from saq_eval.quantization.pact import PACTActivation
from saq_eval.quantization.schemes import SCHEMES, Bits, Scheme, load_scheme, register_scheme
from saq_eval.quantization.weights import QuantConv2d, QuantLinear

__all__ = [
    "SCHEMES",
    "Bits",
    "PACTActivation",
    "QuantConv2d",
    "QuantLinear",
    "Scheme",
    "freeze",
    "load_scheme",
    "quantize",
    "register_scheme",
]
