"""Denominators, numerators and overlap of members as arrays, and the sampling covariance of rates they imply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.errors import DataError, UsageError

Array = NDArray[np.float64]
ALL = "all"  # every member, whatever the group


@dataclass(frozen=True)
class Panel:
    """Denominators, numerators and overlap of systems x series x years.

    systems: (S,), series: measure and group of each of the I series, years: (T,). den, num: (S, I, T), 0 where no member.
    overlap: for each group, (S, K, K) joint denominators over K = measures x years (`measures`, then years inside).
    kappa: for each group, (K, K) covariance of one member's deviations between two measure-years, pooled over systems.
    with_reading: (S, I, T) members with a reading, 0 where a measure has none; None where cells do not say. A rate is num / den,
    in the unit of the numerator per denominator.
    """

    systems: tuple[str, ...]
    measures: tuple[str, ...]
    series: tuple[tuple[str, str], ...]
    years: tuple[int, ...]
    den: Array
    num: Array
    overlap: Mapping[str, Array]
    kappa: Mapping[str, Array]
    with_reading: Array | None
    _covariances: dict[tuple[str, str, str], Array] = field(default_factory=dict, init=False, compare=False, repr=False)

    @property
    def rate(self) -> Array:
        """(S, I, T) rates, NaN where the denominator is 0."""
        return np.divide(self.num, self.den, out=np.full_like(self.num, np.nan), where=self.den > 0)

    def index(self, measure: str, group: str) -> int:
        """Position of a series."""
        try:
            return self.series.index((measure, group))
        except ValueError:
            raise UsageError("no such series", expected="a measure and group of the panel", found=(measure, group)) from None

    def at(self, measure: str) -> slice:
        """Positions of a measure's years in the K axis of `overlap` and `kappa`."""
        start = self.measures.index(measure) * len(self.years)
        return slice(start, start + len(self.years))

    def covariances(self, group: str, measure_1: str, measure_2: str) -> Array:
        """(S, T, T) sampling covariances of a group's yearly rates in two measures (or one) within each system; made once.

        Members in both cells times the pooled covariance of one member's deviations, over the product of denominators: the
        linearization of two ratio means with overlapping members.
        """
        key = (group, measure_1, measure_2)
        if key not in self._covariances:
            rows, columns = self.at(measure_1), self.at(measure_2)
            joint = self.overlap[group][:, rows, columns] * self.kappa[group][rows, columns]
            n1, n2 = self.den[:, self.index(measure_1, group)], self.den[:, self.index(measure_2, group)]
            product = n1[:, :, None] * n2[:, None, :]
            self._covariances[key] = np.divide(joint, product, out=np.zeros_like(joint), where=product > 0)
        return self._covariances[key]

    def between(self, group_1: str, group_2: str, measure_1: str, measure_2: str) -> Array | None:
        """(S, T, T) sampling covariances of the rates of two groups; None where groups share no members."""
        del group_1, group_2, measure_1, measure_2
        return None


def aggregate(cells: pd.DataFrame, measures: Iterable[str], groups: Sequence[str]) -> pd.DataFrame:
    """Cells summed to system x measure x group x year, with group `all` added; columns den, num, with_reading as float."""
    keys = ["system_id", "measure_id", "group", "year"]
    used = cells[cells["measure_id"].isin(list(measures))]
    sums = used.groupby(keys, sort=True, observed=True)[["den", "num", "with_reading"]].sum(min_count=1).reset_index()
    total = sums.groupby(["system_id", "measure_id", "year"], sort=True)[["den", "num", "with_reading"]].sum(min_count=1)
    total = total.reset_index().assign(group=ALL)
    kept = sums[sums["group"].isin(list(groups))]
    return pd.concat([kept, total[kept.columns]], ignore_index=True).astype({"den": float, "num": float, "with_reading": float})


def build_panel(
    cells: pd.DataFrame,
    overlap: pd.DataFrame,
    *,
    measures: Sequence[str],
    groups: Sequence[str],
    systems: Sequence[str],
    years: Sequence[int],
) -> Panel:
    """Arrays of one variant (one map, one race version) of cells and overlap moments.

    cells: system_id, measure_id, group, year, den, num, with_reading. overlap: system_id, group, measure_1, year_1, measure_2,
    year_2, den_den, num_den, den_num, num_num. Rows are matched by key, never by position. Raises DataError without cells.
    """
    table = aggregate(cells, measures, groups)
    table = table[table["system_id"].isin(list(systems)) & table["year"].isin(list(years))]
    if table.empty:
        raise DataError("no cells for these measures and systems", where="cell", expected=", ".join(measures), found="no row")
    series = [(m, g) for m in measures for g in [*groups, ALL]]
    shape = (len(systems), len(series), len(years))
    den, num, read = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    at_system = {s: i for i, s in enumerate(systems)}
    at_series = {key: i for i, key in enumerate(series)}
    at_year = {t: i for i, t in enumerate(years)}
    i = table["system_id"].map(at_system).to_numpy()
    j = _positions(at_series, table["measure_id"], table["group"])
    k = table["year"].map(at_year).to_numpy()
    den[i, j, k], num[i, j, k] = table["den"].to_numpy(), table["num"].to_numpy()
    read[i, j, k] = table["with_reading"].fillna(0.0).to_numpy()
    joint, kappa = _overlap_arrays(overlap, measures, groups, systems, years, den, num, at_series)
    return Panel(tuple(systems), tuple(measures), tuple(series), tuple(years), den, num, joint, kappa, read)


def _positions(at: Mapping[tuple[str, Any], int], first: pd.Series, second: pd.Series) -> NDArray[np.int64]:
    """Position of each pair of labels: looked up once a distinct pair."""
    (i, one), (j, two) = pd.factorize(first), pd.factorize(second)
    table = np.array([[at.get((a, b), -1) for b in two.tolist()] for a in one.tolist()], np.int64)
    return np.asarray(table[i, j] if len(table) else np.zeros(0, np.int64))


def _overlap_arrays(
    overlap: pd.DataFrame,
    measures: Sequence[str],
    groups: Sequence[str],
    systems: Sequence[str],
    years: Sequence[int],
    den: Array,
    num: Array,
    at_series: Mapping[tuple[str, str], int],
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Joint denominators and pooled member-level covariances by group, both symmetric in the measure-year axis."""
    T, K = len(years), len(measures) * len(years)
    at_system = {s: i for i, s in enumerate(systems)}
    at_cell = {(m, t): a * T + b for a, m in enumerate(measures) for b, t in enumerate(years)}
    used = overlap[
        overlap["system_id"].isin(list(systems))
        & overlap["measure_1"].isin(list(measures))
        & overlap["measure_2"].isin(list(measures))
        & overlap["year_1"].isin(list(years))
        & overlap["year_2"].isin(list(years))
    ]
    joint: dict[str, Array] = {}
    kappa: dict[str, Array] = {}
    for group in [*groups, ALL]:
        rows = used if group == ALL else used[used["group"] == group]
        s = rows["system_id"].map(at_system).to_numpy(np.int64)
        a, b = (_positions(at_cell, rows[f"measure_{i}"], rows[f"year_{i}"]) for i in (1, 2))
        moments = {}
        for name, swapped in (("den_den", "den_den"), ("num_den", "den_num"), ("num_num", "num_num")):
            grid = np.zeros((len(systems), K, K))
            np.add.at(grid, (s, a, b), rows[name].to_numpy(float))
            off = a != b
            np.add.at(grid, (s[off], b[off], a[off]), rows[swapped].to_numpy(float)[off])
            moments[name] = grid
        columns = [at_series[(m, group)] for m in measures]
        rate = np.divide(num[:, columns], den[:, columns], out=np.zeros_like(num[:, columns]), where=den[:, columns] > 0)
        r = rate.reshape(len(systems), K)
        cross = moments["num_den"] * r[:, None, :]
        centred = moments["num_num"] - cross - cross.transpose(0, 2, 1) + moments["den_den"] * r[:, :, None] * r[:, None, :]
        pairs = moments["den_den"].sum(axis=0)
        kappa[group] = np.divide(centred.sum(axis=0), pairs, out=np.zeros((K, K)), where=pairs > 0)
        joint[group] = moments["den_den"]
    return joint, kappa


def rate_covariance(panel: Panel, system: int, group: str, measure_1: str, measure_2: str) -> Array:
    """(T, T) sampling covariance of a group's yearly rates in two measures (or one) within a system."""
    return np.asarray(panel.covariances(group, measure_1, measure_2)[system])


def independent_panel(
    cells: pd.DataFrame, measure: str, systems: Sequence[str], years: Sequence[int], den: str, num: str
) -> Panel:
    """A one-measure panel of all members from two count columns, with years taken as independent samples.

    For companion rates, whose overlap is not carried: the stated variance is then an upper limit for changes of rates that
    persist within members.
    """
    counts = cells.groupby(["system_id", "year"])[[den, num]].sum()
    counts = counts.reindex(pd.MultiIndex.from_product([systems, years])).fillna(0.0).astype(float)
    shape = (len(systems), 1, len(years))
    n, x = counts[den].to_numpy().reshape(shape), counts[num].to_numpy().reshape(shape)
    share = x.sum() / n.sum() if n.sum() else 0.0
    joint = np.einsum("st,tu->stu", n[:, 0], np.eye(len(years)))
    kappa = np.full((len(years), len(years)), share * (1 - share))
    return Panel(tuple(systems), (measure,), ((measure, ALL),), tuple(years), n, x, {ALL: joint}, {ALL: kappa}, None)
