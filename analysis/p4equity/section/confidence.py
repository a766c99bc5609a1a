"""How sure a finding is, by rule: low, moderate or high, always with the reason; and the checks that the rule looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.section import phrases
from p4equity.section.answers import Answer, answers, excludes_zero

if TYPE_CHECKING:
    from p4equity.section.section import Section

FEW, MANY = 3, 10  # treated units below which no finding is more than low, and from which one may be high
HIGH, MODERATE, LOW = "high", "moderate", "low"
# Choices a sensitivity analysis may change.
FORKS = ("map", "race_version", "race_method", "exits", "clusters", "members", "pre_years", "weighting", "caliper")
SHAPE = ("outcome", "estimator", "groups", "cohorts", "contracts")  # what it may not change


def rating(s: Section, a: Answer) -> tuple[str, str]:
    """(rating, reason) of a finding about one question.

    Low without a number, with fewer than three treated units, where nothing is claimed, or where a sensitivity analysis turns the
    sign. Otherwise objections are counted: a sensitivity analysis, or the analysis without one unit, whose interval holds zero;
    a test of the years before the treatment that rejects; fewer than ten treated units, since exchangeability then rests on
    few. None is high, one moderate, more low.
    """
    treated, label = int(a.main["n_treated_clusters"] or 0), s.study.info.treatment_label
    if not a.ok:
        return LOW, "there is no number"
    if treated < FEW:
        return LOW, f"only {phrases.units(s, treated)} with a {label}"
    if not a.claimed:
        return LOW, "chance is not excluded by the rule for claims"
    turned = [c for c in checks(s, a) if (c.main["estimate"] < 0) != (a.main["estimate"] < 0)]
    if turned:
        return LOW, f"the sign changes in {of_checks(len(turned), len(checks(s, a)))}"
    against = [*_sensitivity(s, a), *_left_out(s, a), *_before(s, a)]
    if treated < MANY:
        against.append(f"only {phrases.units(s, treated)} with a {label}")
    if against:
        return (MODERATE if len(against) == 1 else LOW), "; ".join(against)
    return HIGH, f"no {phrases.planned(s)} check speaks against it"


def rated(s: Section, a: Answer) -> str:
    """ "*Confidence: moderate (reason).*"; nothing for an answer without a number."""
    if not a.ok:
        return ""
    level, reason = rating(s, a)
    return f"*Confidence: {level} ({reason}).*"


def _asks_again(analysis: Any, first: Any) -> bool:
    if analysis.id == first.id or analysis.leave_out:
        return False
    same = all(getattr(analysis, k) == getattr(first, k) for k in SHAPE)
    return same and any(getattr(analysis, k) != getattr(first, k) for k in FORKS)


def checks(s: Section, a: Answer) -> list[Answer]:
    """The answers to the same question with a choice changed, that have a number: its sensitivity analyses."""
    first = s.study.analysis(a.analysis_id)
    return [
        b
        for x in s.study.analyses
        if _asks_again(x, first)
        for b in answers(s, x.id)
        if b.ok and (b.measure_id, b.group) == (a.measure_id, a.group)
    ]


def holding_zero(found: list[Answer]) -> int:
    """How many of these answers have an interval that holds zero."""
    return sum(not excludes_zero(b.main) for b in found)


def of_checks(part: int, whole: int) -> str:
    """ "two of six sensitivity analyses"."""
    if whole == 1:
        return "the sensitivity analysis"
    return f"{phrases.count(part)} of {phrases.count(whole)} sensitivity analyses"


def _sensitivity(s: Section, a: Answer) -> list[str]:
    found = checks(s, a)
    weak = holding_zero(found)
    return [f"the interval includes zero in {of_checks(weak, len(found))}"] if weak else []


def _left_out(s: Section, a: Answer) -> list[str]:
    names = [x.id for x in s.study.analyses if x.leave_out]
    rows = s.run.rows({"analysis_id": names, "measure_id": a.measure_id, "group": a.group, "status": "ok"})
    weak = rows[(rows["conf_low"] <= 0) & (rows["conf_high"] >= 0)]
    unit = s.study.info.unit_label
    if weak.empty:
        return []
    return [f"the interval includes zero without one {unit} ({phrases.count(len(weak))} of {phrases.count(len(rows))} times)"]


def _before(s: Section, a: Answer) -> list[str]:
    rows = s.run.rows({"measure_id": a.measure_id, "outcome": "pretrend_" + str(a.main["outcome"]), "status": "ok"})
    if a.group != phrases.POOLED:
        rows = rows[rows["group"] == a.group]
    early = rows[rows["p_value"] < a.alpha]
    by_chance = f", {len(early)} of {len(rows)}" if len(rows) > 1 else ""
    return [f"a test of the years before the {s.study.info.treatment_label} rejects{by_chance}"] if len(early) else []
