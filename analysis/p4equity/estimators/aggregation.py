"""Averages of group-time effects: over all, by event time, by cohort, by period, with the error of estimated cohort shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.estimators.base import NAN, Array
from p4equity.estimators.group_time_cells import CellEstimate

KINDS = ("simple", "dynamic", "group", "calendar")


@dataclass(frozen=True)
class At:
    """What an effect is of: periods since treatment, cohort, period; NaN where it is not of one."""

    event: float = NAN
    cohort: float = NAN
    period: float = NAN


OVERALL = At()


@dataclass(frozen=True)
class Average:
    """One average: estimate (m,) and influence by cluster (G, m); which cells it rests on, and each one's weight."""

    estimate: Array
    influence: Array
    cells: tuple[int, ...]
    weights: Array
    at: At = OVERALL


@dataclass(frozen=True)
class Effects:
    """Estimable cells: g, t (K,), att (K, m), influence (G, K, m); weights `shares` by cluster (G, C) of the `cohorts` (C,)."""

    g: Array
    t: Array
    att: Array
    influence: Array
    cohorts: Array
    shares: Array
    index: tuple[int, ...]  # places of the cells in the list they came from

    @property
    def column(self) -> NDArray[np.intp]:
        """(K,) column of `shares` of each cell's cohort."""
        return np.searchsorted(self.cohorts, self.g)


def effects(cells: list[CellEstimate], cohorts: Array, shares: Array) -> Effects | None:
    """The estimable cells of a list, or None without one."""
    index = tuple(i for i, c in enumerate(cells) if not c.reason)
    if not index:
        return None
    kept = [cells[i] for i in index]
    return Effects(
        np.array([c.cell.g for c in kept]),
        np.array([c.cell.t for c in kept]),
        np.stack([c.att for c in kept]),
        np.stack([c.influence for c in kept], axis=1),
        cohorts,
        shares,
        index,
    )


def weighted(e: Effects, which: NDArray[np.intp], at: At = OVERALL) -> Average:
    """Average of some cells by the weight of their cohorts; these weights are estimates, and their error enters.

    With p_g the weight of cohort g, v_k = p_g(k) / sum of p over the cells: the influence is sum of v_k psi_k + sum of
    (att_k - average) (1{G = g(k)} w) / sum of p.
    """
    column = e.column[which]
    p = e.shares.sum(axis=0)[column]
    v = p / p.sum()
    value = v @ e.att[which]
    moved = e.shares[:, column] @ (e.att[which] - value) / p.sum()
    return Average(value, np.einsum("gkm,k->gm", e.influence[:, which], v) + moved, _places(e, which), v, at)


def plain(e: Effects, which: NDArray[np.intp], at: At) -> Average:
    """Plain mean of some cells."""
    v = np.full(len(which), 1 / len(which))
    return Average(v @ e.att[which], e.influence[:, which].mean(axis=1), _places(e, which), v, at)


def _places(e: Effects, which: NDArray[np.intp]) -> tuple[int, ...]:
    return tuple(e.index[i] for i in which)


def mean_of(parts: list[Average], v: Array, moved: Array | float = 0.0) -> Average:
    """Average of averages with weights v; `moved` (G, m) is what the error of estimated weights adds."""
    cells = [i for part in parts for i in part.cells]
    each = np.concatenate([share * part.weights for share, part in zip(v, parts, strict=True)])
    estimate = sum(share * part.estimate for share, part in zip(v, parts, strict=True))
    influence = sum(share * part.influence for share, part in zip(v, parts, strict=True))
    return Average(np.asarray(estimate), np.asarray(influence + moved), tuple(cells), each)


def aggregate(e: Effects, kind: str) -> tuple[Average | None, list[Average]]:
    """The overall average of a kind and the averages it rests on; None where no cell is of a treated period.

    simple: all treated cells by cohort weight. dynamic: by event time, overall the plain mean over event times >= 0. group: plain
    mean of each cohort's treated cells, overall by cohort weight. calendar: by period, overall the plain mean of periods.
    Source: Callaway and Sant'Anna (2021), section 3; R's did, `aggte`.
    """
    after = np.flatnonzero(e.t >= e.g)
    if kind == "simple":
        return (weighted(e, after) if len(after) else None), []
    if kind == "dynamic":
        events = e.t - e.g
        parts = [weighted(e, np.flatnonzero(events == v), At(event=float(v))) for v in np.unique(events)]
        late = [p for p in parts if p.at.event >= 0]
        return (mean_of(late, np.full(len(late), 1 / len(late))) if late else None), parts
    if kind == "calendar":
        parts = [weighted(e, after[e.t[after] == t], At(period=float(t))) for t in np.unique(e.t[after])]
        return (mean_of(parts, np.full(len(parts), 1 / len(parts))) if parts else None), parts
    parts = [plain(e, after[e.g[after] == g], At(cohort=float(g))) for g in np.unique(e.g[after])]
    if not parts:
        return None, []
    column = np.searchsorted(e.cohorts, [p.at.cohort for p in parts])
    p = e.shares.sum(axis=0)[column]
    att = np.stack([part.estimate for part in parts])
    moved = e.shares[:, column] @ (att - p @ att / p.sum()) / p.sum()
    return mean_of(parts, p / p.sum(), moved), parts
