"""Synthetic difference-in-differences, synthetic control, and plain difference-in-differences on the same balanced panel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from p4equity.errors import UsageError
from p4equity.estimators.arguments import known
from p4equity.estimators.arms import require_arms
from p4equity.estimators.base import Dropped, Request, Term, estimand
from p4equity.estimators.panels import Panel, gap_panel, plain_panel
from p4equity.estimators.synthetic_answers import Selection, SyntheticEstimate
from p4equity.estimators.synthetic_panel import Balanced, balanced, in_order, rows_of
from p4equity.estimators.synthetic_replicates import estimable, in_selection
from p4equity.estimators.tidy import Cells, aggregate
from p4equity.inference.synthetic_weights import METHODS

OPTIONS = ("method", "draws", "limit")
INFERENCES = ("placebo", "placebo_rank", "jackknife", "bootstrap", "none")
ALIKE = "weights average rows within a unit and period; beyond that, units count alike in synthetic difference-in-differences"


def estimate(cells: Cells, request: Request) -> SyntheticEstimate:
    """Average effect on treated units after treatment, beside weighted comparison units and weighted periods before it.

    tau = (mean of the treated - sum of w_u y_u) after treatment, less the same before it with weights l_t. Unit weights w follow
    the treated mean before treatment up to a constant, with ridge (N_tr T_post)^(1/4) times the noise; time weights l predict
    comparison units' mean after treatment from their periods before it. method: sdid (default); sc, synthetic control: no
    constant, hardly any ridge, no time weights; did: equal weights. Weights come from the steps and the stopping rule of the
    authors' program, which end short of the minimum where the ridge is small (sc above all). Every unit counts alike. A unit that
    lacks a period is left out, a period that few units have for all; a row says so.

    Rows: the average; each period after treatment; where cohorts are several, each cohort. Several cohorts: each has its own
    weights beside never treated units (comparison="not_yet": units treated later too, and the cohort's periods end before the
    first of these is treated); averages weigh by treated unit-periods (Clarke, Pailanir, Athey and Imbens 2023). With a
    group: gap, reference and group with the gap's weights, so that gap = reference - group; several groups: first rows are their
    plain average.

    inference: placebo (default): standard deviation of the estimates for never treated units in place of the treated ones, all
    choices where there are at most `limit` (5,000 unless given, less with many units), else `draws` of them (200 to 1,000 by the
    number of units); normal interval; takes treated units for as variable as the others. placebo_rank: share of these estimates
    at least as large in size, the actual one counted; its interval holds the constant effects not rejected. jackknife: weights
    fixed; bootstrap: `draws` samples of units; both need two treated units and are rough with few. attrs: unit_weights,
    time_weights, fit (distance before treatment, penalties) and paths (see `synthetic_paths`), as lists of records. Assumptions:
    weighted comparison units would have gone on to move as the treated; no anticipation beyond `anticipation` periods (left
    out); units independent. Covariates are refused.
    Source: Arkhangelsky, Athey, Hirshberg, Imbens and Wager (2021), Algorithms 1 to 4. Reference cases: R synthdid 0.0.9 on the
    simulated panel, Proposition 99 (tests/reference/synthetic_did).
    """
    method = str(request.own.get("method", METHODS[0]))
    known(request.own.get("method", METHODS[0]), METHODS, "method", "fit: method")
    _check(request)
    clustered = bool((cells.frame["cluster"] != cells.frame["unit"]).any())
    if clustered:
        cells = replace(cells, frame=aggregate(cells.frame.assign(cluster=cells.frame["unit"]), request))
    panel = plain_panel(cells) if request.group is None else gap_panel(cells, request)
    order = in_order(panel)
    sources = tuple(balanced(panel, g, order, request, method) for g in panel.groups)
    dropped = (
        panel.dropped + tuple(d for s in sources for d in s.dropped) + tuple(d for s in sources for d in _no_block(s, panel))
    )
    units = {u: int(c) for s in sources for u, c in zip(s.units, s.codes, strict=True)}
    treated, never = sum(c > 0 for c in units.values()), sum(c == 0 for c in units.values())
    later = max((int((s.codes > 1).sum()) for s in sources), default=0)
    require_arms(treated, never + (later if request.comparison == "not_yet" else 0), request, panel.arms, dropped, later)
    picks, terms = _rows(panel, sources)
    labels = (panel.labels, panel.cohorts)
    notes = _notes(panel, sources, request)
    return SyntheticEstimate(terms, dropped, (), sources, picks, method, clustered, panel.outcomes, labels, notes)


def _check(request: Request) -> None:
    if request.covariates:
        found, fix = ", ".join(map(str, request.covariates)), "adjust the outcome first, or use another estimator"
        raise UsageError("no covariates here", where="fit: covariates", expected="none", found=found, fix=fix)
    if request.aggregate is not None:
        fix = "the rows by period and by cohort always follow the average"
        raise UsageError("nothing to aggregate", where="fit: aggregate", expected="None", found=request.aggregate, fix=fix)


def _no_block(source: Balanced, panel: Panel) -> list[Dropped]:
    """Treated units whose cohort has no estimate although others have, unless they serve as comparison units."""
    blocks = estimable(source)
    serve = {k for b in blocks for k in b.others}
    return [
        Dropped(u, "", f"its cohort, {panel.cohorts[float(source.starts[b.code - 1])]}, has no estimate: {b.reason}")
        for b in source.blocks
        if b.reason and blocks and b.code not in serve
        for u, c in zip(source.units, source.codes, strict=True)
        if c == b.code
    ]


def _rows(panel: Panel, sources: tuple[Balanced, ...]) -> tuple[tuple[Selection, ...], tuple[Term, ...]]:
    """What each row averages, and its term: averages first, then periods after treatment, then cohorts where they are several."""
    sets = [tuple(range(len(sources)))] if len(sources) > 1 else []
    sets += [(i,) for i in range(len(sources))]
    picks = [Selection(s, None, None) for s in sets]
    for s in sets:
        common = set.intersection(*(_events(sources[i]) for i in s))
        picks += [Selection(s, None, e) for e in sorted(common)]
    for s in sets:
        starts = set.intersection(*({float(c) for c in sources[i].starts} for i in s))
        every = {float(c) for i in s for c in sources[i].starts}
        picks += [Selection(s, c, None) for c in sorted(starts)] if len(every) > 1 else []
    pairs = [(p, _term(panel, sources, p, j)) for p in picks for j in range(len(panel.outcomes))]
    return tuple(p for p, _ in pairs), tuple(t for _, t in pairs)


def _events(source: Balanced) -> set[float]:
    """Event times from treatment on that some cohort reaches; those of every cohort where none has an estimate."""
    blocks = estimable(source) or source.blocks
    after = [source.times[b.columns[b.n_before :]] - source.starts[b.code - 1] for b in blocks]
    return {float(e) for part in after for e in part}


def _term(panel: Panel, sources: tuple[Balanced, ...], pick: Selection, outcome: int) -> Term:
    rows, starts, reason = np.zeros(len(panel.frame), bool), set(), ""
    for i in pick.groups:
        source = sources[i]
        asked = [b for b in source.blocks if in_selection(source, b, pick.cohort, pick.event).any()]
        used = [b for b in asked if not b.reason]
        reason = reason or ("" if used else next((b.reason for b in asked), "no treated unit with every period"))
        rows |= rows_of(panel, source, tuple(used or asked), pick.event)
        starts |= {float(source.starts[b.code - 1]) for b in used or asked}
    group = "pooled" if len(pick.groups) > 1 else sources[pick.groups[0]].group
    one = min(starts) if len(starts) == 1 else None
    period = str(panel.labels[one + pick.event]) if one is not None and pick.event is not None else None
    return Term(
        estimand("att", panel.outcomes[outcome]),
        np.zeros((1, 0)),
        panel.base(rows, outcome),
        0,
        outcome,
        group,
        panel.cohorts[one] if one is not None else None,
        float("nan") if pick.event is None else pick.event,
        period,
        reason=reason,
    )


def _notes(panel: Panel, sources: tuple[Balanced, ...], request: Request) -> tuple[str, ...]:
    notes = [ALIKE] if request.weights is not None else []
    for source in sources:
        for block in estimable(source):
            last = float(source.times[block.columns].max())
            if last < source.times.max():
                cohort = panel.cohorts[float(source.starts[block.code - 1])]
                of = "" if source.group == "all" else f" ({source.group})"
                end = panel.labels[last]
                notes.append(f"cohort {cohort}{of} is followed until {end}: then some of its comparison units are treated")
    return tuple(notes)
