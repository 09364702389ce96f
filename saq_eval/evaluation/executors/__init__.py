"""Executors: what runs the calls of a comparison, in this process, in others, or on other machines."""

from saq_eval.evaluation.executors.base import Call, Died, Executor, Here
from saq_eval.evaluation.executors.processes import Processes

__all__ = ["Call", "Died", "Executor", "Here", "Processes"]
