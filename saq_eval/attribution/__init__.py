"""Attribution: saliency maps of a network's decision, by several methods (Captum does the work)."""

from saq_eval.attribution.methods import METHODS, Method, explain, register_method

__all__ = ["METHODS", "Method", "explain", "register_method"]
