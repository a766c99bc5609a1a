"""Gaps year by year as a selection rule sees them, the errors in them, and what follows for later changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.changes import contrast
from p4equity.disparity.selection import autoregressive, shrunken_slope, simulated_change
from p4equity.disparity.yearly import YearlyGaps, yearly_gaps
from p4equity.errors import P4Error
from p4equity.evaluation.baseline import baseline_series, group_weights
from p4equity.evaluation.context import POINTS, Context
from p4equity.evaluation.pooled import PooledData
from p4equity.inference.random_effects import tau2_estimate
from p4equity.study import Analysis
from p4equity.study.plan_contracts import Selection

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]
RARE = 50  # draws that picked a cell, below which their mean says little


def yearly(context: Context, analysis: Analysis, data: PooledData) -> YearlyGaps:
    """Yearly gaps of the pooled question's systems and measures, with the registered weights over groups."""
    series = _series(context, analysis, data)
    weights = group_weights(context, series, context.variant(analysis))
    registered = {pair: weights[i] for i, pair in enumerate(series)}
    minimum = context.study.inference.minimum_denominator
    return yearly_gaps(data.panel, registered, data.reference, data.systems, data.panel.years, minimum)


def _series(context: Context, analysis: Analysis, data: PooledData) -> list[tuple[str, str]]:
    return [pair for pair in baseline_series(context, context.variant(analysis)) if pair[0] in data.measures]


def spread_of(values: Array, sampling: Array) -> float:
    """Variance beside sampling of (S, M) values around their measure's mean, one for all measures; NaN values are left out."""
    known = np.isfinite(values)
    known &= known.sum(axis=0) > 1
    s, m = np.nonzero(known)
    columns = (m[:, None] == np.unique(m)).astype(float)
    if len(s) <= columns.shape[1]:
        return 0.0
    try:
        return tau2_estimate(values[s, m], columns, sampling[s, m])
    except P4Error:
        return 0.0


@dataclass(frozen=True)
class SelectionYears:
    """Yearly gaps of S systems in M measures over T years, percentage points.

    values (S, M, T): less the comparison systems' mean of the year. before, after (S, M, T): weights of baseline and contract
    years. looked (S, M, T): weights of the selection years. seen (S, M): the gaps the rule looked at, NaN where too few members.
    Errors are sampling errors, with their covariance between years and measures (S, M, T, M, T), and passing bumps of variance
    `passing` with correlation `order` (T, T) between years. between: variance of lasting gaps within a measure. Both variances
    come from baseline years of comparison systems, which nobody selected. centre (M,): their mean gap.
    """

    values: Array
    before: Array
    after: Array
    looked: Array
    seen: Array
    sampling: Array
    order: Array
    passing: float
    between: float
    centre: Array
    contracts: Flags

    @classmethod
    def of(cls, context: Context, analysis: Analysis, rule: Selection, data: PooledData, gaps: YearlyGaps) -> SelectionYears:
        """From yearly gaps: the windows of the analysis, the rule's years and minimum size."""
        study, contracts = context.study, data.sides["gap"].contracts
        S, M, T = gaps.values.shape
        raw, sampling = POINTS * gaps.values, POINTS**2 * gaps.covariance.reshape(S, M, T, M, T)
        known, compared = np.isfinite(raw), comparison(contracts)
        before, after = _windows(context, analysis, data, known)
        chosen = np.isin(gaps.years, study.baseline.selection_years)
        looked = _mean(chosen & known & _large(context, analysis, data, rule.minimum_size))
        rest = _mean(np.isin(gaps.years, analysis.pre_years or study.baseline.pre_years) & ~chosen & known)
        order = autoregressive(gaps.years, rule.autocorrelation)
        both = compared[:, None] & looked.any(axis=2) & rest.any(axis=2)
        bump = np.where(both[..., None], looked - rest, 0.0)
        excess = np.where(both, _apply(bump, raw), np.nan)
        share = np.einsum("smt,tu,smu->sm", bump, order, bump)[both]
        passing = spread_of(excess, _diagonal(_covariance(sampling, bump, bump))) / share.mean() if share.size else 0.0
        base = np.where(compared[:, None] & before.any(axis=2), _apply(before, raw), np.nan)
        error = _diagonal(_covariance(sampling, before, before)) + passing * np.einsum("smt,tu,smu->sm", before, order, before)
        year_mean = _mean_of(np.where(compared[:, None, None], raw, np.nan))
        return cls(
            raw - year_mean, before, after, looked, np.where(looked.any(axis=2), _apply(looked, raw), np.nan), sampling, order,
            float(passing), spread_of(base, error), _mean_of(base), contracts,
        )  # fmt: skip

    def errors(self, one: Array, two: Array) -> Array:
        """(S, M, M) covariance of two combinations of years in the errors of a system's measures."""
        out = _covariance(self.sampling, one, two)
        at = np.arange(out.shape[1])
        out[:, at, at] += self.passing * np.einsum("smt,tu,smu->sm", one, self.order, two)
        return out

    def expected(self, picks: int | Literal["as_contracted"], draws: int, seed: int) -> tuple[Array, Array, Counts, Counts]:
        """Change expected of each contracted cell when the rule picked it, how often it does, picks and candidates a system."""
        S, M = self.seen.shape
        expected, often = np.full((S, M), np.nan), np.zeros((S, M))
        chosen, offered = np.zeros(S, np.int64), np.zeros(S, np.int64)
        changed = self.after - self.before
        seen, joint = self.errors(self.looked, self.looked), self.errors(self.looked, changed)
        for s in np.flatnonzero(self.contracts.any(axis=1)):
            at = np.flatnonzero(np.isfinite(self.seen[s]) & np.isfinite(self.centre) & changed[s].any(axis=1))
            offered[s] = len(at)
            chosen[s] = min(self.contracts[s, at].sum() if picks == "as_contracted" else picks, len(at))
            if not chosen[s]:
                continue
            square, rng = np.ix_(at, at), np.random.default_rng([seed, int(s)])
            mean, share = simulated_change(
                self.centre[at], float(np.sqrt(self.between)), seen[s][square], joint[s][square], int(chosen[s]), draws, rng
            )
            mean = np.zeros(len(at)) if chosen[s] == len(at) else np.where(share * draws < RARE, np.nan, mean)
            expected[s, at], often[s, at] = mean, share
        return np.where(self.contracts, expected, np.nan), often, chosen, offered

    def drawn(self) -> tuple[Array, Array]:
        """(S, M) changes from baselines drawn toward the mean of both arms, and their covariance (S, M, M).

        The covariance holds sampling errors under the drawn weights and the lasting gaps that a drawn baseline leaves in.
        """
        seen = _diagonal(self.errors(self.before, self.before))
        joint = _diagonal(self.errors(self.before, self.after))
        slope = np.where(seen > 0, shrunken_slope(max(self.between, 1e-12), seen, joint), 1.0)
        arms = self.contracts | comparison(self.contracts)[:, None]
        have = self.before.any(axis=2) & self.after.any(axis=2)
        base, later = _apply(self.before, self.values), _apply(self.after, self.values)
        weight = np.where(arms & have, 1 / (self.between + seen + 1e-12), 0.0)
        total = weight.sum(axis=0)
        mean = np.divide((weight * np.nan_to_num(base)).sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
        line = self.after - slope[..., None] * self.before
        covariance = _covariance(self.sampling, line, line)
        at = np.arange(covariance.shape[1])
        covariance[:, at, at] += (1 - slope) ** 2 * self.between
        return np.where(have, later - mean - slope * (base - mean), np.nan), covariance


def comparison(contracts: Flags) -> Flags:
    """(S,) systems without any contract."""
    return np.asarray(~contracts.any(axis=1), bool)


def _windows(context: Context, analysis: Analysis, data: PooledData, known: Flags) -> tuple[Array, Array]:
    """(S, M, T) weights of the baseline years and of the contract years; zero where either has none."""
    years = data.panel.years
    windows = context.windows(analysis, context.arms(analysis.model_copy(update={"contracts": "any"}), None))
    before, after = np.zeros(known.shape), np.zeros(known.shape)
    for s, system in enumerate(data.systems):
        for m in range(known.shape[1]):
            weights = contrast(years, *windows[system], known[s, m])
            if weights is not None:
                before[s, m], after[s, m] = np.maximum(-weights, 0.0), np.maximum(weights, 0.0)
    return before, after


def _large(context: Context, analysis: Analysis, data: PooledData, minimum: int) -> Flags:
    """(S, M, T): reference and every group of the measure have the rule's minimum size."""
    panel, at = data.panel, [data.panel.systems.index(s) for s in data.systems]
    out = np.ones((len(at), len(data.measures), len(panel.years)), bool)
    for measure, group in _series(context, analysis, data):
        for name in (data.reference, group):
            out[:, data.measures.index(measure)] &= panel.den[at, panel.index(measure, name)] >= minimum
    return out


def _mean(flags: Flags) -> Array:
    """(..., T) equal weights of the flagged years, zero where there are none."""
    count = flags.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(flags, count, out=np.zeros(flags.shape), where=count > 0))


def _mean_of(values: Array) -> Array:
    """Mean over systems of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


def _apply(weights: Array, values: Array) -> Array:
    """(S, M) weighted sums over years; years without weight may be unknown."""
    return np.asarray(np.where(weights != 0, weights * np.nan_to_num(values), 0.0).sum(axis=2))


def _covariance(sampling: Array, one: Array, two: Array) -> Array:
    """(S, M, M) covariance of two combinations of years."""
    return np.asarray(np.einsum("smt,smtnu,snu->smn", one, sampling, two))


def _diagonal(matrices: Array) -> Array:
    return np.asarray(np.einsum("smm->sm", matrices))
