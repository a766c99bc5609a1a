"""Balanced panels for synthetic difference-in-differences: one a compared group, with a block a cohort."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.estimators.base import Array, Dropped, Flags, Request
from p4equity.estimators.panels import Panel
from p4equity.inference.synthetic_weights import Penalties, penalties, synthetic_weights

Codes = NDArray[np.int64]
SPARSE = "period seen in fewer than half of all units, or in no treated unit"
TREATED_THROUGHOUT = "no period before its first treated period"
TREATED_AFTER = "treated after the data, within the window of anticipation"
MISSING = "synthetic difference-in-differences needs every period of a unit"


@dataclass(frozen=True)
class Block:
    """One cohort beside its comparison units, or the reason why it has no estimate.

    code: the cohort's. columns: positions of its periods, the first n_before of them before treatment. others: codes of
    comparison units, 0 = never treated. unit (N,), time (n_before,): weights.
    """

    code: int
    columns: Codes
    n_before: int
    others: tuple[int, ...]
    reason: str
    penalty: Penalties
    unit: Array
    time: Array

    def arms(self, counts: Array, codes: Codes) -> tuple[Array, Array]:
        """(B, N) how often each unit stands in the comparison and in the treated arm."""
        return counts * np.isin(codes, self.others), counts * (codes == self.code)


@dataclass(frozen=True)
class Balanced:
    """Units without a missing period of one group.

    units: labels, in an order that follows from their outcomes. times: (T,). Y: (m, N, T). codes: (N,) 0 = never treated,
    k = k-th cohort. starts: first treated time by code - 1. blocks: one a cohort.
    """

    group: str
    units: tuple[str, ...]
    times: Array
    Y: Array
    codes: Codes
    starts: Array
    blocks: tuple[Block, ...]
    dropped: tuple[Dropped, ...]


def in_order(panel: Panel) -> list[str]:
    """Units in the order of their outcomes, so that draws and ties do not depend on what units are called."""
    wide = [panel.frame.assign(y=y).pivot(index="unit", columns=["group", "time"], values="y") for y in panel.Y.T]
    values = np.hstack([w.to_numpy(float) for w in wide])
    return [str(u) for u in wide[0].index[np.lexsort(values.T[::-1])]]


def balanced(panel: Panel, group: str, order: list[str], request: Request, method: str) -> Balanced:
    """The balanced panel of one group, units in this order, with the weights of each cohort; what is left out is said."""
    part = panel.take(np.asarray(panel.column("group") == group, bool))
    wide = [part.frame.assign(y=y).pivot(index="unit", columns="time", values="y") for y in part.Y.T]
    units = [u for u in order if u in wide[0].index]
    start = part.frame.groupby("unit")["cohort"].first().reindex(units).to_numpy(float)
    suffix = "" if group == "all" else f" ({group})"
    times = np.asarray(wide[0].columns.to_numpy(float))
    Y = np.stack([w.reindex(units).to_numpy(float) for w in wide])
    through = ~(start - request.anticipation > times.min())
    late = start > times.max()
    gone = (through | late) & ~np.isnan(start)
    dropped = [Dropped(u, "", (TREATED_AFTER if x else TREATED_THROUGHOUT) + suffix)
               for u, x, g in zip(units, late, gone, strict=True) if g]  # fmt: skip
    units, start, Y = [u for u, g in zip(units, gone, strict=True) if not g], start[~gone], Y[:, ~gone]
    seen = ~np.isnan(Y[0])
    treated = ~np.isnan(start)
    used = (2 * seen.sum(axis=0) >= len(units)) & (seen[treated].any(axis=0) | ~treated.any())
    names = [str(panel.labels[float(t)]) for t in times]
    dropped += [Dropped("all units", name, SPARSE + suffix) for name, u in zip(names, used, strict=True) if not u]
    whole = seen[:, used].all(axis=1)
    for unit, row, ok in zip(units, seen, whole, strict=True):
        if not ok:
            absent = ", ".join(name for name, s, u in zip(names, row, used, strict=True) if u and not s)
            dropped.append(Dropped(unit, absent, f"missing periods, and {MISSING}{suffix}"))
    times, Y, start = times[used], Y[:, whole][:, :, used], start[whole]
    starts = np.unique(start[~np.isnan(start)])
    codes = np.where(np.isnan(start), 0, np.searchsorted(starts, start) + 1).astype(np.int64)
    blocks = tuple(_block(k, times, Y, codes, starts, request, method) for k in range(1, len(starts) + 1))
    labels = tuple(u for u, ok in zip(units, whole, strict=True) if ok)
    return Balanced(group, labels, times, Y, codes, starts, blocks, tuple(dropped))


def _block(code: int, times: Array, Y: Array, codes: Codes, starts: Array, request: Request, method: str) -> Block:
    start, ahead = float(starts[code - 1]), request.anticipation
    others = [0]
    end = float("inf")
    if request.comparison == "not_yet":
        later = [k for k in range(code + 1, len(starts) + 1) if starts[k - 1] - ahead > start]
        others += later
        end = min((float(starts[k - 1]) - ahead for k in later), default=end)
    columns = np.flatnonzero(((times < start - ahead) | (times >= start)) & (times < end))
    n_before = int((times[columns] < start).sum())
    counts = np.ones((1, len(codes)))
    controls, treated = counts * np.isin(codes, others), counts * (codes == code)
    before = Y[0][controls[0] > 0][:, columns[:n_before]]
    penalty = penalties(before, int(treated.sum()), len(columns) - n_before, method)
    reason = _no_weights(before, n_before, len(columns) - n_before, penalty, method)
    unit, time = np.zeros(len(codes)), np.zeros(n_before)
    if not reason:
        units, times_ = synthetic_weights(Y[0][:, columns], n_before, controls, treated, penalty, method, None)
        unit, time = units[0], times_[0]
    return Block(code, columns, n_before, tuple(others), reason, penalty, unit, time)


def _no_weights(before: Array, n_before: int, n_after: int, penalty: Penalties, method: str) -> str:
    """Why a cohort has no estimate, or ''."""
    if not len(before):
        return "no comparison unit is untreated for as long as this cohort is observed"
    if n_before == 0 or n_after == 0:
        return f"no period {'before' if n_before == 0 else 'after'} treatment"
    if method == "did":
        return ""
    if len(before) == 1:
        return "one comparison unit: there are no weights to choose, method='did' compares with it"
    if n_before == 1:
        return "one period before treatment: weights need two, method='did' needs one"
    if not penalty.noise > 1e-12 * float(np.abs(before).max()):
        return "comparison units do not vary from period to period before treatment: nothing to choose weights by"
    return ""


def rows_of(panel: Panel, source: Balanced, blocks: tuple[Block, ...], event: float | None) -> Flags:
    """(N,) rows of the panel behind these blocks, all their periods or those of one event time."""
    frame = panel.frame
    place = pd.Index(source.units).get_indexer(frame["unit"])
    mine = np.asarray(frame["group"] == source.group, bool) & (place >= 0)
    code = np.where(mine, source.codes[place], -1)
    time = frame["time"].to_numpy(float)
    out = np.zeros(len(frame), bool)
    for block in blocks:
        times = source.times[block.columns]
        times = times if event is None else times[times == source.starts[block.code - 1] + event]
        out |= mine & np.isin(time, times) & ((code == block.code) | np.isin(code, block.others))
    return out
