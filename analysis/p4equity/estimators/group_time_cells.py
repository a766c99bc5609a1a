"""Group-time cells: which periods and cohorts each effect compares, and its estimate and influence by cluster."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.estimators.base import Array, Flags
from p4equity.estimators.two_by_two import TwoByTwo, cross_section_att, panel_att

Codes = NDArray[np.int64]
Places = NDArray[np.intp]
NEVER = np.inf  # the cohort of units not treated within the data


@dataclass(frozen=True)
class Cell:
    """One effect: cohort `g` in period `t` against period `base`, beside the cohorts of `comparison` (NEVER may be one)."""

    g: float
    t: float
    base: float
    comparison: tuple[float, ...]


def schedule(
    times: Array, cohorts: Array, *, comparison: str = "never", anticipation: int = 0, base_period: str = "varying"
) -> list[Cell]:
    """All cells of all cohorts. times: sorted periods. cohorts: sorted, those in the data, NEVER included where it is.

    Treated periods are compared with the last period t with t + anticipation < g; earlier ones with the period just before
    (varying) or with that same one (universal; it has no cell of its own). comparison 'not_yet' takes never treated units and
    cohorts treated after the later of the two periods plus `anticipation`. Source: Callaway and Sant'Anna (2021); R's did.
    """
    out = []
    for g in cohorts[np.isfinite(cohorts)]:
        before = times[times + anticipation < g]
        for i, t in enumerate(times):
            fixed = base_period == "universal" or t >= g
            base = before[-1] if fixed else times[max(i - 1, 0)]
            if base == t:
                continue
            later = cohorts[(cohorts > max(t, base) + anticipation) & (cohorts != g)]
            with_whom = later if comparison == "not_yet" else cohorts[cohorts == NEVER]
            out.append(Cell(float(g), float(t), float(base), tuple(float(c) for c in with_whom)))
    return out


@dataclass(frozen=True)
class Sample:
    """Rows one effect is estimated from, sorted by unit and time.

    unit, cluster: (N,) codes. time, cohort: (N,) values, NEVER for untreated. compared: (N,) rows of the compared group, not of
    the reference (triple differences; else all). Y (N, m), w (N,) weights, rows (N,) weights of the check of overlap, X (N, k).
    times: sorted periods. panel: every unit has one row in every period. repeated: units are not followed over time.
    clusters: number of all clusters, those of other groups too.
    """

    unit: Codes
    cluster: Codes
    time: Array
    cohort: Array
    compared: Flags
    Y: Array
    w: Array
    rows: Array
    X: Array
    times: Array
    panel: bool
    repeated: bool
    clusters: int

    def at(self, t: float) -> Places:
        """Rows of a period; in a panel one a unit, in the order of units."""
        return np.flatnonzero(self.time == t)


@dataclass(frozen=True)
class Plan:
    """How cells are estimated: method of the 2x2, periods of anticipation, and whose weights a panel's comparison uses."""

    method: str = "dr"
    anticipation: int = 0
    fix_weights: str = "earlier"


@dataclass(frozen=True)
class CellEstimate:
    """A cell with its att (m,) and its influence by cluster (G, m); NaN with a reason.

    idle: covariates that add nothing. notes: sentences for the reader. factor: on the cell's own printed error.
    """

    cell: Cell
    att: Array
    influence: Array
    reason: str = ""
    idle: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    factor: float = 1.0


def failed(sample: Sample, cell: Cell, reason: str) -> CellEstimate:
    """A cell without a number."""
    m = sample.Y.shape[1]
    return CellEstimate(cell, np.full(m, np.nan), np.zeros((sample.clusters, m)), reason)


def sums(codes: Codes, values: Array, size: int) -> Array:
    """(size, m) sums of the rows of values (N, m) by code."""
    return np.array([np.bincount(codes, column, size) for column in values.T]).reshape(values.shape[1], size).T


def weights_of(sample: Sample, cell: Cell, plan: Plan) -> Array:
    """(units,) weights of a panel's comparison: of the earlier of its periods, the cohort's base period or the first one."""
    if plan.fix_weights == "first_period":
        return sample.w[sample.at(float(sample.times[0]))]
    if plan.fix_weights == "base_period":
        return sample.w[sample.at(float(sample.times[sample.times + plan.anticipation < cell.g][-1]))]
    return sample.w[sample.at(min(cell.t, cell.base))]


def compare(sample: Sample, cell: Cell, treated: Flags, other: Flags, plan: Plan) -> tuple[TwoByTwo, Places]:
    """The 2x2 of a cell between the rows `treated` and `other` (N,), and the rows to which its influence belongs."""
    early = sample.at(min(cell.t, cell.base))  # covariates of a panel are those of the earlier period
    now, base = sample.at(cell.t), sample.at(cell.base)
    if sample.panel and plan.fix_weights != "varying":
        used = (treated | other)[now]
        kept = now[used]
        change = sample.Y[kept] - sample.Y[base[used]]
        w = weights_of(sample, cell, plan)[used]
        return panel_att(change, treated[kept], sample.X[early[used]], w, plan.method, sample.rows[kept]), kept
    pair = np.concatenate([base, now])
    used = (treated | other)[pair]
    kept = pair[used]
    X = sample.X[np.concatenate([early, early])[used]] if sample.panel else sample.X[kept]
    post = sample.time[kept] == cell.t
    return cross_section_att(sample.Y[kept], post, treated[kept], X, sample.w[kept], plan.method, sample.rows[kept]), kept


def empty(sample: Sample, cell: Cell, treated: Flags, other: Flags) -> str:
    """Why a cell has nothing to compare, or ''."""
    for arm, rows in (("treated", treated), ("comparison", other)):
        for t, when in ((cell.t, "in its period"), (cell.base, "in its base period")):
            if not (rows & (sample.time == t)).any():
                return f"no {arm} unit {when}"
    return ""


def did_cell(sample: Sample, cell: Cell, plan: Plan) -> CellEstimate:
    """A cell as one 2x2 of its cohort with all its comparison cohorts together."""
    treated = sample.cohort == cell.g
    other = np.asarray(np.isin(sample.cohort, cell.comparison), bool)
    if reason := empty(sample, cell, treated, other):
        return failed(sample, cell, reason)
    result, rows = compare(sample, cell, treated, other, plan)
    if result.reason:
        return failed(sample, cell, result.reason)
    return CellEstimate(cell, result.att, sums(sample.cluster[rows], result.influence, sample.clusters), idle=result.idle)


def shares(sample: Sample, cohorts: Array) -> Array:
    """(G, C) weight of each treated cohort by cluster, of which the cohort shares of an aggregate are made.

    A panel counts the weights of its first period, cross-sections those of all rows, an unbalanced panel that is taken as
    cross-sections the mean weight of each unit. Source: R's did, `aggte`.
    """
    w, rows = sample.w, np.arange(len(sample.w))
    if sample.panel:
        rows = sample.at(float(sample.times[0]))
    elif not sample.repeated:
        w = w / np.bincount(sample.unit)[sample.unit]
    cluster, cohort = sample.cluster[rows], sample.cohort[rows]
    return sums(cluster, w[rows, None] * (cohort[:, None] == cohorts), sample.clusters)
