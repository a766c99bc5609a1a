"""Paths of event times known by their influence functions: values, joint covariance and degrees of freedom, or why not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from p4equity.estimators.base import NAN, Answer, Request, Term
from p4equity.estimators.event_study_answers import EventPath, path_answers, paths_of
from p4equity.estimators.few_clusters import TWO_TREATED
from p4equity.estimators.influence import InfluenceEstimate, factor, reference_df, why_not
from p4equity.estimators.path_options import path_options

MANY = 10  # treated clusters from which the number of all clusters is taken for the degrees of freedom without a word
FEW_TREATED = "{} treated clusters: errors from influence functions are too small, and so are the sets; event_study has CR2"
NOT_DYNAMIC = (
    "not available, because the leads are not those of one path: aggregate='dynamic' with base_period='universal' measures all "
    "event times from one reference period"
)


def influence_path_answers(estimate: InfluenceEstimate, inference: str, request: Request) -> list[tuple[Term, Answer]]:
    """Rows of every path of a dynamic aggregation: sensitivity sets or power of pretests.

    With small_sample (the default) the covariance has the factor G/(G-1) and its t G-1 degrees of freedom, as for cr1;
    without it is the analytical one, R's.
    """
    if request.aggregate != "dynamic" or request.own.get("base_period") != "universal":
        none = np.zeros(0)
        empty = EventPath(estimate.terms[0], none, none, np.zeros((0, 0)), -1.0, NAN, NOT_DYNAMIC)
        return path_answers(empty, inference, request)
    return covered_paths(estimate, inference, request)


def covered_paths(
    estimate: InfluenceEstimate, inference: str, request: Request, notes: tuple[str, ...] = ()
) -> list[tuple[Term, Answer]]:
    """Rows of every path whose event times are measured from one reference period; notes: what the reader should know."""
    options = path_options(inference, request)
    kind = "cr1" if options.small_sample else "analytical"
    out: list[tuple[Term, Answer]] = []
    for average, members in paths_of(estimate.terms):
        found = _path(estimate, average, members, options.exclude, kind, request)
        out += path_answers(replace(found, notes=(*notes, *found.notes)), inference, request)
    return out


def _path(
    estimate: InfluenceEstimate, average: Term, members: list[Term], excluded: tuple[float, ...], kind: str, request: Request
) -> EventPath:
    """The path of one group and outcome; a lead without an error is left out and named, a later period leaves no path."""
    shares = dict(zip(map(id, estimate.terms), estimate.unseen or (0.0,) * len(estimate.terms), strict=True))
    reference, none = -1.0 - request.anticipation, np.zeros(0)
    treated = average.base.n_treated_clusters
    notes = [TWO_TREATED] if treated == 2 else [FEW_TREATED.format(treated)] if treated < MANY else []
    kept: list[Term] = []
    reason = average.reason or why_not(estimate, average, request, shares[id(average)])
    for term in members if not reason else ():
        own = term.reason or why_not(estimate, term, request, shares[id(term)])
        if term.event_time in excluded or term.event_time == reference:
            continue
        if not own:
            kept.append(term)
        elif term.event_time > reference:
            reason = f"event time {term.event_time:+.0f} has no error: {own}"
        else:
            notes.append(f"lead {term.event_time:+.0f} is left out: {own}")
    if reason or not kept:
        text = f"not available, because {reason or 'no event time has an error'}"
        return EventPath(average, none, none, np.zeros((0, 0)), reference, NAN, text)
    rows = np.vstack([term.contrast for term in kept])
    scores = estimate.influence @ rows.T
    V = factor(estimate, kind) * scores.T @ scores
    times = np.array([term.event_time for term in kept])
    return EventPath(average, times, rows @ estimate.estimates, V, reference, reference_df(estimate, kind), notes=tuple(notes))
