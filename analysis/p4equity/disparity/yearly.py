"""Yearly gaps of systems, measure by measure, with the sampling covariance between years and measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from p4equity.disparity.panel import Array, Panel, rate_covariance


@dataclass(frozen=True)
class YearlyGaps:
    """Gaps of S systems in M measures over T years: reference less group, averaged over a measure's groups.

    values: (S, M, T), NaN where a denominator is too small. covariance: (S, M*T, M*T) sampling covariance, measures outside.
    Units: those of the rate.
    """

    systems: tuple[str, ...]
    measures: tuple[str, ...]
    years: tuple[int, ...]
    values: Array
    covariance: Array

    def changes(self, contrasts: Array) -> tuple[Array, Array]:
        """(S, M) linear combinations over years and their (S, M, M) covariance. contrasts: (S, M, T), zero where unused."""
        y = np.where((contrasts != 0) & np.isnan(self.values), np.nan, contrasts * np.nan_to_num(self.values)).sum(axis=2)
        S, M, T = contrasts.shape
        wide = np.zeros((S, M, M * T))
        for m in range(M):
            wide[:, m, m * T : (m + 1) * T] = contrasts[:, m]
        return np.asarray(y), np.einsum("smi,sij,snj->smn", wide, self.covariance, wide)


def yearly_gaps(
    panel: Panel,
    weights: Mapping[tuple[str, str], float],
    reference: str,
    systems: Sequence[str],
    years: Sequence[int],
    minimum: float,
) -> YearlyGaps:
    """Gaps of these systems in these years alone: outcomes of no other year are looked at.

    weights: (measure, group) -> registered weight of the group in its measure. minimum: smallest denominator of reference and
    group for a gap to count; a measure's gap needs all its groups.
    """
    measures = tuple(dict.fromkeys(m for m, _ in weights))
    at, time = [panel.systems.index(s) for s in systems], [panel.years.index(t) for t in years]
    S, M, T = len(at), len(measures), len(time)
    values, covariance = np.zeros((S, M, T)), np.zeros((S, M * T, M * T))
    grid = np.ix_(at, time)
    rate = panel.rate
    shares: dict[str, dict[str, float]] = {}
    for m, measure in enumerate(measures):
        own = {g: w for (name, g), w in weights.items() if name == measure}
        shares[measure] = {g: w / sum(own.values()) for g, w in own.items()}
        r = panel.index(measure, reference)
        for group, share in shares[measure].items():
            g = panel.index(measure, group)
            enough = (panel.den[:, r] >= max(minimum, 1)) & (panel.den[:, g] >= max(minimum, 1))
            values[:, m] += np.where(enough[grid], share * (rate[:, r] - rate[:, g])[grid], np.nan)
    years_of = np.ix_(time, time)
    for s, system in enumerate(at):
        for i, first in enumerate(measures):
            for j, second in enumerate(measures[: i + 1]):
                block = rate_covariance(panel, system, reference, first, second)[years_of]
                for group in (g for g in shares[first] if g in shares[second]):
                    both = shares[first][group] * shares[second][group]
                    block = block + both * rate_covariance(panel, system, group, first, second)[years_of]
                covariance[s, i * T : (i + 1) * T, j * T : (j + 1) * T] = block
                covariance[s, j * T : (j + 1) * T, i * T : (i + 1) * T] = block.T
    return YearlyGaps(tuple(systems), measures, tuple(years), values, covariance)
