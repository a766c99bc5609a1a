"""The statistics a formula may pay on, from rates of groups: each turned so that less is better."""

from __future__ import annotations

import numpy as np

from p4equity.disparity.between_groups import between_group_variance
from p4equity.disparity.measures import absolute_gap, gap_to_best, weighted_mean_gap, worst_group_rate
from p4equity.errors import UsageError
from p4equity.incentive.formula import STATISTICS, Array

LEAST, MOST = 1e-6, 1 - 1e-6  # simulated rates stay rates


def disparity(statistic: str, rates: Array, den: Array) -> Array:
    """(..., U, T) a statistic of rates (..., G, T) in percent, reference group first, with denominators (G, T).

    One unit a compared group for the gaps (U = G - 1), one in all for the others (U = 1). The variance is without its sampling
    term, so that it is not smaller merely because a system has grown; the rate of the worst group enters with its sign turned.
    Raises UsageError for a statistic it does not know.
    """
    reference, compared = rates[..., 0, :], rates[..., 1:, :]
    by_year = np.moveaxis(compared, -2, -1)
    if statistic == "pairwise_gap":
        return absolute_gap(reference[..., None, :], compared)
    if statistic == "gap_to_best":
        return np.asarray(np.moveaxis(gap_to_best(np.moveaxis(rates, -2, -1)), -1, -2)[..., 1:, :])
    if statistic == "weighted_mean_gap":
        return weighted_mean_gap(reference, by_year, np.broadcast_to(den[1:].T, by_year.shape))[..., None, :]
    if statistic == "worst_group_rate":
        return -worst_group_rate(by_year)[..., None, :]
    if statistic == "between_group_variance":
        shares = np.clip(np.moveaxis(rates, -2, -1) / 100, LEAST, MOST)
        n = np.broadcast_to(den.T, shares.shape)
        return np.asarray(100**2 * between_group_variance(n, shares * n).corrected)[..., None, :]
    raise UsageError("unknown payment statistic", expected=" or ".join(STATISTICS), found=statistic)
