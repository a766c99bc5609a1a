"""A panel as it could be planned: sampling errors from denominators and rates of baseline years, no result under contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from p4equity.disparity.panel import Array, Panel
from p4equity.disparity.precision import rate_variance, same_year_correlation, yearly_correlation


@dataclass(frozen=True)
class PlannedPanel(Panel):
    """A panel whose rates are the network's and whose sampling covariances follow from them.

    A rate has binomial variance. Rates of a measure k years apart correlate by the k-th power of `yearly` of that measure; those
    of two measures by `together` in one year, and as each measure carries its own past on, in others (a first-order
    autoregression of all measures, so that the covariances are those of some members).

    den: of baseline years as counted, of all others the mean over baseline years. rates: (I,) of each series. yearly: (M,).
    together: (M, M), 1 on the diagonal.
    """

    rates: Array
    yearly: Array
    together: Array

    def covariances(self, group: str, measure_1: str, measure_2: str) -> Array:
        """(S, T, T) sampling covariances of a group's yearly rates in two measures (or one) within each system."""
        key = (group, measure_1, measure_2)
        if key not in self._covariances:
            series = [self.index(m, group) for m in (measure_1, measure_2)]
            variances = [rate_variance(self.rates[i], self.den[:, i]) for i in series]
            first, second = (np.sqrt(np.where(np.isfinite(v), v, 0.0)) for v in variances)
            a, b = (self.measures.index(m) for m in (measure_1, measure_2))
            years = np.subtract.outer(self.years, self.years)
            carried = np.where(years >= 0, self.yearly[a] ** np.abs(years), self.yearly[b] ** np.abs(years))
            self._covariances[key] = self.together[a, b] * first[:, :, None] * second[:, None, :] * carried
        return self._covariances[key]


def planned_panel(
    base: Panel, measures: Sequence[str], groups: Sequence[str], systems: Sequence[str], before: Sequence[int]
) -> PlannedPanel:
    """The plan's panel for some measures and groups of a panel.

    systems: the network, whose rates and overlap are used. before: baseline years; years without members do not count.
    """
    at = [base.systems.index(s) for s in systems if s in base.systems]
    years = np.isin(base.years, before)
    known = [t for t in base.years if t in before]
    den = np.where(years & (base.den > 0), base.den, 0.0)
    count = (den > 0).sum(axis=2, keepdims=True)
    mean = np.divide(den.sum(axis=2, keepdims=True), count, out=np.zeros(count.shape), where=count > 0)
    members = den[at].sum(axis=(0, 2))
    results = np.where(years, base.num[at], 0.0).sum(axis=(0, 2))
    rates = np.divide(results, members, out=np.zeros_like(members), where=members > 0)
    kept = [i for i, (m, g) in enumerate(base.series) if m in measures and g in groups]
    den = np.where(years, base.den, mean)[:, kept]

    def block(group: str, first: str, second: str) -> Array:
        return np.asarray(base.covariances(group, first, second)[np.ix_(np.array(at), years, years)])

    yearly = [yearly_correlation(np.concatenate([block(g, m, m) for g in groups]), known) for m in measures]
    together = np.eye(len(measures))
    for i, first in enumerate(measures):
        for j, second in enumerate(measures[:i]):
            blocks = ([block(g, *pair) for g in groups] for pair in ((first, second), (first, first), (second, second)))
            together[i, j] = together[j, i] = same_year_correlation(*(np.concatenate(b) for b in blocks))
    shared = replace(base, measures=tuple(measures), series=tuple(base.series[i] for i in kept), den=den)
    own = {"num": den * rates[kept][:, None], "overlap": {}, "kappa": {}, "with_reading": None}
    fields = {k: v for k, v in vars(shared).items() if not k.startswith("_")} | own
    return PlannedPanel(**fields, rates=rates[kept], yearly=np.array(yearly), together=together)
