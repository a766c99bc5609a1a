"""Changes by unit: mean after minus mean before treatment, with the variance that sampling errors give them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.errors import DataError
from p4equity.estimators.base import Array, Base, Dropped, Flags, Request
from p4equity.estimators.panels import Panel


@dataclass(frozen=True)
class Changes:
    """One change a unit.

    units: (n,) labels. treated: (n,). Y, V: (n, m) changes and sampling variances of each outcome. base: counts
    behind them, one an outcome. several: cohorts differ, so that exchanging labels would have to move dates too. strata:
    (n,) codes within which labels may be exchanged. scale: size of the outcomes, beside which a change may be rounding.
    """

    units: tuple[str, ...]
    treated: Flags
    Y: Array
    V: Array
    base: tuple[Base, ...]
    several: bool
    cohort: object
    dropped: tuple[Dropped, ...]
    strata: NDArray[np.int64] | None = None
    scale: float = 0.0


def unit_changes(panel: Panel, request: Request) -> Changes:
    """Changes of all units of a panel of one group.

    A treated unit's change is the plain mean of its periods from its cohort on minus that of its periods before
    (those of anticipation left out). A never treated unit has no date of its own: its change is the average of its
    changes over the cohorts' dates, weighted by the cohorts' shares of treated units. With data of one period, the
    outcome is already the change.
    """
    frame = panel.frame
    position, units = pd.factorize(frame["unit"], sort=True)
    n = len(units)
    first = np.unique(position, return_index=True)[1]
    start = frame["cohort"].to_numpy(float)[first]
    if frame["time"].nunique() == 1:
        if n < len(frame):
            twice = str(units[np.bincount(position).argmax()])
            found = f"{np.bincount(position).max()} rows"
            raise DataError("several rows a unit", where=f"fit: data, unit {twice}", expected="one change a unit", found=found)
        weights, reasons = np.ones(len(frame)), np.full(n, "", object)
    else:
        weights, reasons = _weights(frame, position, start, request.anticipation)
    dropped = tuple(Dropped(str(u), "", str(r)) for u, r in zip(units, reasons, strict=True) if r)
    kept = reasons == ""
    rows_used = kept[position] & (weights != 0)
    Y = np.stack([np.bincount(position, weights * y, n) for y in panel.Y.T], axis=1)[kept]
    V = np.stack([np.bincount(position, (weights * e) ** 2, n) for e in panel.errors.T], axis=1)[kept]
    arm = ~np.isnan(start[kept])
    starts = frame[rows_used]["cohort"].dropna().unique()
    cohort = panel.cohorts.get(float(starts[0])) if len(starts) == 1 and request.time is not None else None
    base = tuple(_base(panel, rows_used, j, arm) for j in range(len(panel.outcomes)))
    strata = np.asarray(pd.factorize(frame["stratum"].to_numpy()[first][kept])[0], np.int64) if "stratum" in frame else None
    scale = float(np.abs(panel.Y[rows_used]).max(initial=0.0))
    return Changes(tuple(str(u) for u in units[kept]), arm, Y, V, base, len(starts) > 1, cohort, dropped, strata, scale)


def _weights(
    frame: pd.DataFrame, position: NDArray[np.intp], start: Array, anticipation: int
) -> tuple[Array, NDArray[np.object_]]:
    """Weight of each row in its unit's change, and why a unit has none ('' where it has)."""
    t, n = frame["time"].to_numpy(float), len(start)
    own = start[position]
    weights, both = _around(t, own, anticipation, position, n)
    reasons = np.full(n, "", object)
    treated = ~np.isnan(start)
    reasons[treated & ~both[1]], reasons[treated & ~both[0]] = "no period before treatment", "no period after treatment"
    cohorts, counts = np.unique(start[treated & both[0] & both[1]], return_counts=True)
    never = ~treated
    if not len(cohorts):
        reasons[never] = "no treated unit to take dates from"
    for c, share in zip(cohorts, counts / max(counts.sum(), 1), strict=True):
        part, both = _around(t, np.where(never[position], c, np.nan), anticipation, position, n)
        weights = weights + share * part
        open_ = never & (reasons == "")
        reasons[open_ & ~both[1]], reasons[open_ & ~both[0]] = "no period before treatment", "no period after treatment"
    return weights, reasons


def _around(t: Array, start: Array, anticipation: int, position: NDArray[np.intp], n: int) -> tuple[Array, tuple[Flags, Flags]]:
    """Weights of a mean after `start` less a mean before it, by unit, and which units have periods after, and before."""
    after, before = t >= start, t < start - anticipation
    n1, n0 = np.bincount(position, after, n), np.bincount(position, before, n)
    weights = after / np.maximum(n1, 1)[position] - before / np.maximum(n0, 1)[position]
    return np.asarray(weights), (n1 > 0, n0 > 0)


def _base(panel: Panel, rows: Flags, outcome: int, arm: Flags) -> Base:
    from dataclasses import replace

    base = panel.base(rows, outcome)
    return replace(base, n_clusters=len(arm), n_treated_clusters=int(arm.sum()), n_comparison_clusters=int((~arm).sum()))


def average_over_groups(parts: list[Changes]) -> Changes:
    """Plain average of the groups' changes in units that have them all; the reference group's error is shared."""
    common = sorted(set.intersection(*(set(p.units) for p in parts)))
    rows = [[p.units.index(u) for u in common] for p in parts]
    Y = np.mean([p.Y[r] for p, r in zip(parts, rows, strict=True)], axis=0)
    se = [np.sqrt(p.V[r]) for p, r in zip(parts, rows, strict=True)]
    reference = np.mean([s[:, 1] for s in se], axis=0) ** 2
    group = np.sum([s[:, 2] ** 2 for s in se], axis=0) / len(parts) ** 2
    V = np.stack([reference + group, reference, group], axis=1)
    arm = parts[0].treated[rows[0]]
    left = sorted(set.union(*(set(p.units) for p in parts)) - set(common))
    dropped = tuple(Dropped(u, "", "not in the average over groups: one group has no change") for u in left)
    base = tuple(_joined([p.base[j] for p in parts], arm) for j in range(Y.shape[1]))
    strata = None if parts[0].strata is None else parts[0].strata[rows[0]]
    several, scale = any(p.several for p in parts), max(p.scale for p in parts)
    return Changes(tuple(common), arm, Y, V, base, several, parts[0].cohort, dropped, strata, scale)


def _joined(bases: list[Base], arm: Flags) -> Base:
    frame = pd.DataFrame([vars(b) for b in bases])
    return Base(
        float("nan"),
        int(frame["n_cells"].sum()),
        float(frame["first_year"].min()),
        float(frame["last_year"].max()),
        len(arm),
        int(arm.sum()),
        int((~arm).sum()),
    )
