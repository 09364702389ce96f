"""Metrics of Quantus 0.6. Each metric is one declared function; one adapter runs them all.

- `adapter` calls Quantus and turns its results into scores.
- `draws` gives each image its own random draws in Quantus.
- There is one file for each category.

Localisation is in `saq_eval.metrics.localisation`. NonSensitivity, whose thresholds are relative here, is in
`saq_eval.metrics.non_sensitivity`. ROAD is in `saq_eval.metrics.road`.

These metrics are left out, because they have no score per image that follows the policies of `saq_eval.metrics.base`:

- `SensitivityN` is a correlation over images. For one image, over random subsets of n pixels (Ancona et al. 2018,
  arXiv 1711.06104), it equals `FaithfulnessCorrelation:subset_size=n`. Quantus computes neither: it hides pixels
  cumulatively, most relevant first, and compares with the attribution of the last step alone.
- `Sufficiency` and `Consistency` are shares of the *other* images of a batch that have a similar map and the same
  prediction. For a single image they are 0.
- `InputInvariance` shifts all pixels by −1 and compensates this in the first layer's bias. At the border, a bias cannot
  compensate it if the convolution pads with zeros, as all networks in the zoo do. So the shifted network computes
  another function.
"""

from saq_eval.metrics.quantus.adapter import register_quantus

from saq_eval.metrics.quantus import (  # noqa: F401  isort: skip  (register the metrics, in the order of lists)
    faithfulness,
    complexity,
    robustness,
    randomisation,
    axiomatic,
)

__all__ = ["register_quantus"]
