"""Intervals, tests and verdicts from scores per image, and per network if there are several networks.

All comparisons are paired: a network's score minus another network's score on the same image. All functions take many
comparisons at once, one per row. They leave out NaN, which marks an undefined score. `docs/statistics.md` gives the
measured error rates.

- **Scope.** In the scope *this network*, the networks are fixed and the images are a random sample; a result holds for
  these networks. In the scope *this scheme*, the networks are a random sample too; a result holds for networks trained in
  this way. This scope needs at least `NETWORKS` networks.
- **Over images.** Two tests are used, Student's t and Student's t corrected for skewness (Hall 1992, doi 10.2307/2345743).
  The larger p-value and the wider interval count. (Tests by random signs, studentised or not, would assume symmetric
  differences.) Scores of 0 and 1 get an exact test, see `paired_binary`.
- **Over networks.** Two tests are used: Student's t of the networks' means, and a t whose variance adds the variance
  between networks and the variance between images, with Satterthwaite's degrees of freedom (1946, doi 10.2307/3002019).
  The larger p-value and the wider interval count. The images are the same for all networks, so they are one sample, not
  a new sample for each network.
- **If nothing varies**, the rule of three is used (Hanley and Lippman-Hand 1983, doi 10.1001/jama.1983.03330370053031):
  if n images have no difference, up to a share 3/n of all images may have one.
- **Retraining.** One network is compared with R retrained networks by a prediction interval, with the variance
  s²(1 + 1/R) and R − 1 degrees of freedom. R has to be at least `NETWORKS`.
- **Effect size.** The difference over the standard deviation of the baseline's scores between images (Glass's Δ).
- **Equivalence.** Two one-sided tests (Schuirmann 1987, doi 10.1007/BF01068419) against a margin of ± `MARGIN` times
  that standard deviation, which is a small effect by Cohen's convention. Similarities to the baseline's maps are compared
  with those that retrained networks reach. But for similarities, equivalent means that the maps are the same. Maps count
  as the same if they moved less than invisible noise in the images moves maps, or less than `SAME_MAPS`, on the scale
  from identical (0) to unrelated (1). A difference may be certain and also within the margin; then both are reported.
- **Few images.** With fewer than `ENOUGH` images, the only verdict is "too few images".
- **Many tests.** p-values of a family are adjusted to control the false discovery rate (Benjamini and Hochberg 1995).
  Families of the same group are first tested against each other (Benjamini and Bogomolov 2014, doi
  10.1111/rssb.12028). p-values of equivalence are adjusted separately.
"""

from saq_eval.analysis.statistics.equivalence import SAME_MAPS
from saq_eval.analysis.statistics.estimates import CONFIDENCE, NETWORKS, Estimates, Scope, estimate, intervals
from saq_eval.analysis.statistics.families import LEVEL, adjust, correction
from saq_eval.analysis.statistics.means import defined_mean, mean_of, padded, reach, spread, spread_of_scores
from saq_eval.analysis.statistics.needed import MOST_NEEDED
from saq_eval.analysis.statistics.retraining import jackknife
from saq_eval.analysis.statistics.verdicts import ENOUGH, TOO_FEW, Effects, Verdict, compare_paired
from saq_eval.evaluation.plan import MARGIN

__all__ = [
    "CONFIDENCE",
    "ENOUGH",
    "LEVEL",
    "MARGIN",
    "MOST_NEEDED",
    "NETWORKS",
    "SAME_MAPS",
    "TOO_FEW",
    "Effects",
    "Estimates",
    "Scope",
    "Verdict",
    "adjust",
    "compare_paired",
    "correction",
    "defined_mean",
    "estimate",
    "intervals",
    "jackknife",
    "mean_of",
    "padded",
    "reach",
    "spread",
    "spread_of_scores",
]
