"""Where the gap of an arm's members lies: within systems, which a contract can act on, or in where the groups are treated.

Made of released cells alone: its weights are shares of members, so that with a hidden cell in it the table would tell that cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from p4equity.diagnostics.findings import primary_analysis
from p4equity.dictionary import load_dictionary
from p4equity.disparity.decomposition import coefficients
from p4equity.disparity.panel import Array, Panel, rate_covariance
from p4equity.estimates import NOT_ESTIMABLE, OK
from p4equity.evaluation.baseline import baseline_series
from p4equity.evaluation.context import POINTS, Context, no_arm
from p4equity.summaries.rates import COMPARISON, CONTRACTED

if TYPE_CHECKING:
    import pandas as pd

PERIODS = ("before", "after", "change")
PARTS = ("gap", "within", "between")
FEW = "fewer than two systems have a released cell in every year: nothing lies between systems"
Windows = Mapping[str, tuple[Sequence[int], Sequence[int]]]
Weights = dict[str, dict[str, Array]]  # part -> group -> (S, T): what each yearly rate counts for


@dataclass(frozen=True)
class _Question:
    """One measure and group in one arm: the systems that enter (S,), of how many, and their windows."""

    panel: Panel
    measure: str
    reference: str
    group: str
    enters: NDArray[np.bool_]
    members: int
    windows: Windows

    @property
    def den(self) -> dict[str, Array]:
        """(S, T) members of both groups in the systems that enter."""
        groups = (self.reference, self.group)
        return {g: np.where(self.enters[:, None], self.panel.den[:, self.panel.index(self.measure, g)], 0.0) for g in groups}


def within_between_table(context: Context, cells: pd.DataFrame) -> pd.DataFrame:
    """Gap, its part within and its part between systems, before, after and their change, by measure, group and arm, in points.

    cells: the cells of the primary variant after disclosure control, with `status`. Groups: those with a baseline gap. A system
    enters when both its cells are released and reach the minimum denominator in every year of its window; a year holds the
    systems whose window it belongs to, with their shares of its members, so a system that leaves moves the part between systems.
    Shares are taken as known: both parts are then linear in the rates, and their sampling errors exact.
    """
    import pandas as pd

    analysis, reference = primary_analysis(context), str(context.study.groups.reference)
    panel = context.panel(context.variant(analysis))
    hidden = cells[cells["status"] != OK]
    closed = set(zip(hidden["system_id"], hidden["measure_id"], hidden["group"], hidden["year"], strict=True))
    rows: list[dict[str, Any]] = []
    for measure, group in baseline_series(context, context.variant(analysis)):
        arms = context.arms(analysis, measure)
        if measure not in context.study.measure_sets.contracted or no_arm(arms, measure):
            continue
        windows = context.windows(analysis, arms)
        for arm, systems in ((CONTRACTED, tuple(arms.treated)), (COMPARISON, arms.comparison)):
            enters = np.array([s in systems and _open(context, panel, measure, (reference, group), s, windows[s], closed)
                               for s in panel.systems])  # fmt: skip
            asked = _Question(panel, measure, reference, group, enters, len(systems), windows)
            rows += [{"measure_id": measure, "group": group, "arm": arm, **row} for row in _rows(asked)]
    return pd.DataFrame(rows, columns=list(load_dictionary().table("gap_parts").names))


def _open(
    context: Context,
    panel: Panel,
    measure: str,
    groups: Sequence[str],
    system: str,
    window: tuple[Sequence[int], Sequence[int]],
    closed: set[tuple[str, str, str, int]],
) -> bool:
    """Whether both groups' cells are released and large enough in every year of a system's window."""
    years = [*window[0], *window[1]]
    minimum, s = max(context.study.inference.minimum_denominator, 1), panel.systems.index(system)
    at = [panel.years.index(t) for t in years]
    large = all((panel.den[s, panel.index(measure, g)][at] >= minimum).all() for g in groups)
    return bool(window[0] and window[1]) and large and not any((system, measure, g, t) in closed for g in groups for t in years)


def _rows(asked: _Question) -> list[dict[str, Any]]:
    """Before, after and change of one arm, or why there is none."""
    n = int(asked.enters.sum())
    head = {"n_clusters": n, "systems_left_out": asked.members - n}
    if n < 2:
        return [{**head, "period": p, "status": NOT_ESTIMABLE, "reason": FEW} for p in PERIODS]
    before, after = (_weights(asked, at) for at in (0, 1))
    change = {part: {g: after[part][g] - before[part][g] for g in after[part]} for part in PARTS}
    return [
        {**head, "period": name, **_answer(asked, weights), "status": OK, "reason": None}
        for name, weights in zip(PERIODS, (before, after, change), strict=True)
    ]


def _weights(asked: _Question, at: int) -> Weights:
    """What each yearly rate counts for in the gap and in both parts, averaged over the years of one period."""
    panel = asked.panel
    window = np.array([[t in asked.windows[s][at] if s in asked.windows else False for t in panel.years] for s in panel.systems])
    den = {g: np.where(window, n, 0.0) for g, n in asked.den.items()}
    years = max(int(den[asked.reference].any(axis=0).sum()), 1)
    share = {g: np.divide(n, n.sum(axis=0), out=np.zeros_like(n), where=n.sum(axis=0) > 0) / years for g, n in den.items()}
    a, b = share[asked.reference], share[asked.group]
    counts = coefficients(a, b)
    return {
        "gap": {asked.reference: a, asked.group: -b},
        "within": {asked.reference: counts.within, asked.group: -counts.within},
        "between": {asked.reference: counts.between, asked.group: counts.between},
    }


def _answer(asked: _Question, weights: Weights) -> dict[str, float]:
    """Each part in points, and its sampling error."""
    panel = asked.panel
    out: dict[str, float] = {}
    rate = np.nan_to_num(panel.rate)
    for part, by_group in weights.items():
        value, variance = 0.0, 0.0
        for group, w in by_group.items():
            value += float((w * rate[:, panel.index(asked.measure, group)]).sum())
            for s in np.flatnonzero(w.any(axis=1)):
                variance += float(w[s] @ rate_covariance(panel, int(s), group, asked.measure, asked.measure) @ w[s])
        out |= {part: POINTS * value, f"se_{part}": POINTS * float(np.sqrt(variance))}
    return out
