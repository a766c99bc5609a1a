"""Which registered analyses an exhibit shows: chosen by what they are, never by their id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from p4equity.study import Analysis, Study
from p4equity.study.names import MEMBERS_NAMES, RACE_METHOD_NAMES, RACE_VERSION_NAMES

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.results import Results

OK = "ok"
WEIGHTED = {"patient": "counted by their members", "system": "counted alike", "random_effects": "counted by precision"}
SIDES = ("gap", "reference_rate", "group_rate")  # the three answers of one question on a gap


def pooled_analysis(study: Study) -> Analysis | None:
    """The primary question over all contracted measures."""
    return _first(study, lambda a: a.registered == "primary" and a.pooled == "measures")


def measure_analysis(study: Study) -> Analysis | None:
    """The primary question on the gap of each contracted measure, with the registered baseline."""
    return _first(study, lambda a: a.registered == "primary" and a.pooled is None and a.outcome == "gap" and a.groups == "pooled")


def group_analysis(study: Study) -> Analysis | None:
    """The same estimator as the primary, one row a measure and group."""
    main = measure_analysis(study)
    return _first(
        study, lambda a: main is not None and a.outcome == "gap" and a.groups == "each" and a.estimator == main.estimator
    )


def event_studies(study: Study) -> list[Analysis]:
    """All registered event studies that show a path."""
    return [a for a in study.analyses if a.estimator == "event_study" and not a.bounds_trends]


def system_analysis(study: Study) -> Analysis | None:
    """The analysis of single systems' changes."""
    return _first(study, lambda a: a.estimator == "system_change")


def selection_analysis(study: Study) -> Analysis | None:
    """The question how far gaps narrow by themselves because measures were selected."""
    return _first(study, lambda a: a.estimator == "selected_baseline")


def fresh_baselines(study: Study) -> list[Analysis]:
    """The primary question on the same measures with a baseline that leaves out the years of selection."""
    chosen = set(study.baseline.selection_years)
    return [a for a in sensitivities(study) if a.registered == "primary" and not chosen & set(a.pre_years)]


def scale_analyses(study: Study) -> list[Analysis]:
    """The primary question on other scales."""
    return [a for a in study.analyses if a.estimator == "scale_change"]


def adjusted_analyses(study: Study) -> list[Analysis]:
    """The primary question with one fact about systems held fixed."""
    return [a for a in study.analyses if a.estimator == "adjusted_change"]


def placebo_analyses(study: Study) -> list[Analysis]:
    """The primary question at dates before any contract."""
    return [a for a in study.analyses if a.estimator == "placebo_date"]


def leave_out_analysis(study: Study) -> Analysis | None:
    """The primary question over all contracted measures without each system in turn."""
    return _first(study, lambda a: a.leave_out is not None and a.pooled == "measures")


def leave_out_analyses(study: Study) -> list[Analysis]:
    """Every question that leaves each system out in turn."""
    return [a for a in study.analyses if a.leave_out is not None]


def exit_bounds_analysis(study: Study) -> Analysis | None:
    """What the years after an exit could change."""
    return _first(study, lambda a: a.estimator == "exit_bounds")


def sensitivities(study: Study) -> list[Analysis]:
    """The primary question on the same measures and cohorts with something else changed."""
    main = measure_analysis(study)
    if main is None:
        return []
    return [
        a
        for a in study.analyses
        if a.id != main.id and a.pooled is None and a.leave_out is None
        and (a.outcome, a.estimator, a.groups) == (main.outcome, main.estimator, main.groups)
        and (a.measures, a.cohorts) == (main.measures, main.cohorts)
    ]  # fmt: skip


def guardrails(study: Study) -> list[Analysis]:
    """Questions with a margin: has something else become worse?"""
    return [a for a in study.analyses if a.margin is not None]


def costs(study: Study) -> list[Analysis]:
    """Ratios of the effect on spending to the narrowing of gaps."""
    return [a for a in study.analyses if a.estimator == "cost_per_point"]


def other_questions(study: Study) -> list[Analysis]:
    """Questions on a gap about other measures or cohorts than the primary's, each or pooled, and companion rates."""
    main = measure_analysis(study)
    if main is None:
        return []
    return [
        a
        for a in study.analyses
        if a.estimator == main.estimator and a.leave_out is None and a.margin is None and a.groups in ("pooled", "all")
        and (a.outcome == "companion" or (a.measures, a.cohorts) != (main.measures, main.cohorts))
    ]  # fmt: skip


def _first(study: Study, wanted: object) -> Analysis | None:
    assert callable(wanted)
    return next((a for a in study.analyses if wanted(a)), None)


def analysis_title(analysis: Analysis, study: Study) -> str:
    """The registered title, or what sets the analysis apart from the primary one, in words."""
    if analysis.title:
        return analysis.title
    main, parts = measure_analysis(study), []
    if main is not None and analysis.outcome == main.outcome:
        if analysis.map != main.map:
            parts.append("practices in the system of each year" if analysis.map == "as_treated" else "practices as at baseline")
        if analysis.race_method != main.race_method:
            parts.append(RACE_METHOD_NAMES[analysis.race_method])
        elif analysis.race_version != main.race_version:
            parts.append(f"race and ethnicity data {RACE_VERSION_NAMES[str(analysis.race_version)]}")
        if analysis.exits != main.exits:
            parts.append(
                {"drop": "systems that left dropped", "carry": "systems that left kept to the end"}.get(str(analysis.exits), "")
            )
        if analysis.members != main.members:
            parts.append(MEMBERS_NAMES[analysis.members])
        if analysis.caliper is not None:
            parts.append(f"only {study.info.unit_label_plural} whose baseline gap has a like one in the other arm")
        if analysis.weighting != main.weighting and analysis.estimator == main.estimator:
            parts.append(f"{study.info.unit_label_plural} {WEIGHTED[analysis.weighting]}")
        if analysis.clusters != main.clusters:
            parts.append(f"{study.info.unit_label_plural} of one owner as one")
        if analysis.pre_years != main.pre_years:
            parts.append("baseline " + " and ".join(str(y) for y in analysis.pre_years))
        if analysis.cohorts != main.cohorts:
            parts.append(f"contracts from {' and '.join(str(y) for y in analysis.cohorts)}")
    text = ", ".join(p for p in parts if p) or analysis.id.replace("_", " ")
    return text[:1].upper() + text[1:]


def rows_of(results: Results, analysis: Analysis | None, **identity: object) -> pd.DataFrame:
    """The rows of an analysis in the estimates with these column values (a tuple: any of them), in registered order."""
    frame = results.estimates
    found = frame[frame["analysis_id"] == (analysis.id if analysis else "")]
    for column, value in identity.items():
        if value is None:
            found = found[found[column].isna()]
        elif isinstance(value, tuple):
            found = found[found[column].isin(list(value))]
        else:
            found = found[(found[column] == value).fillna(False)]
    return found


def overall(results: Results, analysis: Analysis, **identity: object) -> pd.DataFrame:
    """The answers of an analysis as a whole: no rows of single years, nor of single cohorts beside an average over them."""
    rows = rows_of(results, analysis, outcome=analysis.outcome, event_time=None, interval="pointwise", **identity)
    pooled = rows["cohort"].isna()
    return rows[pooled] if pooled.any() else rows


def one(rows: pd.DataFrame, **identity: object) -> Mapping[str, object] | None:
    """The one row with these values, or None when there is none; the first when there are several."""
    found = rows
    for column, value in identity.items():
        found = found[found[column] == value]
    return dict(found.iloc[0]) if len(found) else None
