"""Quantization: schemes (data), PACT activations, DoReFa and SAWB weights, and the two forms of a quantized network."""

from saq_eval.quantization.convert import freeze, quantize
from saq_eval.quantization.pact import ACTIVATION_QUANTIZERS, PACTActivation, SignedPACT
from saq_eval.quantization.schemes import SCHEMES, Bits, Scheme, load_scheme, register_scheme
from saq_eval.quantization.weights import SAWB, DoReFa, QuantConv2d, QuantLinear

__all__ = [
    "ACTIVATION_QUANTIZERS",
    "SAWB",
    "SCHEMES",
    "Bits",
    "DoReFa",
    "PACTActivation",
    "QuantConv2d",
    "QuantLinear",
    "Scheme",
    "SignedPACT",
    "freeze",
    "load_scheme",
    "quantize",
    "register_scheme",
]
