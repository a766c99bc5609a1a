"""A panel whose groups are probabilities: every analysis of changes runs on it as it runs on a panel of classes.

Sampling covariances. Within a year those of `race_probability`. Between two years or measures the sums of p p' over members who
are in both are not carried; they are taken to be the same share of each cell's as the members in both are of all members (overlap
moments of everyone), and a member's results to correlate as everyone's do. Exact where who stays does not depend on p.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from p4equity.disparity.panel import ALL, Array, Panel
from p4equity.disparity.race_probability import (
    RaceSums,
    deviations,
    linear_rates,
    linear_spread,
    weighted_rates,
    weighted_spread,
)
from p4equity.symmetric import symmetric_root

WEIGHTED, LINEAR, SELF_REPORT = "weighted", "linear", "self_report"


@dataclass(frozen=True)
class ProbabilityPanel(Panel):
    """A panel with rates of its own and covariances between groups, which share members.

    `den` is the expected number of members of a group (sum of p). rates: (S, I, T). roots: (S, K, G, G), symmetric roots of the
    covariances of a measure-year's rates; likeness: (S, K, K), 1 on the diagonal: correlation of two measure-years' rates.
    """

    rates: Array
    groups: tuple[str, ...]
    roots: Array
    likeness: Array
    _between: dict[tuple[str, str, str, str], Array] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def rate(self) -> Array:
        """(S, I, T) rates by the panel's own method, NaN where it gives none."""
        return self.rates

    def covariances(self, group: str, measure_1: str, measure_2: str) -> Array:
        """(S, T, T) sampling covariances of a group's yearly rates in two measures (or one) within each system."""
        if group == ALL:
            return Panel.covariances(self, group, measure_1, measure_2)
        found = self.between(group, group, measure_1, measure_2)
        assert found is not None
        return found

    def between(self, group_1: str, group_2: str, measure_1: str, measure_2: str) -> Array | None:
        """(S, T, T) sampling covariances of the yearly rates of two groups in two measures (or one) within each system."""
        key = (group_1, group_2, measure_1, measure_2)
        if key not in self._between:
            rows, columns = self.at(measure_1), self.at(measure_2)
            first = self.roots[:, rows, self.groups.index(group_1)]
            second = self.roots[:, columns, self.groups.index(group_2)]
            self._between[key] = self.likeness[:, rows, columns] * np.einsum("stg,sug->stu", first, second)
        return self._between[key]


def probability_panel(base: Panel, table: pd.DataFrame, groups: Sequence[str], method: str) -> ProbabilityPanel:
    """The panel of one method, `weighted` or `linear`, from the rows of `cell_probability` of one map and race version.

    base: the panel of classes: its systems, measures and years, the rates of all members and what members share. Members without
    probabilities are in no sum. groups: all groups that the probabilities of a member add up to.
    """
    sums = race_sums(base, table, groups)
    rates, spread = (
        (weighted_rates(sums), weighted_spread(sums)) if method == WEIGHTED else (linear_rates(sums), linear_spread(sums))
    )
    roots = symmetric_root(np.nan_to_num(spread)) * deviations(np.nan_to_num(rates, nan=0.5))[..., :, None]
    S, M, T, G = rates.shape
    return ProbabilityPanel(
        base.systems, base.measures, base.series, base.years,
        _by_series(base, sums.p, groups, base.den), _by_series(base, sums.p_num, groups, base.num), base.overlap, base.kappa,
        None, _by_series(base, rates, groups, base.rate), tuple(groups), roots.reshape(S, M * T, G, G), likeness(base),
    )  # fmt: skip


def race_sums(base: Panel, table: pd.DataFrame, groups: Sequence[str]) -> RaceSums:
    """Sums by system, measure and year (S, M, T, G), in members, from integers of 10^-6 and products of 10^-12."""
    G = len(groups)
    shape = (len(base.systems), len(base.measures), len(base.years))
    p, p_num, p_p = np.zeros((*shape, G)), np.zeros((*shape, G)), np.zeros((*shape, G, G))
    used = table[
        table["system_id"].isin(base.systems) & table["measure_id"].isin(base.measures) & table["year"].isin(base.years)
        & table["group_1"].isin(list(groups)) & table["group_2"].isin(list(groups))
    ]  # fmt: skip
    at = [_codes(used["system_id"], base.systems), _codes(used["measure_id"], base.measures), _codes(used["year"], base.years)]
    i, j = _codes(used["group_1"], groups), _codes(used["group_2"], groups)
    products = _floats(used["p_p"]) / 1e12
    p_p[(*at, i, j)] = products
    p_p[(*at, j, i)] = products
    own = i == j
    where = (*(a[own] for a in at), i[own])
    p[where] = _floats(used["p"])[own] / 1e6
    p_num[where] = _floats(used["p_num"])[own] / 1e6
    return RaceSums(p, p_num, p_p)


def likeness(base: Panel) -> Array:
    """(S, K, K) correlations of measure-years' rates in a system: shared members and how alike one member's results are."""
    shared, kappa = base.overlap[ALL], base.kappa[ALL]
    n = np.diagonal(shared, axis1=1, axis2=2)
    size = np.sqrt(n[:, :, None] * n[:, None, :])
    share = np.divide(shared, size, out=np.zeros_like(shared), where=size > 0)
    one = np.sqrt(np.maximum(np.diagonal(kappa), 0.0))
    both = one[:, None] * one[None, :]
    found = share * np.divide(kappa, both, out=np.zeros_like(kappa), where=both > 0)
    k = np.arange(found.shape[1])
    found[:, k, k] = 1.0
    return np.asarray(found)


def self_report_panel(base: Panel, table: pd.DataFrame) -> Panel:
    """The panel of members who reported themselves, from `cell_self_report`.

    Members in both of two years are taken to be the same share of them as of all members of the group.
    """
    den, num = np.zeros_like(base.den), np.zeros_like(base.num)
    used = table[
        table["den"].notna() & table["system_id"].isin(base.systems) & table["measure_id"].isin(base.measures)
        & table["year"].isin(base.years)
    ]  # fmt: skip
    at = {key: i for i, key in enumerate(base.series)}
    series = np.array([at.get(key, -1) for key in zip(used["measure_id"], used["group_1"], strict=True)], int)
    place = (_codes(used["system_id"], base.systems), series, _codes(used["year"], base.years))
    own = series >= 0
    where = tuple(a[own] for a in place)
    den[where], num[where] = _floats(used["den"])[own], _floats(used["num"])[own]
    for measure in base.measures:
        mine = [i for i, (m, g) in enumerate(base.series) if m == measure and g != ALL]
        den[:, base.index(measure, ALL)], num[:, base.index(measure, ALL)] = den[:, mine].sum(axis=1), num[:, mine].sum(axis=1)
    overlap = {g: _thinned(base, den, g) for g in base.overlap}
    return Panel(base.systems, base.measures, base.series, base.years, den, num, overlap, base.kappa, None)


def _thinned(base: Panel, den: Array, group: str) -> Array:
    """Members in two measure-years among those kept: sqrt of the product of the kept shares times the members in both."""
    columns = [base.index(m, group) for m in base.measures]
    whole, kept = (a[:, columns].reshape(len(base.systems), -1) for a in (base.den, den))
    share = np.sqrt(np.divide(kept, whole, out=np.zeros_like(kept), where=whole > 0))
    return np.asarray(base.overlap[group] * share[:, :, None] * share[:, None, :])


def _by_series(base: Panel, values: Array, groups: Sequence[str], everyone: Array) -> Array:
    """(S, M, T, G) to (S, I, T); the rows of all members as they are in the panel of classes."""
    out = np.array(everyone, float)
    for i, (measure, group) in enumerate(base.series):
        if group != ALL:
            out[:, i] = values[:, base.measures.index(measure), :, list(groups).index(group)]
    return out


def _codes(column: pd.Series, names: Sequence[str | int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    at: Mapping[str | int, int] = {name: i for i, name in enumerate(names)}
    return np.asarray(column.map(at).to_numpy(np.int64))


def _floats(column: pd.Series) -> Array:
    return np.asarray(column.to_numpy(dtype=float, na_value=np.nan))
