"""Decomposition of the two-way estimate into comparisons of two timing groups: a diagnostic of staggered adoption."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from p4equity.errors import UsageError
from p4equity.estimators.base import Answer, Dropped, Estimate, Flags, Request, Term, estimand
from p4equity.estimators.decomposition import Balanced, Comparison, with_covariates, without_covariates
from p4equity.estimators.did import by_group
from p4equity.estimators.linear import Fit, pad, regress
from p4equity.estimators.panels import Panel, check_arms, gap_panel, plain_panel, two_sided, unbalanced, without_anticipation
from p4equity.estimators.tidy import Cells

OPTIONS: tuple[str, ...] = ()
INFERENCES = ("none",)
NOT_BALANCED = "the decomposition needs every unit in every period; missing: {}"
NOT_CONSTANT = "the decomposition needs weights that do not change over time within a unit; they do in {}"
NO_PAIR = "no two timing groups to compare in this group"
ABSORBED = "treatment is collinear with effects or covariates: the two-way estimate is not identified"
THROUGHOUT = (
    "units treated throughout serve as comparison here, as in the two-way regression of all rows; did leaves them out: {}"
)


@dataclass(frozen=True)
class Decomposition(Estimate):
    """Result: the value and the unit of each term. records: the comparisons, for attrs."""

    values: tuple[tuple[float, str], ...]
    records: tuple[dict[str, object], ...]
    notes_: tuple[str, ...]

    def answers(self, inference: str, request: Request) -> list[tuple[Term, Answer]]:  # noqa: ARG002
        """Numbers without error."""
        pairs = zip(self.terms, self.values, strict=True)
        return [(t, Answer(reason=t.reason) if t.reason else Answer(value, unit=unit)) for t, (value, unit) in pairs]

    def notes(self, request: Request) -> tuple[str, ...]:  # noqa: ARG002
        """Sentences about the whole estimate."""
        return self.notes_

    def attributes(self) -> dict[str, object]:
        """`comparisons`: a record of each, estimate beside weight."""
        return {"comparisons": [dict(r) for r in self.records]}


def estimate(cells: Cells, request: Request) -> Decomposition:
    """Effect of the two-way regression and the comparisons that it averages, with their weights.

    First row: `att`, the coefficient of `did` (y = b D + unit + period). Then, for each kind of comparison and for each
    comparison, two rows: its estimate (estimand `treated_vs_untreated`, `earlier_vs_later`, `later_vs_earlier` or
    `later_vs_always`) and its weight (the same with `weight_` before it, outcome_unit `share`). cohort is the treated
    cohort of a comparison, period the first treated period of the units it is compared with ('never', 'always'); both
    are empty in the rows of a kind, which average its comparisons. The weights of the comparisons sum to 1, and weights
    times estimates to `att`. `later_vs_earlier` compares with units already treated: changes in their effect enter with
    the wrong sign. `attrs["comparisons"]` has the same as records, estimate and weight side by side. With covariates:
    `within_cohorts`, identified by covariates within cohorts, has the weight Omega; comparisons have kinds
    `treated_vs_untreated`, `both_treated` and `later_vs_always`, weights that sum to 1, and `att` is Omega x within +
    (1 - Omega) x their sum. A diagnostic: no errors (inference "none").
    Needs a balanced panel with weights constant in a unit, else the decomposition is not estimable and only `att` is
    given. Units treated throughout stay, as comparison. With a group: gap, reference and group with the same weights; several
    groups: first the plain average of their two-way estimates, then each decomposed. Assumptions: none beyond those of the
    comparisons, which are those of `did`. Source: Goodman-Bacon (2021), theorem 1 and section 5.2. Reference cases: R's
    bacondecomp on the castle doctrine, with and without covariates (tests/reference/bacon).
    """
    if request.aggregate is not None:
        raise UsageError("nothing to aggregate", where="fit: aggregate", expected="None", found=request.aggregate)
    panel = plain_panel(cells) if request.group is None else gap_panel(cells, request)
    panel = _at_least_two_periods(without_anticipation(panel, request))
    check_arms(two_sided(panel), request)
    fit = _two_way(panel)
    size = len(panel.groups)
    terms: list[Term] = []
    values: list[tuple[float, str]] = []
    records: list[dict[str, object]] = []
    labels = [("pooled", np.full(size, 1 / size))] if size > 1 else []
    for label, weights in [*labels, *zip(panel.groups, np.eye(size), strict=True)]:
        rows = np.ones(len(panel.frame), bool) if label == "pooled" else np.asarray(panel.column("group") == label, bool)
        for j, name in enumerate(panel.outcomes):
            contrast = pad(weights, len(fit.moments[j].design.names))[0]
            reason = "" if fit.moments[j].design.contrast(contrast) is not None else ABSORBED
            terms.append(Term(estimand("att", name), weights, panel.base(rows, j), 0, j, label, reason=reason))
            values.append((fit.value(contrast, j), "outcome"))
    for label in panel.groups:
        parts = _parts(panel, label, bool(request.covariates) and _used(fit, request))
        terms += [t for t, _ in parts.rows]
        values += [v for _, v in parts.rows]
        records += parts.records
    return Decomposition(
        tuple(terms), panel.dropped, unbalanced(panel), tuple(values), tuple(records), _notes(panel, fit, request)
    )


def _at_least_two_periods(panel: Panel) -> Panel:
    """Leave out unit-groups that are seen in one period only."""
    single = np.asarray(panel.frame.groupby(["unit", "group"])["time"].transform("nunique") == 1, bool)
    note = tuple(Dropped(str(u), "", "one period only") for u in sorted(set(panel.frame.loc[single, "unit"])))
    return replace(panel.take(~single), dropped=panel.dropped + note)


def _two_way(panel: Panel) -> Fit:
    frame, x = panel.frame, panel.covariates()
    return regress(
        panel.Y,
        by_group(panel) * panel.treated[:, None],
        x,
        effects=[panel.unit_group, panel.code("time", "group")],
        cluster=panel.column("cluster"),
        weights=frame["w"].to_numpy(float),
        names=[*panel.groups, *(f"x{j}" for j in range(x.shape[1]))],
        n_obs=panel.n_obs,
    )


def _used(fit: Fit, request: Request) -> bool:
    """Whether any covariate has a coefficient: constant ones leave the plain decomposition."""
    return len(fit.idle) < len(request.covariates)


def _notes(panel: Panel, fit: Fit, request: Request) -> tuple[str, ...]:
    names = {f"x{j}": name for j, name in enumerate(request.covariates)}
    text = "adds nothing to the effects and the other covariates, and is left out"
    out = [f"covariate '{names[x]}' {text}" for x in fit.idle if x in names]
    first = panel.frame.groupby("unit")["time"].transform("min")
    always = sorted(set(panel.frame.loc[panel.frame["cohort"] <= first, "unit"]))
    return (*out, THROUGHOUT.format(", ".join(always))) if always else tuple(out)


@dataclass(frozen=True)
class _Parts:
    rows: list[tuple[Term, tuple[float, str]]]
    records: list[dict[str, object]]


def _parts(panel: Panel, label: str, adjusted: bool) -> _Parts:
    """Rows of one group: kinds of comparison, then comparisons; or the reason why there are none."""
    rows = np.asarray(panel.column("group") == label, bool)
    balanced, reason = _balanced(panel, rows) if rows.any() else (None, NO_PAIR)
    found = [] if balanced is None else with_covariates(balanced) if adjusted else without_covariates(balanced)
    kept = [c for c in found if not (np.isnan(c.treated) and np.isnan(c.other))]
    if not kept:
        reason = reason or NO_PAIR
        term = Term("decomposition", np.zeros((1, 0)), panel.base(rows), group=label, reason=reason)
        return _Parts([(term, (float("nan"), "outcome"))], [])
    out: list[tuple[Term, tuple[float, str]]] = []
    for kind in dict.fromkeys(c.kind for c in found):
        own = [c for c in found if c.kind == kind]
        total = sum(c.weight for c in own)
        average = np.sum([c.weight * c.estimates for c in own], axis=0) / total if total > 0 else own[0].estimates
        out += _rows(panel, label, rows, Comparison(kind, np.nan, np.nan, average, total), summary=True)
    for c in kept:
        out += _rows(panel, label, rows, c, summary=False)
    return _Parts(out, [_record(panel, label, c) for c in kept])


def _rows(panel: Panel, label: str, rows: Flags, c: Comparison, summary: bool) -> list[tuple[Term, tuple[float, str]]]:
    """Estimates of one comparison for each outcome, and its weight."""
    cohort = panel.frame["cohort"].to_numpy(float)
    used = rows
    if not summary:
        first = float(panel.frame.loc[rows, "time"].min())
        start = np.where(cohort <= first, -np.inf, cohort)
        used = rows & ((start == c.treated) | (np.isnan(start) if np.isnan(c.other) else start == c.other))
    named = None if summary else _label(panel, c.treated)
    other = None if summary else str(_label(panel, c.other))
    none = np.zeros((1, 0))
    weight = Term(f"weight_{c.kind}", none, panel.base(used), group=label, cohort=named, period=other)
    out = []
    for j, name in enumerate(panel.outcomes):
        reason = "" if np.isfinite(c.estimates[j]) else "no variation within cohorts to estimate it from"
        base = panel.base(used, j)
        term = Term(estimand(c.kind, name), none, base, 0, j, label, named, period=other, reason=reason)
        out.append((term, (float(c.estimates[j]), "outcome")))
    return [*out, (weight, (c.weight, "share"))]


def _label(panel: Panel, start: float) -> object:
    """The first treated period of a timing group as it was given, or 'never', or 'always'."""
    if np.isnan(start):
        return "never"
    return "always" if np.isinf(start) else panel.cohorts[start]


def _record(panel: Panel, label: str, c: Comparison) -> dict[str, object]:
    estimates = {estimand("estimate", name): float(e) for name, e in zip(panel.outcomes, c.estimates, strict=True)}
    treated, other = str(_label(panel, c.treated)), str(_label(panel, c.other))
    return {"group": label, "kind": c.kind, "treated": treated, "comparison": other, **estimates, "weight": c.weight}


def _balanced(panel: Panel, rows: Flags) -> tuple[Balanced | None, str]:
    """Arrays of one group, or why it has none."""
    frame = panel.frame[rows]
    units, times = np.unique(frame["unit"].astype(str)), np.unique(frame["time"].to_numpy(float))
    counts = frame.groupby("unit").size()
    distinct = frame.groupby("unit")["time"].nunique()
    if split := sorted(map(str, counts.index[counts > distinct])):
        return None, f"the decomposition needs one row a unit and period; several in {', '.join(split[:10])}"
    if missing := sorted(map(str, counts.index[distinct < len(times)])):
        return None, NOT_BALANCED.format(", ".join(missing[:10]) + (" ..." if len(missing) > 10 else ""))
    spread = frame.groupby("unit")["w"].agg(lambda w: float(w.max() - w.min()) / float(w.max()))
    if changing := sorted(map(str, spread.index[spread > 1e-12])):
        return None, NOT_CONSTANT.format(", ".join(changing[:10]) + (" ..." if len(changing) > 10 else ""))
    order = np.lexsort((frame["time"].to_numpy(float), np.searchsorted(units, frame["unit"].astype(str))))
    shape = (len(units), len(times))
    start = frame["cohort"].to_numpy(float)[order].reshape(shape)[:, 0]
    return Balanced(
        panel.Y[rows][order].reshape(*shape, -1),
        np.where(start <= times[0], -np.inf, start),
        times,
        frame["w"].to_numpy(float)[order].reshape(shape)[:, 0],
        panel.covariates()[rows][order].reshape(*shape, -1),
    ), ""
