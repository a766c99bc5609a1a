"""How sure a finding is, by rule: low, moderate or high, always with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.section import phrases
from p4equity.section.answers import Answer

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section

FEW, MANY = 3, 10  # treated units below which no finding is more than low, and from which one may be high
HIGH, MODERATE, LOW = "high", "moderate", "low"
FORKS = ("map", "race_version", "exits", "pre_years", "weighting")  # choices a sensitivity analysis may change


def rating(s: Section, a: Answer) -> tuple[str, str]:
    """(rating, reason) of a finding about one question.

    Low without a number, with fewer than three contracted units, or where nothing is claimed. A claim is moderate when a
    sensitivity analysis or the analysis without one unit has an interval that holds zero, when the years before the contract
    already differ, or when fewer than ten units are treated, since exchangeability then rests on few; else high.
    """
    treated = int(a.main["n_treated_clusters"] or 0)
    if not a.ok:
        return LOW, "there is no number"
    if treated < FEW:
        return LOW, f"only {phrases.units(s, treated)} under a {s.study.info.treatment_label}"
    if not a.claimed:
        return LOW, "chance is not excluded by the registered rule"
    against = [*_sensitivity(s, a), *_left_out(s, a), *_before(s, a)]
    if treated < MANY:
        against.append(f"only {phrases.units(s, treated)} under a {s.study.info.treatment_label}, not chosen at random")
    if against:
        return MODERATE, phrases.join(against)
    return HIGH, "no registered check speaks against it"


def rated(s: Section, a: Answer) -> str:
    """ "*Confidence: moderate (reason).*"; nothing for an answer without a number."""
    if not a.ok:
        return ""
    level, reason = rating(s, a)
    return f"*Confidence: {level} ({reason}).*"


def is_sensitivity(s: Section, analysis_id: str) -> bool:
    """Whether an analysis asks the primary question again with a choice changed (map, data, exits, years, weights)."""
    first = next((x for x in s.study.analyses if x.registered == "primary" and x.pooled is None), None)
    analysis = next((x for x in s.study.analyses if x.id == analysis_id), None)
    if first is None or analysis is None or analysis.registered == "primary" or analysis.leave_out:
        return False
    same = all(
        getattr(analysis, k) == getattr(first, k) for k in ("outcome", "estimator", "groups", "cohorts", "contracts", "measures")
    )
    return same and any(getattr(analysis, k) != getattr(first, k) for k in FORKS)


def sensitivity_rows(s: Section, a: Answer) -> pd.DataFrame:
    """Rows of the registered sensitivity analyses on the same measure, group and outcome, first inference of each."""
    names = [x.id for x in s.study.analyses if is_sensitivity(s, x.id)]
    rows = s.run.rows({"analysis_id": names, "measure_id": a.measure_id, "group": a.group, "outcome": a.main["outcome"]})
    return rows.drop_duplicates("analysis_id")


def _sensitivity(s: Section, a: Answer) -> list[str]:
    rows = sensitivity_rows(s, a)
    weak = rows[(rows["status"] == "ok") & (rows["conf_low"] <= 0) & (rows["conf_high"] >= 0)]
    if weak.empty:
        return []
    where = "the sensitivity analysis" if len(rows) == 1 else f"{phrases.count(len(weak))} of {len(rows)} sensitivity analyses"
    return [f"in {where} its interval holds zero"]


def _left_out(s: Section, a: Answer) -> list[str]:
    names = [x.id for x in s.study.analyses if x.leave_out]
    rows = s.run.rows({"analysis_id": names, "measure_id": a.measure_id, "group": a.group, "status": "ok"})
    weak = rows[(rows["conf_low"] <= 0) & (rows["conf_high"] >= 0)]
    unit = s.study.info.unit_label
    return [f"without one {unit} ({phrases.count(len(weak))} of {len(rows)} times) its interval holds zero"] if len(weak) else []


def _before(s: Section, a: Answer) -> list[str]:
    rows = s.run.rows({"measure_id": a.measure_id, "outcome": "pretrend_" + str(a.main["outcome"]), "status": "ok"})
    if a.group != phrases.POOLED:
        rows = rows[rows["group"] == a.group]
    early = rows[rows["p_value"] < a.alpha]
    return [f"the years before the {s.study.info.treatment_label} already differ"] if len(early) else []
