"""Group-time triple differences: three differences-in-differences against each comparison cohort, combined by precision."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from p4equity.errors import UsageError
from p4equity.estimators.base import Array, Flags, Request
from p4equity.estimators.group_time import aggregation
from p4equity.estimators.group_time_blocks import Block
from p4equity.estimators.group_time_cells import NEVER, Cell, CellEstimate, Plan, Sample, compare, failed, sums
from p4equity.estimators.group_time_rows import answer
from p4equity.estimators.group_time_sample import complete, eligible, planned, sample, settings, weight_notes
from p4equity.estimators.influence import InfluenceEstimate
from p4equity.estimators.panels import compared_groups, plain_panel
from p4equity.estimators.path_options import PATH_OPTIONS
from p4equity.estimators.tidy import Cells

OPTIONS = ("base_period", "panel", "unbalanced", "fix_weights", "draws", *PATH_OPTIONS)
SINGULAR = 1e-12  # smallest share of the largest eigenvalue of the comparisons' correlation
LONELY = "as comparison has one unit in a group: its own variance is not seen, so that it counts too much"


@dataclass(frozen=True)
class _Against:
    """A cell's triple difference against one comparison cohort: effect, influence by row (N,), covariates that add nothing."""

    cohort: float
    att: float
    influence: Array
    idle: tuple[int, ...]
    alone: bool  # one unit of a group in the comparison cohort: its own variance is not seen


def estimate_triple(cells: Cells, request: Request) -> InfluenceEstimate:
    """The estimate of `triple_difference` with method dr, reg or ipw: see there."""
    options, kind = settings(request), aggregation(request)
    if request.cluster2 is not None:
        raise UsageError("two-way clustering needs the regression", where="fit: cluster", expected="one column", found="two")
    reference, groups = compared_groups(cells.frame, request)
    panel, notes = eligible(plain_panel(cells, "gap", (reference, *groups)), request)
    panel, balanced, more = complete(panel, request, options)
    notes += more + weight_notes(panel, balanced, options, request)
    side = np.asarray(panel.column("group") != reference, bool)
    wanted = [("pooled", side | ~side)] if len(groups) > 1 else []
    wanted += [(g, np.asarray((panel.column("group") == g) | ~side, bool)) for g in groups]
    names = {float(c): f"cohort {label}" for c, label in panel.cohorts.items()} | {NEVER: "units never treated"}
    blocks = []
    for label, rows in wanted:
        part = sample(panel, balanced, options, rows, side)
        blocks.append(
            Block(label, rows, part, [_cell(part, c, options.plan, names) for c in planned(part, request, options)], side)
        )
    return answer(panel, blocks, request, kind, notes, pooled=False)


def _cell(part: Sample, cell: Cell, plan: Plan, names: dict[float, str]) -> CellEstimate:
    """A cell: one comparison cohort as it is, several combined with the weights that make the variance smallest.

    With Omega the covariance of the comparisons' influence, the weights are Omega^-1 1 / (1' Omega^-1 1). Where units are the
    clusters, the printed error of a combined cell, and of the only cell of two periods, carries triplediff's n / (n - 1).
    """
    found, without = [], {}
    for cohort in cell.comparison:
        against, reason = _against(part, cell, cohort, plan)
        if against is None:
            without[cohort] = reason
        else:
            found.append(against)
    if not found:
        return failed(part, cell, "; ".join(dict.fromkeys(without.values())) or "no comparison unit in its period")
    psi = np.stack([a.influence for a in found], axis=1)
    n = int(part.unit.max()) + 1
    v, reason = _precision(sums(part.unit, psi, n))
    if reason:
        return failed(part, cell, reason)
    factor = np.sqrt(n / (n - 1)) if part.clusters == n and (len(found) > 1 or len(part.times) == 2) else 1.0
    notes = [f"{names[cell.g]} is not compared with {names[c]}: {reason}" for c, reason in without.items()]
    notes += [f"{names[a.cohort]} {LONELY}" for a in found if a.alone and len(found) > 1]
    idle = tuple(sorted({j for a in found for j in a.idle}))
    used = replace(cell, comparison=tuple(a.cohort for a in found))
    att = np.array([-float(v @ [a.att for a in found])])
    return CellEstimate(used, att, sums(part.cluster, -(psi @ v)[:, None], part.clusters), "", idle, tuple(notes), float(factor))


def _precision(psi: Array) -> tuple[Array, str]:
    """Weights (k,) of comparisons with influence (n, k), and why there are none."""
    if psi.shape[1] == 1:
        return np.ones(1), ""
    omega = psi.T @ psi
    scale = np.sqrt(np.diag(omega))
    if not scale.min() > 0:
        return np.zeros(0), "a comparison cohort does not vary, so that comparisons cannot be weighed"
    values = np.linalg.eigvalsh(omega / np.outer(scale, scale))
    if values[0] <= SINGULAR * values[-1]:
        return np.zeros(0), "the comparisons with different cohorts are collinear: too few units"
    v = np.linalg.solve(omega, np.ones(len(omega)))
    return np.asarray(v / v.sum()), ""


def _against(part: Sample, cell: Cell, cohort: float, plan: Plan) -> tuple[_Against | None, str]:
    """Compared group of the treated cohort against its reference group, and against both groups of a comparison cohort."""
    of, other = part.cohort == cell.g, part.cohort == cohort
    arms: list[Flags] = [of & part.compared, of & ~part.compared, other & part.compared, other & ~part.compared]
    if reason := _empty(part, cell, arms):
        return None, reason
    att, influence, idle = 0.0, np.zeros(len(part.w)), set()
    for arm, sign in zip(arms[1:], (1, 1, -1), strict=True):
        result, rows = compare(part, cell, arms[0], arm, plan)
        if result.reason:
            return None, result.reason
        att += sign * float(result.att[0])
        influence[rows] += sign * result.influence[:, 0]
        idle |= set(result.idle)
    alone = any(len(np.unique(part.unit[arm])) == 1 for arm in arms[2:])
    return _Against(cohort, att, influence, tuple(sorted(idle)), alone), ""


def _empty(part: Sample, cell: Cell, arms: list[Flags]) -> str:
    """Why a triple difference misses one of its four groups, or ''."""
    names = ("compared group", "reference group", "compared group", "reference group")
    for i, (arm, name) in enumerate(zip(arms, names, strict=True)):
        for t in (cell.t, cell.base):
            if not (arm & (part.time == t)).any():
                return f"no {name} among the {'treated' if i < 2 else 'comparison'} units"
    return ""
