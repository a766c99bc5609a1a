"""Several payment formulas on the same data: what each system would have earned, and how much of it noise alone would earn."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.panel import Array
from p4equity.evaluation.context import Context
from p4equity.incentive import Formula, Outcome, empirical_bayes
from p4equity.summaries.payment_cells import Key, registered_formulas
from p4equity.summaries.payment_world import Flags, Units, World

if TYPE_CHECKING:
    import pandas as pd

FORMULA_COLUMNS = (
    "formula_id", "label", "paid_on", "system_id", "n_cells", "units_paid", "score", "by_simulation", "by_comparison",
    "by_permutation", "as_much_by_permutation", "shrunken_score", "units_unpaid", "units_added", "units_moved", "units_stopped",
    "max_possible", "earned", "earned_per_month", "status", "reason",
)  # fmt: skip
CURVE_COLUMNS = ("formula_id", "label", "true_narrowing", "score", "monte_carlo_error")
LARGE = 0.25  # of the maximum: a change of the score that a system would feel
ALL = "all"


def payment_formula_tables(context: Context, hidden: Collection[Key] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(formulas, curve): each registered formula over all systems and system by system; its expected score by true narrowing.

    hidden: system, measure and group of cells that must not be told; they enter nothing. Scores are shares of what is at stake.
    `by_simulation`: expected when no rate truly changed and every cell has its own sampling errors, gates included: no shocks of
    systems, no regression from selection. `by_comparison`: what comparison systems would earn on the same measures without a
    contract. `by_permutation`: the mean over contract rows dealt anew among the eligible systems of a stratum, each paid for its
    own change; rows dealt back to their holders are paid for the effect. `as_much_by_permutation`: the share of such deals that
    earn as much as the true one. `earned_per_month`: USD for each member-month under a contract. Empty without [payment].
    """
    import pandas as pd

    plan = context.study.payment
    rows: list[dict[str, Any]] = []
    curve: list[dict[str, Any]] = []
    for own in registered_formulas(plan) if plan and context.study.groups.compared else []:
        world = World.of(context, own, hidden)
        rows += _rows(world)
        curve += _curve(world)
    formulas = pd.DataFrame(rows).reindex(columns=list(FORMULA_COLUMNS))
    counts = [c for c in FORMULA_COLUMNS if c.startswith(("n_", "units_"))]
    return formulas.astype(dict.fromkeys(counts, "Int64")), pd.DataFrame(curve).reindex(columns=list(CURVE_COLUMNS))


def _rows(world: World) -> list[dict[str, Any]]:
    """One row over all systems, and one a contracted system."""
    common = {"formula_id": world.own.id, "label": world.own.label, "paid_on": world.own.formula.statistic}
    seen = world.seen()
    system, stake = (np.concatenate([getattr(u, n) for u in seen] or [np.zeros(0)]) for n in ("system", "stake"))
    scores = [np.concatenate(world.scores(shrunken=s) or [np.zeros(0)]) for s in (False, True)]
    chance = np.concatenate(world.by_chance() or [np.zeros(0)])
    stopped = np.concatenate([_stopped(u, world.own.formula, world.shrink) for u in seen] or [np.zeros(0, bool)])
    out: list[dict[str, Any]] = []
    for name in [ALL, *(s for s in world.systems if (system == world.systems.index(s)).any())]:
        at = np.ones(len(system), bool) if name == ALL else system == world.systems.index(name)
        if not stake[at].sum() > 0:
            reason = "no cell has the minimum denominator"
            out.append({**common, "system_id": name, "status": "not_estimable", "reason": reason})
            continue
        row: dict[str, Any] = {**common, "system_id": name, "status": "ok", "reason": None}
        row |= _totals(world, scores[0][at], scores[1][at], chance[at], stake[at]) | {"units_stopped": int(stopped[at].sum())}
        months = world.months(None if name == ALL else name)
        if row["earned"] is not None and months > 0:
            row["earned_per_month"] = row["earned"] / months
        if name == ALL:
            row |= {"by_comparison": world.without_contract(), **_permuted(world, row["score"])}
        out.append(row)
    return out


def _totals(world: World, plain: Array, shrunken: Array, chance: Array, stake: Array) -> dict[str, Any]:
    paid = shrunken if world.shrink else plain
    known = world.context.study.measure_sets.spending is not None
    return {
        "n_cells": len(stake), "units_paid": int((paid > 0).sum()), "score": _share(paid, stake),
        "by_simulation": _share(chance, stake), "shrunken_score": _share(shrunken, stake),
        "units_unpaid": int(((plain > 0) & (shrunken <= 0)).sum()), "units_added": int(((plain <= 0) & (shrunken > 0)).sum()),
        "units_moved": int((np.abs(plain - shrunken) >= LARGE).sum()), "max_possible": float(stake.sum()) if known else None,
        "earned": float((paid * stake).sum()) if known else None,
    }  # fmt: skip


def _permuted(world: World, earned: float) -> dict[str, Any]:
    """Mean share earned when contract rows are dealt anew within strata, and the share of deals that earn as much."""
    draws = world.context.study.payment.draws if world.context.study.payment else 0
    rng = np.random.default_rng([world.context.seed(f"payment|{world.own.id}"), 0])
    deal = _deals(world.context.strata(world.systems), draws, rng)
    paid, stake = np.zeros(draws), np.zeros(draws)
    for units, own in zip(world.units, world.contracted, strict=True):
        held = np.unique(units.system[own])
        got = deal[:, held]  # who holds, in each deal, the rows of the systems that hold a contract on this measure
        at, there = _positions(units.system, got)
        gathered = units.of(at)
        mask = np.where(there, 1.0, np.nan)
        seen = gathered.seen
        outcome = Outcome(seen.improvement * mask, seen.reference_change, seen.group_change, seen.overall_change)
        improvement = outcome.improvement
        if world.shrink:
            improvement = empirical_bayes(improvement, gathered.variance * mask)
        scores = outcome.paid(np.nan_to_num(improvement, nan=-np.inf), world.own.formula, gathered.thrift)
        paid += (np.where(there, scores * gathered.stake, 0.0)).sum(axis=1)
        stake += np.where(there, gathered.stake, 0.0).sum(axis=1)
    share = np.divide(paid, stake, out=np.full(draws, np.nan), where=stake > 0)
    known = share[np.isfinite(share)]
    if not len(known):
        return {}
    return {"by_permutation": float(known.mean()), "as_much_by_permutation": float((known >= earned - 1e-12).mean())}


def _curve(world: World) -> list[dict[str, Any]]:
    """Expected score of all contracted units at each true narrowing of the plan."""
    plan = world.context.study.payment
    stake = np.concatenate([u.stake for u in world.seen()] or [np.zeros(0)])
    if plan is None or not stake.sum() > 0:
        return []
    out = []
    for true in plan.narrowing:
        share = np.concatenate(world.drawn(true), axis=1) @ stake / stake.sum()
        error = float(share.std(ddof=1) / np.sqrt(len(share)))
        what = {"formula_id": world.own.id, "label": world.own.label, "true_narrowing": float(true)}
        out.append({**what, "score": float(share.mean()), "monte_carlo_error": error})
    return out


def _stopped(units: Units, formula: Formula, shrink: bool) -> Flags:
    """Units that would be paid if it were not for the guards against leveling down."""
    free = replace(formula, reference_margin=None, group_gain=None)
    return np.asarray((units.paid(free, shrink) > 0) & ~units.seen.guarded(formula))


def _share(scores: Array, stake: Array) -> float:
    return float((scores * stake).sum() / stake.sum())


def _deals(strata: NDArray[np.int64], draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(draws, E) systems that hold the contract row of each system when rows are dealt anew within strata."""
    out = np.tile(np.arange(len(strata)), (draws, 1))
    for code in np.unique(strata):
        own = np.flatnonzero(strata == code)
        out[:, own] = rng.permuted(np.tile(own, (draws, 1)), axis=1)
    return out


def _positions(system: NDArray[np.int64], got: NDArray[np.int64]) -> tuple[NDArray[np.int64], Flags]:
    """(draws, n x most units) positions of the units of these systems, and which of them there are."""
    most = int(np.bincount(system).max())
    table = np.full((max(int(system.max()), int(got.max())) + 1, most), -1, np.int64)
    for s in np.unique(system):
        own = np.flatnonzero(system == s)
        table[s, : len(own)] = own
    at = table[got].reshape(len(got), -1)
    return np.maximum(at, 0), np.asarray(at >= 0)
