"""Quantization: schemes (data), PACT activations, weight quantizers, and the two forms of a quantized network."""

from saq_eval.quantization.convert import freeze, quantize
from saq_eval.quantization.layers import QuantConv2d, QuantLinear
from saq_eval.quantization.pact import ACTIVATION_QUANTIZERS, PACTActivation, SignedPACT
from saq_eval.quantization.quantizers import QUANTIZERS, WeightQuantizer, register_quantizer
from saq_eval.quantization.quantizers.dorefa import DoReFa
from saq_eval.quantization.quantizers.sawb import SAWB
from saq_eval.quantization.schemes import SCHEMES, Bits, Scheme, load_scheme, register_scheme

__all__ = [
    "ACTIVATION_QUANTIZERS",
    "QUANTIZERS",
    "SAWB",
    "SCHEMES",
    "Bits",
    "DoReFa",
    "PACTActivation",
    "QuantConv2d",
    "QuantLinear",
    "Scheme",
    "SignedPACT",
    "WeightQuantizer",
    "freeze",
    "load_scheme",
    "quantize",
    "register_quantizer",
    "register_scheme",
]
