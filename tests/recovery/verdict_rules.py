"""Rules for verdicts on who moved, over draws of whole cell tables: how often each errs at any truth, and what each finds.

The bounds of one draw without effects give those of any effects: an effect shifts all bounds of contracted cells and leaves their
width (variances change a little with rates, which is not counted). So one set of draws answers for every pair of effects on
reference and group. Rules differ in the level of the three intervals alone:

simultaneous: registered; three intervals that hold together. one_sided: the three bounds of one verdict hold together, whichever
sides they are (Bonferroni). each: every condition by its own 95% interval, that is 2.5% one-sided, as an intersection-union test.
each_90: the same by 90% intervals, that is 5%. The report also gives no verdict where an arm has fewer than three systems.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from p4equity.disparity.leveling import (
    CANNOT_TELL,
    EQUAL_LIFT,
    GROUP_LOSES,
    LEVELING_DOWN,
    LEVELING_UP,
    MIXED,
    OUTPACED,
    Bounds,
    verdict,
)
from p4equity.evaluation import leveling
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import Context
from p4equity.inference.two_sides import pointwise_level, two_sides
from p4equity.study import Study
from simulation import Setting, _sampler

TABLE = Path(__file__).with_name("verdict_rules.csv")
SEED, POOLED, METHOD = 20221215, "pooled", "averaged_t"
RULES = {"simultaneous": pointwise_level(0.95), "one_sided": 1 - 2 * 0.05 / 3, "each": 0.95, "each_90": 0.90}
# Effects on reference and group, points: nothing; the default scenario's on colorectal screening; published before any contract
# (blood pressure control, A1c control); the scenario `leveling_down`, 1.5 and 2.5 times the first of these.
POINTS = {
    "nothing": (0.0, 0.0), "default": (-4.0, 0.0), "published_bp": (-5.4, -2.6), "published_a1c": (-6.5, -2.1),
    "leveling_down": (-8.1, -3.9), "2.5 x published_bp": (-13.5, -6.5),
}  # fmt: skip
GRID = np.arange(-8.0, 8.01, 0.5)
Array = NDArray[np.float64]


def bounds_of(setting: Setting, number: int) -> dict[str, Array]:
    """By question: (3, 2 x rules) lower and upper limits of reference, group and gap under each rule, in one draw."""
    study, sampler = _sampler(setting)
    cell, overlap = sampler.draw(np.random.default_rng([SEED, number]))
    context = Context(study, cell, overlap, "", "")
    asked = study.analysis("leveling").model_copy(update={"groups": "pooled", "outcome": "gap"})
    pairs = baseline_series(context, context.variant(asked))
    tails = np.array([p for level in RULES.values() for p in ((1 - level) / 2, (1 + level) / 2)])
    found = {}
    for measure in (POOLED, *study.measure_ids("contracted")):
        if measure == POOLED:
            made = leveling._pooled(context, asked, METHOD)
        else:
            made = leveling._single(context, asked, measure, tuple(g for m, g in pairs if m == measure), METHOD)
        laws = two_sides(made.design, made.reference, made.group).laws
        found[measure] = np.stack([law.quantile(tails) for law in laws])
    return found


def kinds(limits: Array, effects: tuple[float, float], margin: float) -> NDArray[np.str_]:
    """(R,) verdicts of R draws whose limits without effects are (R, 3, 2), when the effects are these. As in `verdict`."""
    low, high = (limits[:, :, k] + np.array([*effects, effects[0] - effects[1]]) for k in (0, 1))
    falls, far, keeps = high[:, 0] < 0, high[:, 0] < -margin, low[:, 0] >= -margin
    gains, none = low[:, 1] >= margin, (low[:, 1] < margin) & (high[:, 1] < margin)
    narrows, widens = high[:, 2] < 0, low[:, 2] > 0
    said = {
        LEVELING_DOWN: narrows & falls & none, MIXED: narrows & far & gains, LEVELING_UP: narrows & keeps & gains,
        OUTPACED: widens & gains, GROUP_LOSES: widens & ~gains & (high[:, 1] < 0),
        EQUAL_LIFT: ~narrows & ~widens & gains & (low[:, 2] > -margin) & (high[:, 2] < margin),
    }  # fmt: skip
    return np.select(list(said.values()), list(said), CANNOT_TELL)


def one_by_one(limits: Array, effects: tuple[float, float], margin: float) -> list[str]:
    """The same by the package's own function."""
    moved = np.asarray(limits) + np.array([*effects, effects[0] - effects[1]])[:, None]
    sides = [[Bounds(float(b.mean()), *map(float, b)) for b in draw] for draw in moved]
    return [verdict(gap, reference, group, margin) for reference, group, gap in sides]


def true_kinds(effects: tuple[float, float], margin: float) -> set[str]:
    """Verdicts that are right when the effects are these; of the kinds of narrowing at most one."""
    reference, group = effects
    gap = reference - group
    right = {
        LEVELING_DOWN: gap < 0 and reference < 0 and group < margin, MIXED: gap < 0 and reference < -margin and group >= margin,
        LEVELING_UP: gap < 0 and reference >= -margin and group >= margin, OUTPACED: gap > 0 and group >= margin,
        GROUP_LOSES: gap > 0 and group < 0, EQUAL_LIFT: abs(gap) < margin and group >= margin, CANNOT_TELL: True,
    }  # fmt: skip
    return {kind for kind, holds in right.items() if holds}


def worst(limits: Array, margin: float) -> tuple[float, float, float]:
    """Largest share of draws with a wrong verdict at any truth of the grid, and that truth; edges from both sides."""
    nudges = ((0.0, 0.0), (1e-6, 0.0), (0.0, 1e-6), (0.0, -1e-6))
    truths = [(r + a, g + b) for r in GRID for g in GRID for a, b in nudges]
    errors = [(float(1 - np.isin(kinds(limits, t, margin), list(true_kinds(t, margin))).mean()), *t) for t in truths]
    return max(errors)


def table(setting: Setting, study: Study, draws: int) -> pd.DataFrame:
    """One row a question and rule: worst error, where, and the share of draws called leveling down at the planted points."""
    assert study.leveling is not None
    margin, drawn = study.leveling.margin, [bounds_of(setting, i) for i in range(draws)]
    rows = []
    for question in drawn[0]:
        every = np.array([one[question] for one in drawn])
        for k, (rule, level) in enumerate(RULES.items()):
            limits = every[:, :, 2 * k : 2 * k + 2]
            wrong, reference, group = worst(limits, margin)
            nothing = (kinds(limits, (0.0, 0.0), margin) != CANNOT_TELL).mean()
            found = {name: (kinds(limits, effects, margin) == LEVELING_DOWN).mean() for name, effects in POINTS.items()}
            rows.append(
                {
                    "question": question, "rule": rule, "level": level, "wrong_at_worst": wrong, "worst_reference": reference,
                    "worst_group": group, "announced_with_nothing": nothing, **found, "draws": draws, "seed": SEED,
                    "date": date.today().isoformat(),
                }
            )  # fmt: skip
    return pd.DataFrame(rows).round(4)
