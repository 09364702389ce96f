"""Made-up differences, and the effects that are found of them."""

import numpy as np

from saq_eval.analysis.statistics import compare_paired


def rows(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def paired(differences, **arguments):
    """Effects where a standard deviation of 1 is the baseline's, and higher is better."""
    count = len(differences)
    return compare_paired(differences, np.ones(count), np.ones(count, dtype=bool), **arguments)
