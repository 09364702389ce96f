"""From scores per image, and per network where there are several, to intervals, tests and verdicts.

What is compared is always paired: a network's score minus another's on the same image. All functions take many
comparisons at once, one per row, and leave out NaN, which marks an undefined score. `docs/statistics.md` gives the
measured error rates.

- **Scope.** *This network*: the networks are fixed, the images are drawn; what is found holds of these networks. *This
  scheme*: networks are drawn too, so it holds of networks that are trained so; it takes `NETWORKS` of them at least.
- **Over images.** Student's t, and the same corrected for skewness (Hall 1992, doi 10.2307/2345743): the larger
  p-value, the wider interval. (Random signs, studentised or not, take the differences to be symmetric.) Scores of 0 and
  1 get an exact test, see `paired_binary`.
- **Over networks.** Student's t of the networks' means, and that whose variance adds what differs between networks and
  between images, with Satterthwaite's degrees of freedom (1946, doi 10.2307/3002019): the larger p-value, the wider
  interval. The images are the same for all networks, so they are drawn once, not anew within each.
- **Where nothing varies**, the rule of three (Hanley and Lippman-Hand 1983, doi 10.1001/jama.1983.03330370053031): n
  images without a difference leave room for one in 3/n of all images.
- **Retraining.** One network against R that were trained anew: a prediction interval, with the variance s²(1 + 1/R) and
  R − 1 degrees of freedom; none for fewer than `NETWORKS`.
- **Effect size.** The difference over the standard deviation of the baseline's scores between images (Glass's Δ).
- **Equivalence.** Two one-sided tests (Schuirmann 1987, doi 10.1007/BF01068419) against a margin of ± `MARGIN` of
  that standard deviation: by Cohen's convention, a small effect. Similarities to the baseline's maps are compared
  with those that retrained networks reach, but equivalent means the same maps: that they went less of the way from
  identical to unrelated ones than invisible noise in the images makes maps go, or less than `SAME_MAPS` of it. A
  difference may be certain and within the margin: both are said.
- **Few images.** Fewer than `ENOUGH` give no verdict but "too few images".
- **Many tests.** p-values of a family are adjusted to hold the false discovery rate (Benjamini and Hochberg 1995), and
  families that stand together in a group are first tested against each other (Benjamini and Bogomolov 2014, doi
  10.1111/rssb.12028); those of equivalence by themselves.
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
