"""Rates of members who do not change: at the same ages in all years, or of those who stayed, as they are or weighted to all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.disparity.panel import ALL, Array, Panel
from p4equity.disparity.standardization import direct_standardization, standard_mix

AGE_STANDARDIZED, STAYED, WEIGHTED = "age_standardized", "stayed", "stayed_weighted"


@dataclass(frozen=True)
class AgeCounts:
    """Counts by band of age, all (S, I, T, K): systems, series (measure and group) and years of a panel, K bands.

    den, num: all members. den_stayed, num_stayed: those who stayed, by their band in the last baseline year.
    """

    den: Array
    num: Array
    den_stayed: Array
    num_stayed: Array


@dataclass(frozen=True)
class Rates:
    """Rates (S, I, T), NaN where there is none, their sampling variances, and the members behind them."""

    rate: Array
    variance: Array
    members: Array


def age_counts(panel: Panel, rows: pd.DataFrame) -> AgeCounts:
    """Counts of `cell_age` (one map and race version) in the order of a panel; rows of other systems or years are left out."""
    bands = sorted(rows["age_band"].unique())
    at = {s: i for i, s in enumerate(panel.systems)}, {k: i for i, k in enumerate(panel.series)}
    years, band = {t: i for i, t in enumerate(panel.years)}, {b: i for i, b in enumerate(bands)}
    used = rows[rows["system_id"].isin(at[0]) & rows["year"].isin(years)]
    series = [at[1].get(pair, -1) for pair in zip(used["measure_id"], used["group"], strict=True)]
    used = used.assign(series=series)[lambda f: f["series"] >= 0]
    place = (
        used["system_id"].map(at[0]).to_numpy(), used["series"].to_numpy(), used["year"].map(years).to_numpy(),
        used["age_band"].map(band).to_numpy(),
    )  # fmt: skip
    shape = (len(panel.systems), len(panel.series), len(panel.years), len(bands))
    counts = []
    for name in ("den", "num", "den_stayed", "num_stayed"):
        grid = np.zeros(shape)
        np.add.at(grid, place, used[name].to_numpy(float))
        counts.append(grid)
    return AgeCounts(*counts)


def age_standardized(panel: Panel, counts: AgeCounts, years: Sequence[int]) -> Rates:
    """Rates as if every system, group and year had the mix of ages that all members of the measure have in these years.

    Direct standardization; the variance of one member's result in a band is pooled over systems, since small bands have none.
    """
    shares = np.zeros(counts.den.shape[1:2] + counts.den.shape[3:])
    chosen = np.isin(panel.years, list(years))
    for measure in panel.measures:
        own = [i for i, (m, _) in enumerate(panel.series) if m == measure]
        total = counts.den[:, own][:, :, chosen]
        if total.sum() > 0:
            shares[own] = standard_mix(total)
    known = shares.sum(axis=1) > 0
    found = direct_standardization(
        counts.den[:, known], counts.num[:, known], shares[known][None, :, None, :],
        member_variance=np.broadcast_to(_pooled(counts.den, counts.num)[known][None, :, None, :], counts.den[:, known].shape),
    )  # fmt: skip
    rate, variance = np.full(counts.den.shape[:3], np.nan), np.zeros(counts.den.shape[:3])
    rate[:, known], variance[:, known] = found.rate, np.nan_to_num(found.variance)
    return Rates(rate, variance, counts.den.sum(axis=3))


def of_stayed(counts: AgeCounts) -> Rates:
    """Rates of the members who stayed: the same persons from the last baseline year on."""
    den, num = counts.den_stayed.sum(axis=3), counts.num_stayed.sum(axis=3)
    one = _pooled(den[..., None], num[..., None])[None, :, None, 0]
    return Rates(_ratio(num, den), _ratio(np.broadcast_to(one, den.shape), den, 0.0), den)


def of_stayed_weighted(panel: Panel, counts: AgeCounts, baseline_year: int) -> Rates:
    """Rates of those who stayed, each weighted by the inverse of the share that stayed of its system, group and band at baseline.

    sum_k a_k x_k / sum_k a_k n_k with a_k = (members of band k in the baseline year) / (those of them who stayed). A band of
    which nobody stayed has nobody to stand for it and is left out. Variance with the weights taken as known.
    Source: Robins, Rotnitzky and Zhao (1995), Journal of the American Statistical Association 90:106, saturated in the strata.
    """
    at = panel.years.index(baseline_year)
    weight = _ratio(counts.den[:, :, at], counts.den_stayed[:, :, at], 0.0)[:, :, None, :]
    den, num = (weight * counts.den_stayed).sum(axis=3), (weight * counts.num_stayed).sum(axis=3)
    one = _pooled(counts.den_stayed, counts.num_stayed)[None, :, None, :]
    variance = _ratio((weight**2 * counts.den_stayed * one).sum(axis=3), den**2, 0.0)
    return Rates(_ratio(num, den), variance, counts.den_stayed.sum(axis=3))


def panel_of(panel: Panel, rates: Rates) -> Panel:
    """The panel with these rates in place of its own, and their variances; series of all members stay as they are.

    Correlations between years and measures are those of the panel's own rates. For members who stayed they are too low, since
    the same persons recur in all years: errors of changes are then an upper limit.
    """
    mine = np.array([g != ALL for _, g in panel.series])[None, :, None]
    ok = mine & np.isfinite(rates.rate) & (rates.members > 0) & (panel.den > 0)
    den = np.where(mine, np.where(ok, rates.members, 0.0), panel.den)
    num = np.where(mine, np.where(ok, np.nan_to_num(rates.rate) * rates.members, 0.0), panel.num)
    overlap = {g: panel.overlap[g] if g == ALL else _scaled(panel, rates, ok, g) for g in panel.overlap}
    return replace(panel, den=den, num=num, overlap=overlap)


def _scaled(panel: Panel, rates: Rates, ok: NDArray[np.bool_], group: str) -> Array:
    """Joint denominators that give these variances, with the correlations there are."""
    scale = np.zeros((len(panel.systems), len(panel.measures) * len(panel.years)))
    for measure in panel.measures:
        at, i = panel.at(measure), panel.index(measure, group)
        own = np.diagonal(panel.covariances(group, measure, measure), axis1=1, axis2=2)
        scale[:, at] = np.sqrt(_ratio(rates.variance[:, i], own, 0.0)) * _ratio(rates.members[:, i], panel.den[:, i], 0.0)
        scale[:, at] *= ok[:, i]
    return np.asarray(panel.overlap[group] * scale[:, :, None] * scale[:, None, :])


def _pooled(den: Array, num: Array) -> Array:
    """(I, K) variance of one member's result by series and band, over all systems and years."""
    p = _ratio(num.sum(axis=(0, 2)), den.sum(axis=(0, 2)), 0.0)
    return np.asarray(p * (1 - p))


def _ratio(top: Array, bottom: Array, none: float = np.nan) -> Array:
    return np.asarray(np.divide(top, bottom, out=np.full(np.shape(bottom), none), where=bottom > 0))
