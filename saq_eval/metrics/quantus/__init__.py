"""Metrics of Quantus 0.6: each is one declared function, and all go through one adapter.

- `adapter`: how Quantus is asked, and how its answers become scores.
- `draws`: how Quantus' random draws are made to belong to an image.
- A file for each category.

Localisation is in `saq_eval.metrics.localisation`. NonSensitivity, whose thresholds are relative here, is in
`saq_eval.metrics.non_sensitivity`. ROAD is in `saq_eval.metrics.road`.

Left out, since they have no score per image that keeps the policies of `saq_eval.metrics.base`:

- `SensitivityN` correlates over images. Within one image, over random subsets of n pixels (Ancona et al. 2018,
  arXiv 1711.06104), it is `FaithfulnessCorrelation:subset_size=n`. Quantus' way is neither: it hides pixels, most
  relevant first and for good, and compares with the attribution of the last step alone.
- `Sufficiency` and `Consistency` are shares of the *other* images of a batch that have a similar map and the same
  prediction: for an image alone they are 0.
- `InputInvariance` shifts all pixels by −1 and undoes that in the first layer's bias. No bias undoes it at the
  border where a convolution pads with zeros, as all in the zoo do: the shifted network computes something else.
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
