"""Imputation estimator: untreated outcomes of treated cells predicted from untreated cells, differences averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from p4equity.errors import UsageError
from p4equity.estimators.arguments import known
from p4equity.estimators.base import Answer, Estimate, Request, Term
from p4equity.estimators.imputation_parts import Part, left_out, parts_of
from p4equity.estimators.imputation_paths import ImputationPaths, imputation_paths, unseen_shares
from p4equity.estimators.imputation_terms import build_terms
from p4equity.estimators.imputed import Imputed, Target, impute
from p4equity.estimators.influence import BOOTSTRAP, InfluenceEstimate
from p4equity.estimators.panels import Panel
from p4equity.estimators.path_options import PATH_INFERENCES, PATH_OPTIONS, path_options
from p4equity.estimators.tidy import Cells
from p4equity.estimators.untreated_model import UntreatedModel
from p4equity.inference.sweeping import Codes

OPTIONS = ("variance", "horizons", "pretrends", "auxiliary", "leave_out", "form", "draws", *PATH_OPTIONS)
VARIANCES = ("exact", "bjs", "gmm")
SQUARED = (
    "bjs: with unequal weights didimputation 0.5.0, which this follows, weighs untreated cells by squared weights, which are not"
    " those of the estimate; variance='exact' uses the estimate's own"
)
INFERENCES = (*VARIANCES, BOOTSTRAP, "none", *PATH_INFERENCES)
WORDS = {"form": ("gap", "triple_difference"), "auxiliary": ("cohort_event", "event", "cohort", "all")}


@dataclass(frozen=True)
class ImputationEstimate(Estimate):
    """Result under each variance, the first one the caller's; paths where they are asked for."""

    under: dict[str, InfluenceEstimate]
    paths: ImputationPaths | None = None
    notes_: tuple[str, ...] = ()

    def answers(self, inference: str, request: Request) -> list[tuple[Term, Answer]]:
        """Answers from the influence functions of the variance asked for."""
        if self.paths is not None and inference in PATH_INFERENCES:
            return self.paths.answers(inference, request)
        variance = inference if inference in self.under else _variance(request)
        return self.under[variance].answers(inference, request)

    def notes(self, request: Request) -> tuple[str, ...]:
        """Sentences about the whole estimate."""
        return (*self.notes_, *next(iter(self.under.values())).small(request))


def estimate(cells: Cells, request: Request) -> ImputationEstimate:
    """Average effect on treated cells: what they are beyond what untreated cells predict for them.

    Y(0)_ut = a_u + l_t + x_ut'g is fitted, weighted, on all cells that are not treated (never, or not yet), effects are
    y_ut - Y(0)_ut, and rows are their weighted averages: over all treated cells (`att`); with horizons=True or a list of
    event times one row each, at the end with simultaneous limits; with aggregate="cohort" or "calendar" one row each.
    Leads are coefficients of event times before treatment in a two-way regression on untreated cells alone, relative to
    the last of them (pretrends=True, the default), or of a list of event times relative to all others: rows `pretrend`
    with an event time, and without one their joint test (chi-squared: with few clusters it rejects too often).
    variance: "exact" (default: treated residuals are deviations from averages of effects by cohort and event time, by the
    estimate's own weights; auxiliary="event", "cohort" or "all" averages over more, leave_out=True without the own
    cluster), "bjs" (the same, but as didimputation 0.5.0 has it: with unequal weights untreated cells enter by squared
    ones, which are not those of the estimate, and a warning says so), "gmm" (deviations from the row's own estimate: the
    two-stage correction of did2s). Normal quantiles, no G / (G - 1); multiplier_bootstrap (option draws) resamples signs
    of the clusters. Cohorts of one treated cluster leave nothing to measure: gmm, or auxiliary="event", compares them with
    others. Cells that cannot be imputed, for want of an untreated period of the
    unit or an untreated unit in the period, are left out, with a row that says so.
    With a group: gap, reference and group, all imputed with the gap's weights; several groups: their plain average
    first. form="triple_difference": one model of all cells with effects of unit by group, group by period, and parent
    (or unit) by period; treated are the compared groups of treated units, averaged by their own weights, with the sign
    of the gap. Both words of comparison use all untreated cells; "not_yet" also allows a panel without never treated
    units. Assumptions: parallel trends of all units in all periods, no anticipation beyond `anticipation` periods (left
    out). relative_magnitudes, smoothness, pretest_power: from a path of leads and effects that are all measured from the
    last period before treatment (`imputation_paths`), of all event times, whatever horizons and pretrends say.
    Source: Borusyak, Jaravel and Spiess (2024), theorems 2 and 3; Gardner (2022) for gmm.
    Reference cases: R didimputation and did2s (tests/reference/imputation).
    """
    for name, words in WORDS.items():
        known(request.own.get(name, words[0]), words, name, f"fit: {name}")
    known(request.aggregate or "cohort", ("cohort", "calendar"), "aggregation", "fit: aggregate")
    panel, parts = parts_of(cells, request)
    clusters, cluster = np.unique(panel.column("cluster").astype(str), return_inverse=True)
    fitted = [_impute(panel, part, cluster, len(clusters), request) for part in parts]
    terms = build_terms(panel, parts, fitted, request)
    dropped = panel.dropped + tuple(d for part, f in zip(parts, fitted, strict=True) for d in left_out(panel, part, f))
    values = np.concatenate([f.estimates.ravel() for f in fitted])
    unseen = unseen_shares(terms, fitted)
    under = {}
    for name in VARIANCES:
        influence = np.hstack([f.influence[name].reshape(len(clusters), -1) for f in fitted])
        shares = () if name == "gmm" else unseen
        under[name] = InfluenceEstimate(terms, dropped, panel.unbalanced, values, influence, unseen=shares)
    paths = _paths(panel, parts, cluster, len(clusters), request)
    notes = (*_idle(parts, request), *_squared(parts, request))
    return ImputationEstimate(terms, dropped, panel.unbalanced, under, paths, notes)


def _variance(request: Request) -> str:
    """The variance behind answers that do not name one."""
    return str(request.own.get("variance", VARIANCES[0])).lower()


def _paths(panel: Panel, parts: list[Part], cluster: Codes, groups: int, request: Request) -> ImputationPaths | None:
    """The paths, where an inference asks for them."""
    if not set(PATH_INFERENCES) & set(request.inference):
        return None

    small = path_options(PATH_INFERENCES[0], request).small_sample

    def averages(part: Part, model: UntreatedModel, targets: Sequence[Target], leads: int) -> Imputed:
        own = cluster[part.rows]
        some = len(np.unique(own[~part.model.treated]))
        # G / (G - 1) is that of the whole path; what is left of the regression's factor is due to its coefficients.
        factor = _lead_factor(panel, part, own, leads) * (some - 1) / some if small else 1.0
        return _averages(panel, part, model, own, targets, groups, request, small, lambda _: factor, factor)

    return imputation_paths(panel, parts, request, _variance(request), averages)


def _impute(panel: Panel, part: Part, cluster: Codes, groups: int, request: Request) -> Imputed:
    """All averages and leads of one part; leads with the small-sample factor of their regression."""
    own, targets = cluster[part.rows], part.targets(panel, request)
    return _averages(
        panel, part, part.model, own, targets, groups, request, False, lambda leads: _lead_factor(panel, part, own, leads)
    )


def _lead_factor(panel: Panel, part: Part, cluster: Codes, leads: int) -> float:
    """Small-sample factor of the regression of untreated rows on so many leads."""
    untreated = int(panel.frame.loc[part.rows, "rows"].to_numpy(float)[~part.model.treated].sum())
    return part.lead_factor(cluster, untreated, leads)


def _averages(
    panel: Panel, part: Part, model: UntreatedModel, cluster: Codes, targets: Sequence[Target], groups: int, request: Request,
    small: bool, lead_factor: Callable[[int], float], untreated_factor: float = 1.0,
) -> Imputed:  # fmt: skip
    """Averages and leads of one part under one model of its untreated cells. small: leave_out unless the caller says not."""
    leave_out = request.own.get("leave_out", small)
    if not isinstance(leave_out, bool):
        raise UsageError("not a flag", where="fit: leave_out", expected="True or False", found=repr(leave_out))
    return impute(
        model,
        part.sign * panel.Y[part.rows],
        cluster,
        part.effects[0],
        part.auxiliary(panel, request),
        targets,
        groups=groups,
        lead_factor=lead_factor,
        leave_out=leave_out,
        untreated_factor=untreated_factor,
    )


def _squared(parts: list[Part], request: Request) -> tuple[str, ...]:
    """A sentence on the weights of bjs where it is asked for and they matter."""
    unequal = any(len(np.unique(part.model.weights)) > 1 for part in parts)
    return (SQUARED,) if unequal and "bjs" in request.inference else ()


def _idle(parts: list[Part], request: Request) -> tuple[str, ...]:
    """Sentences on covariates that no part of the model uses."""
    text = "adds nothing to the effects and the other covariates, and is left out"
    count = len(request.covariates)
    used = np.any([part.model.kept[-count:] for part in parts], axis=0) if count else []
    return tuple(f"covariate '{x}' {text}" for x, k in zip(request.covariates, used, strict=True) if not k)
