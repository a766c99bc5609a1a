"""Measures that a contract pays for against measures that it does not, inside each system: one contrast of changes a system."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from p4equity.disparity.changes import Changes
from p4equity.disparity.panel import Array


def paid_contrast(
    changes: Changes,
    weights: Mapping[int, float],
    paid: Mapping[str, Mapping[str, float]],
    unpaid: Mapping[str, Mapping[str, float]],
) -> tuple[Array, Array]:
    """Mean change in the gap of a system's paid measures minus that of its unpaid ones: values (S,), sampling variances (S,).

    changes: of all series of both kinds. weights: position of a series -> registered weight of its group. paid, unpaid: for each
    system, the measures of that side and their weights (for a comparison system the mean of contracted systems, so that both
    arms have about the same mix; one measure may then be on both sides). A measure enters where the system has all of its
    series; a system without a paid or without an unpaid measure has none (NaN, 0). Covariances between measures of the same
    members are kept.
    """
    measures = list(dict.fromkeys(m for m, _ in changes.series))
    means = np.zeros((len(measures), len(changes.series)))
    for i, measure in enumerate(measures):
        at = [j for j, (m, _) in enumerate(changes.series) if m == measure]
        own = np.array([weights[j] for j in at])
        means[i, at] = own / own.sum()
    lacking = np.isnan(changes.gap)[:, None, :] & (means > 0)[None]
    have = np.logical_not(lacking.any(axis=2))
    lines = np.zeros_like(changes.gap)
    for s, system in enumerate(changes.systems):
        sides = (paid.get(system, {}), unpaid.get(system, {}))
        own_sides = [np.array([side.get(m, 0.0) for m in measures]) * have[s] for side in sides]
        if all(side.sum() > 0 for side in own_sides):
            first, second = (side / side.sum() for side in own_sides)
            lines[s] = (first - second) @ means
    formed = lines.any(axis=1)
    value = np.where(formed, (lines * np.nan_to_num(changes.gap)).sum(axis=1), np.nan)
    return value, np.einsum("sj,sjk,sk->s", lines, changes.gap_covariance, lines)
