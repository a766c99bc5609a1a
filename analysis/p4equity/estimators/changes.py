"""Changes by unit: mean after minus mean before treatment, with the variance that sampling errors give them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from p4equity.errors import DataError
from p4equity.estimators.base import Array, Base, Dropped, Flags, Request
from p4equity.estimators.panels import Panel


@dataclass(frozen=True)
class Changes:
    """One change a unit.

    units: (n,) labels. treated: (n,). Y, V: (n, m) changes and sampling variances of each outcome. base: counts
    behind them, one an outcome. several: cohorts differ, so that exchanging labels would have to move dates too.
    """

    units: tuple[str, ...]
    treated: Flags
    Y: Array
    V: Array
    base: tuple[Base, ...]
    several: bool
    cohort: object
    dropped: tuple[Dropped, ...]


def windows(panel: Panel, request: Request) -> dict[float, float]:
    """Cohorts with a treated unit seen before and after, and their share of such units."""
    counts: dict[float, int] = {}
    for _, rows in panel.frame.groupby("unit", sort=True):
        c = float(rows["cohort"].iloc[0])
        t = rows["time"].to_numpy(float)
        if (t >= c).any() and (t < c - request.anticipation).any():
            counts[c] = counts.get(c, 0) + 1
    total = sum(counts.values())
    return {c: n / total for c, n in sorted(counts.items())}


def unit_changes(panel: Panel, request: Request) -> Changes:
    """Changes of all units of a panel of one group.

    A treated unit's change is the plain mean of its periods from its cohort on minus that of its periods before
    (those of anticipation left out). A never treated unit has no date of its own: its change is the average of its
    changes over the cohorts' dates, weighted by the cohorts' shares of treated units. With data of one period, the
    outcome is already the change.
    """
    one = panel.frame["time"].nunique() == 1
    share = {} if one else windows(panel, request)
    rows_used = np.zeros(len(panel.frame), bool)
    units, treated, Y, V, dropped = [], [], [], [], []
    for unit, rows in panel.frame.groupby("unit", sort=True):
        index = rows.index.to_numpy()
        c = float(rows["cohort"].iloc[0])
        plan = {c: 1.0} if not np.isnan(c) else share
        weights, reason = (np.ones(len(rows)), "") if one else _weights(rows["time"].to_numpy(float), plan, request.anticipation)
        if one and len(rows) > 1:
            raise DataError(
                "several rows a unit", where=f"fit: data, unit {unit}", expected="one change a unit", found=f"{len(rows)} rows"
            )
        if reason:
            dropped.append(Dropped(str(unit), "", reason))
            continue
        rows_used[index] = weights != 0
        units.append(str(unit))
        treated.append(not np.isnan(c))
        Y.append(weights @ panel.Y[index])
        V.append(weights**2 @ panel.errors[index] ** 2)
    m = len(panel.outcomes)
    arm = np.array(treated, bool)
    used = panel.frame[rows_used]
    starts = used["cohort"].dropna().unique()
    cohort = panel.cohorts.get(float(starts[0])) if len(starts) == 1 and request.time is not None else None
    base = tuple(_base(panel, rows_used, j, arm) for j in range(m))
    shape = (len(units), m)
    return Changes(
        tuple(units), arm, np.array(Y).reshape(shape), np.array(V).reshape(shape), base, len(starts) > 1, cohort, tuple(dropped)
    )


def _weights(t: Array, plan: dict[float, float], anticipation: int) -> tuple[Array, str]:
    """Weight of each period in the change, and why there is none."""
    out = np.zeros(len(t))
    for c, share in plan.items():
        after, before = t >= c, t < c - anticipation
        if not after.any():
            return out, "no period after treatment"
        if not before.any():
            return out, "no period before treatment"
        out += share * (after / after.sum() - before / before.sum())
    return out, "" if plan else "no treated unit to take dates from"


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
    return Changes(tuple(common), arm, Y, V, base, any(p.several for p in parts), parts[0].cohort, dropped)


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
