"""Extended two-way regression: an effect for every cohort and period, linear, logit or Poisson."""

from __future__ import annotations

from dataclasses import dataclass

from p4equity.errors import UsageError
from p4equity.estimators.arguments import known
from p4equity.estimators.base import Answer, Estimate, Request, Term
from p4equity.estimators.extended_design import design
from p4equity.estimators.extended_models import LinearModel, NonlinearModel, linear_model, nonlinear_model
from p4equity.estimators.extended_terms import Averages, idle_covariates
from p4equity.estimators.influence import BOOTSTRAP, InfluenceEstimate
from p4equity.estimators.linear import CLUSTER_ROBUST, METHODS, OF_LEADS, OF_VARIANCE, LinearEstimate, ssc_of
from p4equity.estimators.panels import build
from p4equity.estimators.tidy import Cells

OPTIONS = ("variance", *OF_VARIANCE, *OF_LEADS, "draws", "family", "effects", "average")
VARIANCES = ("delta", *CLUSTER_ROBUST)
INFERENCES, TWO_WAY = ("delta", *(m for m in METHODS if not m.startswith("permutation")), BOOTSTRAP), True
WORDS = {"family": ("linear", "logit", "poisson"), "effects": ("cohort", "unit"), "average": ("cells", "rows", "weights")}
AGGREGATES = ("simple", "event", "group", "calendar")
ONE_WAY = "{} is for one way of clustering; with the linear family cr1 serves two"
LINEAR_ONLY = "{} is for the linear family; delta and multiplier_bootstrap serve the others"


@dataclass(frozen=True)
class ExtendedEstimate(Estimate):
    """Result: averages by their influence, and where the family is linear as contrasts of the regression too."""

    delta: InfluenceEstimate
    linear: LinearEstimate | None
    notes_: tuple[str, ...]

    def answers(self, inference: str, request: Request) -> list[tuple[Term, Answer]]:
        """Delta method, bootstrap and bare estimates from the influences, the rest from the regression."""
        if request.cluster2 is not None and inference in ("delta", BOOTSTRAP):
            return [(t, Answer(reason=t.reason or ONE_WAY.format(inference))) for t in self.delta.terms]
        if inference in ("delta", BOOTSTRAP) or (inference == "none" and self.linear is None):
            return self.delta.answers(inference, request)
        if self.linear is None:
            return [(t, Answer(reason=t.reason or LINEAR_ONLY.format(inference))) for t in self.delta.terms]
        return self.linear.answers(inference, request)

    def notes(self, request: Request) -> tuple[str, ...]:
        """Sentences about the whole estimate."""
        by_influence = {"delta", BOOTSTRAP} & set(request.inference)
        return (*self.notes_, *(self.delta.small(request) if by_influence else ()))


def estimate(cells: Cells, request: Request) -> ExtendedEstimate:
    """Average effect on treated units after treatment, from one regression with an effect for every cohort and period.

    g(E y_ut) = a_c + l_t + x_u'(d_c + f_t) + sum over cells (c, s) of 1{cohort = c, t = s} (b_cs + (x_u - mean of c)'h_cs),
    weighted, with g the identity, logit (rates, with their counts as weights) or log (family "linear", "logit",
    "poisson"). Effects are differences between fitted outcomes with and without the last sum, on the outcome's scale,
    averaged over treated cells: `att`; by event time with pointwise and simultaneous limits (aggregate="event", the
    default), by cohort ("group"), by period ("calendar"), or no further rows ("simple"). average="cells" (default)
    counts every cell of unit and period once where weights are given, and else every row: R's etwfe, which averages rows
    whatever their weights, on data of one row a cell; "rows" counts rows always, "weights" counts weights, which gives
    the answer of the members that cells stand for. comparison="not_yet": cells after treatment only, so that all
    periods before it serve as base and units treated later as comparison (the default of R's etwfe; without never
    treated units periods from the last cohort's start on are left out); "never": also a cell for every period before
    treatment but the last, so that never treated units alone are the comparison, with the joint test of these leads.
    effects="unit": unit effects instead of cohort effects (linear only). Covariates are meant to be constant in a unit.
    inference: delta (default: fixest's clustered covariance, normal quantiles), multiplier_bootstrap of the influences
    (option draws), and for the linear family everything event_study has. With few clusters take cr2.
    With a group: the linear family regresses gap, reference and group with the gap's weights; logit and Poisson fit
    reference and group by their own counts and subtract; several groups: their plain average first. Assumptions:
    parallel trends of the link-transformed untreated outcomes (given covariates), no anticipation beyond `anticipation`
    periods (left out).
    Source: Wooldridge (2021); Wooldridge (2023) for the nonlinear families. Reference cases: R etwfe, and members'
    logit and Poisson regressions (tests/reference/extended_twfe).
    """
    words = {name: str(request.own.get(name, allowed[0])) for name, allowed in WORDS.items()}
    for name, allowed in WORDS.items():
        known(words[name], allowed, name, f"fit: {name}")
    known(request.aggregate or "event", AGGREGATES, "aggregation", "fit: aggregate")
    if words["effects"] == "unit" and words["family"] != "linear":
        found = f"effects='unit' with family='{words['family']}'"
        raise UsageError("unit effects are for the linear family", where="fit: effects", expected="cohort", found=found)
    columns = design(build(cells, request), request)
    clusters = sorted(set(columns.panel.column("cluster").astype(str)))
    ssc = ssc_of(request)
    model: LinearModel | NonlinearModel = (
        linear_model(columns, clusters, request)
        if words["family"] == "linear"
        else nonlinear_model(cells, columns, request, words["family"], clusters, ssc)
    )
    answers = Averages(columns, model, request)
    panel = columns.panel
    delta = answers.by_influence()
    linear = (
        LinearEstimate(answers.by_contrast(model), panel.dropped, panel.unbalanced, (model.fit,))
        if isinstance(model, LinearModel)
        else None
    )
    notes = idle_covariates(columns, model, request)
    return ExtendedEstimate(delta.terms, panel.dropped, panel.unbalanced, delta, linear, notes)
