"""Whom a system cares for: the share of a group among its attributed members, year by year, and its change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from p4equity.disparity.changes import Changes, centred_change, contrast
from p4equity.disparity.panel import ALL, Array, Panel


def share_covariance(panel: Panel, measure: str, group: str) -> Array:
    """(S, T, T) sampling covariance of a group's share of all member-months within each system.

    With m months of a member in a year and p the share, a member of the group adds m (1 - p) / N to the share's error and any
    other -m p / N: products over members who are there in both years are sums of products of months, which the overlap holds.
    Linearization of a ratio whose members, not months, are independent; Cochran (1977), Sampling Techniques, section 6.13.
    """
    share, total = shares(panel, measure, group)
    at = panel.at(measure)
    own, everyone = panel.overlap[group][:, at, at], panel.overlap[ALL][:, at, at]
    p1, p2 = share[:, :, None], share[:, None, :]
    joint = (1 - p1) * (1 - p2) * own + p1 * p2 * (everyone - own)
    product = total[:, :, None] * total[:, None, :]
    return np.divide(np.nan_to_num(joint), product, out=np.zeros_like(joint), where=product > 0)


def shares(panel: Panel, measure: str, group: str) -> tuple[Array, Array]:
    """(S, T) share of a group in the denominator of all groups, NaN where it is empty, and that denominator."""
    own, total = panel.den[:, panel.index(measure, group)], panel.den[:, panel.index(measure, ALL)]
    return np.divide(own, total, out=np.full_like(own, np.nan), where=total > 0), total


def share_changes(
    panel: Panel,
    measure: str,
    groups: Sequence[str],
    windows: Mapping[str, tuple[Sequence[int], Sequence[int]]],
    comparison: Sequence[str],
    minimum: float,
) -> Changes:
    """Change of every system's share of each group from its pre- to its post-years; `gap` holds the change.

    measure: the one in whose denominator every attributed member counts. minimum: smallest denominator of the group for a year
    to count. Centring as in `gap_changes`. Covariances between groups are not carried: each group is a question of its own.
    """
    S, J, T = len(panel.systems), len(groups), len(panel.years)
    contrasts, rate, covariance = np.full((S, J, T), np.nan), np.zeros((S, J, T)), np.zeros((S, J, J))
    dropped = []
    for j, group in enumerate(groups):
        rate[:, j] = np.nan_to_num(shares(panel, measure, group)[0])
        sampling = share_covariance(panel, measure, group)
        enough = panel.den[:, panel.index(measure, group)] >= max(minimum, 1)
        for s, system in enumerate(panel.systems):
            weights = contrast(panel.years, *windows[system], enough[s])
            if weights is None:
                dropped.append((system, measure, group, "no baseline or no contract year reaches the minimum denominator"))
                continue
            contrasts[s, j], covariance[s, j, j] = weights, weights @ sampling[s] @ weights
    change = centred_change(rate, contrasts, np.isin(panel.systems, list(comparison)))
    empty, none = np.full_like(change, np.nan), np.zeros_like(covariance)
    series = tuple((measure, g) for g in groups)
    return Changes(panel.systems, series, change, empty, empty, covariance, none, none, contrasts, tuple(dropped))
