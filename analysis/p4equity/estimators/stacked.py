"""Stacked difference-in-differences: one sub-experiment a cohort, with weights that keep their mix the same at all times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from p4equity.errors import UsageError
from p4equity.estimators.base import Array, Base, Flags, Request, Term, estimand
from p4equity.estimators.event_study import reference_period
from p4equity.estimators.linear import CLUSTER_ROBUST, METHODS, OF_LEADS, OF_VARIANCE, Fit, LinearEstimate, regress
from p4equity.estimators.panels import Panel, build
from p4equity.estimators.stacking import Stack, stack_panel
from p4equity.estimators.tidy import Cells
from p4equity.estimators.values import codes

OPTIONS = ("variance", *OF_VARIANCE, *OF_LEADS, "draws", "window", "reference_period")
INFERENCES, VARIANCES, TWO_WAY = METHODS, CLUSTER_ROBUST, True
NO_PERMUTATION = "permutation is of one difference in changes, not of stacked cohorts: use did or meta_regression"


def estimate(cells: Cells, request: Request) -> LinearEstimate:
    """Average effect on treated units by period since treatment, over cohorts whose whole window is observed.

    For each cohort a the sub-experiment of its units and clean comparison units (comparison="never": never treated;
    "not_yet": also units treated after a + post) in periods a - pre to a + post; y = b_e 1{treated, event time e} +
    treated + event time, weighted, over all stacked rows. Weights: treated rows their own, comparison rows their own
    times (N^D_ae / N^D_e) / (N^C_ae / N^C_e), N sums of weights of treated (D) and comparison (C) rows at e in
    sub-experiment a and in all: each b_e is then the average of the cohorts' effects by their shares of the treated (the
    trimmed aggregate effect), and cohorts do not enter or leave between event times. Rows: `att`, the plain average of
    b_e over e >= 0; the joint test of the leads; each b_e with pointwise and simultaneous limits; aggregate="cohort" adds
    each sub-experiment alone. Own options: window = (pre, post), by default the widest that every cohort has;
    reference_period (-1, before anticipation); joint_test, and those of errors and bootstrap, as in event_study. Cohorts
    whose window does not fit into the data, or that have no clean comparison unit, are left out, with a row that says so. A
    unit that serves several sub-experiments is one cluster. With a group: gap, reference and group from one regression with
    the gap's weights; several groups: their plain average first. Assumptions: parallel trends of each cohort and its
    comparison units within the window, no anticipation before the reference period.
    Source: Wing, Freedman and Hollingsworth (2024), sections 3 and 4. Reference cases: diff-diff's StackedDiD on the
    castle doctrine and on an unbalanced staggered panel, and the sub-experiments themselves (tests/reference/stacked).
    """
    if request.aggregate not in (None, "cohort"):
        raise UsageError("unknown aggregation", where="fit: aggregate", expected="None or 'cohort'", found=request.aggregate)
    panel = build(cells, replace(request, anticipation=0))
    panel, stack = stack_panel(panel, window_of(panel, request), request)
    treated_event = np.where(stack.treated, stack.event, np.nan)
    reference = reference_period(treated_event, request)
    levels = [float(e) for e in np.unique(stack.event) if e != reference]
    if not any(e >= 0 for e in levels):
        found = ", ".join(f"{e:.0f}" for e in levels) or "none"
        raise UsageError("no event time after treatment", where="fit: window", expected="0 or later", found=found)
    fits, terms = [_fit(panel, stack, levels, request)], list(_Rows(panel, stack, levels, reference, request).terms(0, None))
    if request.aggregate == "cohort":
        for cohort in np.unique(stack.cohort):
            part = stack.take(stack.cohort == cohort)
            own = [e for e in levels if (part.treated & (part.event == e)).any()]
            if not any(e >= 0 for e in own):
                continue
            terms += _Rows(panel, part, own, reference, request).terms(len(fits), float(cohort))
            fits.append(_fit(panel, part, own, request))
    return LinearEstimate(tuple(terms), panel.dropped, panel.unbalanced, tuple(fits), no_permutation=NO_PERMUTATION)


def window_of(panel: Panel, request: Request) -> tuple[float, float]:
    """Periods before and after each cohort's start: those given, else the most that every cohort has."""
    given: Any = request.own.get("window")
    if given is None:
        starts, times = np.sort(panel.frame.loc[panel.treated, "cohort"].unique()), panel.frame["time"]
        last = np.inf
        if request.comparison == "not_yet" and not panel.frame["cohort"].isna().any() and len(starts) > 1:
            starts, last = starts[:-1], float(starts[-1])  # the last cohort can only be compared with, until it starts
        post = min(float(times.max() - starts.max()), last - float(starts.max()) - 1 - request.anticipation)
        return float(starts.min() - times.min()), max(post, 0.0)
    numbers = list(given) if isinstance(given, list | tuple | np.ndarray) else []
    valid = [isinstance(v, int | float | np.number) and not isinstance(v, bool) and float(v) % 1 == 0 for v in numbers]
    whole = [float(v) for v, fine in zip(numbers, valid, strict=True) if fine]
    if len(numbers) != 2 or len(whole) != 2 or abs(whole[0]) < 1 + request.anticipation or whole[1] < 0:
        least = 1 + request.anticipation
        expected = f"(periods before, periods after), at least ({least}, 0)"
        raise UsageError("not a window", where="fit: window", expected=expected, found=repr(given))
    return abs(whole[0]), whole[1]


def _fit(panel: Panel, stack: Stack, levels: list[float], request: Request) -> Fit:
    frame = panel.frame
    group, x = panel.column("group")[stack.row], panel.covariates()[stack.row]
    at = [stack.treated & (stack.event == e) & (group == g) for g in panel.groups for e in levels]
    second = panel.second_cluster
    return regress(
        panel.Y[stack.row],
        np.stack(at, axis=1).astype(float),
        x,
        effects=[codes(stack.treated, group), codes(stack.event, group)],
        cluster=panel.column("cluster")[stack.row],
        weights=stack.weight,
        names=[f"{g} {e:+.0f}" for g in panel.groups for e in levels] + [f"x{j}" for j in range(x.shape[1])],
        n_obs=int(frame["rows"].to_numpy(float)[stack.row].sum()),
        cluster2=None if second is None else second[stack.row],
        request=request,
    )


@dataclass(frozen=True)
class _Rows:
    """Terms of one stacked regression."""

    panel: Panel
    stack: Stack
    levels: list[float]
    reference: float
    request: Request

    def terms(self, fit: int, cohort: float | None) -> tuple[Term, ...]:
        """Averages after treatment first, then tests, then event times; of one cohort its average alone."""
        size, group = len(self.panel.groups), self.panel.column("group")[self.stack.row]
        blocks = [("pooled", np.full(size, 1 / size), np.ones(len(group), bool))] if size > 1 else []
        blocks += [(g, np.eye(size)[i], np.asarray(group == g, bool)) for i, g in enumerate(self.panel.groups)]
        out: list[tuple[int, Term]] = []
        for label, weights, rows in blocks:
            for j, name in enumerate(self.panel.outcomes):
                out += self._block(label, weights, rows, (fit, j, name))
        kept = [(rank, t) for rank, t in out if cohort is None or rank == 0]
        return tuple(t for _, t in sorted(kept, key=lambda pair: pair[0]))

    def _block(self, label: str, weights: Array, rows: Flags, which: tuple[int, int, str]) -> list[tuple[int, Term]]:
        fit, j, name = which
        k = len(self.levels)
        single = [np.kron(weights, np.eye(k)[i]) for i in range(k)]
        after = [i for i, e in enumerate(self.levels) if e >= 0]
        before = [i for i, e in enumerate(self.levels) if e < -self.request.anticipation]
        starts = np.unique(self.stack.cohort[rows])
        cohort = self.panel.cohorts[float(starts[0])] if len(starts) == 1 else None
        base = self._base(rows, self.stack.event >= 0, j)
        out = [(0, Term(estimand("att", name), np.mean([single[i] for i in after], axis=0), base, fit, j, label, cohort))]
        leads = np.stack([single[i] for i in before]) if before else np.zeros((0, k * len(self.panel.groups)))
        reason = "" if before else "not available, because there is no period before the reference period"
        out.append((1, Term(estimand("pretrend", name), leads, base, fit, j, label, cohort, joint=True, reason=reason)))
        for i, e in enumerate(self.levels):
            at = self._base(rows, self.stack.event == e, j)
            period = self.panel.labels.get(float(starts[0]) + e) if len(starts) == 1 else None
            named, band = None if period is None else str(period), f"{label} {name}"
            out.append((2, Term(estimand("att", name), single[i], at, fit, j, label, cohort, e, named, band=band)))
        return out

    def _base(self, rows: Flags, target: Flags, j: int) -> Base:
        """Counts of the panel's rows behind a term, each once; treated clusters of the target rows."""
        stack, cluster = self.stack, self.panel.column("cluster")
        used = np.zeros(len(self.panel.frame), bool)
        used[stack.row[rows]] = True
        return replace(
            self.panel.base(used, j),
            n_clusters=len(set(cluster[stack.row[rows]])),
            n_treated_clusters=len(set(cluster[stack.row[rows & target & stack.treated]])),
            n_comparison_clusters=len(set(cluster[stack.row[rows & ~stack.treated]])),
        )
