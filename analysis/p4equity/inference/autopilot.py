"""Which inference a design calls for: a primary method and its cross-checks from counts alone, each choice with its reason.

The choice sees how many clusters there are, how many are treated, how unequal they are and how many cohorts adopt; no outcome.
It is the order in which a plan would register methods, not a fallback: what the primary method cannot answer stays without an
answer, and the cross-checks are printed whatever they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FEW = 3  # clusters in an arm below which its own spread is hardly seen
MANY = 50  # clusters from which large-sample errors do
UNEQUAL = 0.5  # effective over actual number of clusters below which sizes count as unequal


@dataclass(frozen=True)
class Design:
    """clusters, treated: counts. effective: clusters of equal size that would weigh the same. cohorts: adoption dates."""

    clusters: int
    treated: int
    effective: float
    cohorts: int

    @property
    def comparison(self) -> int:
        """Clusters that are never treated, or not yet."""
        return self.clusters - self.treated

    @property
    def unequal(self) -> bool:
        """Whether few of the clusters hold most of the weight."""
        return self.effective < UNEQUAL * self.clusters


@dataclass(frozen=True)
class Choice:
    """The methods in the order they are printed, the primary first, and why."""

    methods: tuple[str, ...]
    why: str


def effective_clusters(sizes: NDArray[np.float64]) -> float:
    """Clusters of equal size with the same sum of squared shares; sizes (G,) positive."""
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def choose(design: Design, offered: Sequence[str]) -> Choice:
    """The first method of the design's list that the estimator offers, then the others it offers.

    offered: the estimator's words for inference. Without any that fits, the estimate alone.
    """
    wanted, why = _wanted(design, set(offered))
    methods = tuple(m for m in wanted if m in offered)
    if not methods:
        return Choice(("none",), why + "; the estimator offers no method for this, so the estimate stands alone")
    return Choice(methods, why)


def _wanted(d: Design, offered: set[str]) -> tuple[tuple[str, ...], str]:
    """Methods in order of preference, and the reason, by what the estimator is made of."""
    counts = f"{d.treated} treated and {d.comparison} comparison clusters"
    few = min(d.treated, d.comparison) < FEW
    if "averaged_t" in offered:
        if few:
            return ("permutation", "averaged_t", "knapp_hartung"), (
                f"{counts}: no method holds its level whatever the spread of so few; the permutation needs the fewest assumptions"
            )
        return ("averaged_t", "knapp_hartung", "permutation", "averaged_t_varying"), (
            f"{counts}: the averaged t test holds its level best whatever sizes and shocks are"
        )
    if "placebo" in offered:
        order = ("placebo_rank", "placebo", "jackknife") if few else ("placebo", "jackknife", "placebo_rank")
        return order, f"{counts}: " + ("the rank among placebos needs no normality" if few else "placebos, and the jackknife")
    if "cr2" in offered:
        return _regression(d, counts, few)
    if few:
        return ("permutation",), f"{counts}: errors from influence functions would leave out the spread of so few"
    if d.clusters < MANY:
        return ("cr1", "exact", "multiplier_bootstrap", "analytical"), f"{counts}: fewer than {MANY}, so a t with G - 1 first"
    return ("analytical", "exact", "multiplier_bootstrap"), f"{counts}: enough for large-sample errors"


def _regression(d: Design, counts: str, few: bool) -> tuple[tuple[str, ...], str]:
    if few and d.unequal:
        return ("ferman_pinto", "conley_taber", "permutation"), (
            f"{counts} of unequal size: residuals of comparison clusters, rescaled to the size of the treated"
        )
    if few:
        return ("conley_taber", "ferman_pinto", "permutation"), f"{counts} of similar size: residuals of comparison clusters"
    checks = ("cr2", "wild_bootstrap", "cr3")
    why = f"{counts}: CR2 with Satterthwaite's degrees of freedom, which fall as sizes differ"
    return checks, why + (
        "; cohorts adopt at different times, so the two-way estimate weighs them unequally" if d.cohorts > 1 else ""
    )
