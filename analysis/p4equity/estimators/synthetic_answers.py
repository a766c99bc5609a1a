"""How synthetic difference-in-differences answers: estimates, placebo, jackknife and bootstrap errors, ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import comb, prod

import numpy as np
from scipy import stats

from p4equity.estimators.base import Answer, Array, Estimate, Request, Term, finite
from p4equity.estimators.few_clusters import ONE_TREATED, TWO_TREATED, too_few, whole
from p4equity.estimators.influence import ROUNDING
from p4equity.estimators.synthetic_panel import Balanced, Block
from p4equity.estimators.synthetic_paths import records
from p4equity.estimators.synthetic_replicates import (
    Replicates,
    actual,
    bootstrap,
    estimable,
    in_selection,
    jackknife,
    members,
    placebo,
)
from p4equity.inference.resampling import jackknife_error, placebo_rank, spread, spread_error

PLACEBO = ("placebo", "placebo_rank")
CLUSTERED = "units lie in clusters, which {} of units ignores: pass the cluster as unit, or inference='none'"
UNLIKE = "the groups differ in their units, so that no one assignment serves them all: see the rows by group"
NOT_SC = "the jackknife is not recommended for synthetic control (Arkhangelsky et al. 2021)"
SAME_NOISE = "placebo takes treated units for as variable as comparison units"
EXCHANGEABLE = "placebo_rank takes treated and never treated units for exchangeable"
FEWEST_PLACEBO = 4  # placebo assignments, mirror images counted once, below which their spread is no error
NO_SPREAD = "{} different placebo {} only: their spread is no standard error; see placebo_rank"
FEW_PLACEBO = 20  # placebo assignments below which their number is mentioned


@dataclass(frozen=True)
class Selection:
    """What a row averages: groups (their plain average), one cohort's start or all, one event time or all."""

    groups: tuple[int, ...]
    cohort: float | None
    event: float | None


@dataclass(frozen=True)
class SyntheticEstimate(Estimate):
    """Result: a balanced panel with weights a group, and what each term averages.

    labels: of times and of cohorts. clustered: units lie in clusters.
    """

    sources: tuple[Balanced, ...]
    picks: tuple[Selection, ...]
    method: str
    clustered: bool
    outcomes: tuple[str, ...]
    labels: tuple[dict[float, object], dict[float, object]]
    notes_: tuple[str, ...]
    drawn: dict[str, list[Replicates]] = field(default_factory=dict, compare=False, repr=False)
    sampling: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def answers(self, inference: str, request: Request) -> list[tuple[Term, Answer]]:
        """One answer a term."""
        pairs = zip(self.terms, self.picks, strict=True)
        return [(term, _answer(self, term, pick, inference, request)) for term, pick in pairs]

    def notes(self, request: Request) -> tuple[str, ...]:  # noqa: ARG002
        """Sentences about the whole estimate."""
        return self.notes_

    def attributes(self) -> dict[str, object]:
        """unit_weights, time_weights, fit and paths as lists of records, which a frame of rows can carry along."""
        return records(self.sources, self.outcomes, self.labels, self.method)


def _value(replicates: list[Replicates], pick: Selection, outcome: int) -> Array:
    """(B,) values of one row over replicates: the plain average of its groups."""
    return np.asarray(np.mean([replicates[i].value(pick.cohort, pick.event)[:, outcome] for i in pick.groups], axis=0))


def _replicates(estimate: SyntheticEstimate, inference: str, request: Request) -> list[Replicates]:
    """Replicates of every group that has an estimate, made once."""
    kind = "placebo" if inference in PLACEBO else inference
    if kind in estimate.drawn:
        return estimate.drawn[kind]
    draws, limit = request.own.get("draws"), request.own.get("limit")
    out = []
    for i, source in enumerate(estimate.sources):
        if kind == "none" or not estimable(source) or (kind == "placebo" and _too_few(source)):
            out.append(actual(source))  # where the kind is another, every row of this group has a reason
        elif kind == "placebo":
            found, choice = placebo(source, estimate.method, request.seed, draws, limit)
            out.append(found)
            few = f"{len(choice.labels):,} of {choice.total:,} placebo assignments drawn"
            estimate.sampling[f"{kind} {i}"] = few if choice.sampled else ""
        elif kind == "bootstrap":
            out.append(bootstrap(source, estimate.method, request.seed, draws))
            estimate.sampling[f"{kind} {i}"] = f"{len(out[-1].treated[0]):,} samples drawn"
        else:
            out.append(jackknife(source))
    estimate.drawn[kind] = out
    return out


def _too_few(source: Balanced) -> str:
    """Why no placebo assignment leaves comparison units, or ''."""
    never = int((source.codes == 0).sum())
    treated = sum(int((source.codes == b.code).sum()) for b in estimable(source))
    counts = f"{never} and {treated}"
    return "" if never > treated else f"placebo needs more never treated units than treated ones, here {counts}: see jackknife"


def _too_alike(source: Balanced, inference: str) -> str:
    """Why the spread of placebo estimates is no standard error, or ''. Where placebo-treated units are half of all, an assignment
    and its mirror image are one comparison: two units give one, four with two treated three, whose spread may be near zero."""
    sizes = [int((source.codes == b.code).sum()) for b in estimable(source)]
    never = int((source.codes == 0).sum())
    number = comb(never, sum(sizes)) * prod(comb(sum(sizes[i:]), n) for i, n in enumerate(sizes))
    number = number // 2 if len(sizes) == 1 and never == 2 * sizes[0] else number
    if inference != "placebo" or number >= FEWEST_PLACEBO:
        return ""
    return NO_SPREAD.format(number, "assignment" if number == 1 else "assignments")


def _answer(estimate: SyntheticEstimate, term: Term, pick: Selection, inference: str, request: Request) -> Answer:
    if term.reason:
        return Answer(reason=term.reason)
    b = float(_value(_replicates(estimate, "none", request), pick, term.outcome)[0])
    if inference == "none":
        return Answer(b)
    if reason := why_not(estimate, term, pick, inference):
        return Answer(reason=reason)
    values = _value(_replicates(estimate, inference, request), pick, term.outcome)
    drawn = estimate.sampling.get(f"{'placebo' if inference in PLACEBO else inference} {pick.groups[0]}", "")
    sources = [estimate.sources[i] for i in pick.groups]
    least = _scale(sources, term.outcome)
    if inference == "placebo_rank":
        return _ranked(b, values, least, drawn, request)
    if inference == "jackknife":
        values = values[np.any([members(s, pick.cohort, pick.event) for s in sources], axis=0)]
    values = values[np.isfinite(values)]
    return _normal(b, values, inference, least, _cautions(estimate, pick, inference, values, drawn), request)


def why_not(estimate: SyntheticEstimate, term: Term, pick: Selection, inference: str) -> str:
    """Why a row has no error by this method, or ''."""
    if estimate.clustered:
        return CLUSTERED.format("a placebo assignment" if inference in PLACEBO else f"the {inference}")
    sources = [estimate.sources[i] for i in pick.groups]
    if len({(s.units, tuple(s.codes)) for s in sources}) > 1:
        return UNLIKE
    if inference in PLACEBO:
        return next((r for s in sources if (r := _too_few(s) or _too_alike(s, inference))), "")
    if reason := too_few(whole(estimate.terms)[term.group], "synthetic_did"):
        return reason
    rule = _no_jackknife if inference == "jackknife" else _no_bootstrap
    return next((r for s in sources if (r := rule(s, _blocks(s, pick)))), "")


def _blocks(source: Balanced, pick: Selection) -> list[Block]:
    return [b for b in estimable(source) if in_selection(source, b, pick.cohort, pick.event).any()]


def _no_jackknife(source: Balanced, blocks: list[Block]) -> str:
    if any(int((source.codes == b.code).sum()) == 1 for b in blocks):
        return ONE_TREATED if len(blocks) == 1 else f"a cohort with {ONE_TREATED}"
    if any(int((b.unit > 0).sum()) == 1 for b in blocks):
        return "one comparison unit has all the weight: the jackknife cannot leave it out"
    return ""


def _no_bootstrap(source: Balanced, blocks: list[Block]) -> str:
    if sum(int((source.codes == b.code).sum()) for b in blocks) == 1:
        return ONE_TREATED
    if any(int(np.isin(source.codes, b.others).sum()) == 1 for b in blocks):
        return "one comparison unit: its own variation is not observed, so no error can be given"
    return ""


def _scale(sources: list[Balanced], outcome: int) -> float:
    """What counts as rounding: a share of the largest outcome."""
    return ROUNDING / 100 * max(float(np.abs(s.Y[outcome]).max(initial=0.0)) for s in sources)


def _normal(b: float, values: Array, inference: str, least: float, warnings: list[str], request: Request) -> Answer:
    """Normal interval from the spread of replicates about their mean."""
    error: Callable[[Array], float] = jackknife_error if inference == "jackknife" else spread
    se = error(values) if len(values) > 1 else 0.0
    if not se > max(least, ROUNDING * max(abs(b), float(np.abs(values).max(initial=0.0)))):
        return Answer(reason="no variation left to estimate a standard error from")
    half = float(stats.norm.ppf(0.5 + request.conf_level / 2)) * se
    return Answer(b, se, b / se, float(2 * stats.norm.sf(abs(b / se))), b - half, b + half, warnings=tuple(warnings))


def _cautions(estimate: SyntheticEstimate, pick: Selection, inference: str, values: Array, drawn: str) -> list[str]:
    """What a reader of an error must know; said of the averages, whose periods share it."""
    if pick.event is not None:
        return []
    out = [f"{drawn}: Monte Carlo error of the standard error {spread_error(values):.2g}"] if drawn else []
    if inference == "placebo":
        out.append(SAME_NOISE)
        if len(values) < FEW_PLACEBO:
            out.append(f"there are {len(values)} placebo assignments only: their spread is itself uncertain")
        return out
    sources = [estimate.sources[i] for i in pick.groups]
    if min(sum(int((s.codes == b.code).sum()) for b in _blocks(s, pick)) for s in sources) == 2:
        out.append(TWO_TREATED)
    if inference == "jackknife" and estimate.method == "sc":
        out.append(NOT_SC)
    return out


def _ranked(b: float, values: Array, least: float, drawn: str, request: Request) -> Answer:
    """Rank among placebo estimates; the interval is unbounded where even the smallest p is above the level."""
    if not max(float(np.abs(values).max()), abs(b)) > least:
        return Answer(reason="estimate and placebo estimates are all zero: there is nothing to rank")
    rank = placebo_rank(b, values, request.conf_level)
    warnings = [EXCHANGEABLE]
    if drawn:
        error = float(np.sqrt(rank.p_value * (1 - rank.p_value) / len(values)))
        warnings.append(f"{drawn}: Monte Carlo error of the p value {error:.2g}")
    if not np.isfinite(rank.half_width):
        warnings.append("the interval is unbounded: the attainable p exceeds the level")
    low, high = finite(b - rank.half_width), finite(b + rank.half_width)
    return Answer(b, p_value=rank.p_value, conf_low=low, conf_high=high, p_attainable=rank.p_attainable, warnings=tuple(warnings))
