"""Paths of event times from a regression: their values, joint covariance and degrees of freedom, or why they have none."""

from __future__ import annotations

import numpy as np

from p4equity.estimators.base import NAN, Answer, Request, Term
from p4equity.estimators.event_study_answers import NOT_LAST, EventPath, path_answers, paths_of
from p4equity.estimators.few_clusters import too_few
from p4equity.estimators.linear import LinearEstimate
from p4equity.estimators.linear_answers import answer_term, joint_covariance
from p4equity.estimators.path_options import path_options


def linear_path_answers(estimate: LinearEstimate, inference: str, request: Request) -> list[tuple[Term, Answer]]:
    """Rows of every path of a regression: sensitivity sets or power of pretests, from the covariance that `variance` names."""
    out: list[tuple[Term, Answer]] = []
    for average, members in paths_of(estimate.terms):
        found = _path(estimate, average, members, path_options(inference, request).exclude, request)
        out += path_answers(found, inference, request)
    return out


def _path(
    estimate: LinearEstimate, average: Term, members: list[Term], excluded: tuple[float, ...], request: Request
) -> EventPath:
    """The path of one group and outcome.

    A lead without an error of its own is left out and named; a period after treatment without one leaves no path, for its
    loss would change the average. What the caller excludes is not looked at.
    """
    fit = estimate.fits[average.fit]
    kind = str(request.own.get("variance", "cr1" if fit.two_way else "cr2")).lower()
    last = -1.0 - request.anticipation
    reference = float(request.own.get("reference_period", last))
    none = np.zeros(0)

    def without(reason: str) -> EventPath:
        return EventPath(average, none, none, np.zeros((0, 0)), reference, NAN, reason)

    if reference != last:
        return without(NOT_LAST)
    if reason := too_few(average.base, request.estimator):
        return without(f"not available, because {reason}")
    kept: list[Term] = []
    notes: list[str] = []
    for term in members:
        if term.event_time in excluded:
            continue
        found = answer_term(estimate, term, kind, request)
        if not found.reason:
            kept.append(term)
        elif term.event_time > reference:
            return without(f"not available, because event time {term.event_time:+.0f} has no error: {found.reason}")
        else:
            notes.append(f"lead {term.event_time:+.0f} is left out: {found.reason}")
    if not kept:
        return without("not available, because no event time has an error")
    V, reason, _ = joint_covariance(fit, kept, kind.upper(), request)
    _, more, df = joint_covariance(fit, [average], kind.upper(), request)
    if reason or more:
        return without(f"not available, because {reason or more}")
    values = np.array([answer_term(estimate, term, "none", request).estimate for term in kept])
    times = np.array([term.event_time for term in kept])
    if binned := [request.own[k] for k in ("bin_below", "bin_above") if request.own.get(k) is not None]:
        notes.append(f"binned event times ({', '.join(f'{b:+.0f}' for b in binned)}) count as one period")
    return EventPath(average, times, values, V, reference, float(df[0]), notes=tuple(notes))
