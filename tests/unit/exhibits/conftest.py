"""Made results of both studies: every registered row with a number, some suppressed, some not estimable; no run behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from p4equity.dictionary import load_dictionary
from p4equity.estimates import estimates_table
from p4equity.evaluation.leveling import BOUNDED, NO_OWN_GAP, PRIOR, PROBABILITIES, SHARES
from p4equity.results import Results
from p4equity.study import Analysis, Study, load_study

SUPPRESSED = {"status": "suppressed", "reason": "a count below the disclosure threshold"}
FINE = {"status": "ok", "reason": None}
NONE = {"status": "not_estimable", "reason": "two treated clusters"}
ARMS = ("participating", "comparison")


def common(study: Study, analysis: Analysis, **identity: Any) -> dict[str, Any]:
    return {
        "analysis_id": analysis.id,
        "estimand": "effect",
        "estimator": analysis.estimator,
        "system_id": "all",
        "cohort": study.launch_cohort,
        "sample": "main",
        "race_version": "frozen",
        "weighting": analysis.weighting,
        "registered": analysis.registered,
        "interval": "pointwise",
        "conf_level": 0.95,
        "plan_hash": "p",
        "data_hash": "d",
        "code_version": "c",
        "n_clusters": 12,
        "n_treated_clusters": 5,
        "df": 10.0,
        "p_attainable": 0.001,
        "n_members": 5000,
        "first_year": 2019,
        "last_year": 2025,
        "reference_group": study.groups.reference,
        "outcome_unit": "percentage points" if study.groups.compared else "log points",
        **FINE,
        **identity,
    }


def answer(row: dict[str, Any], estimate: float, half: float) -> dict[str, Any]:
    return {
        **row,
        "estimate": estimate,
        "std_error": half / 2,
        "conf_low": estimate - half,
        "conf_high": estimate + half,
        "p_value": 0.03,
    }


def made_rows(study: Study) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(7)
    yield from baseline_rows(study)
    for analysis in study.analyses:
        measures = ["pooled"] if analysis.pooled else list(study.measure_ids(analysis.measures))
        for k, measure in enumerate(measures):
            groups = {"pooled": ["pooled"], "each": list(study.groups.compared), "all": ["all"]}[analysis.groups]
            for group in ["pooled", *groups] if analysis.estimator == "leveling" else groups:
                yield from answers(study, analysis, measure, group, k, rng)
        if analysis.estimator == "leveling":
            yield from answers(study, analysis, "pooled", "pooled", 0, rng)


def answers(
    study: Study, analysis: Analysis, measure: str, group: str, k: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    base = common(study, analysis, measure_id=measure, group=group, outcome=analysis.outcome)
    if analysis.estimator == "event_study":
        yield from event_rows(study, analysis, base, k, rng)
    elif analysis.estimator == "system_change":
        yield from system_rows(study, base, measure, rng)
    elif analysis.estimator == "leveling":
        yield from leveling_rows(study, analysis, base, k)
    elif analysis.leave_out:
        for system in study.systems:
            yield {
                **answer(base, -3.0 + rng.normal(0, 0.2), 2.0),
                "inference": analysis.inference[0],
                "sample": f"without {system.id}",
            }
    elif analysis.outcome == "companion":
        for outcome in ("tested", "controlled_given_tested"):
            yield {**answer(base, 0.5, 2.0), "inference": analysis.inference[0], "outcome": outcome}
    else:
        reference, own = (-3.0, 0.2) if k == 0 else (0.1, 3.0)  # the first measure levels down, the others level up
        effect = reference - own if analysis.outcome == "gap" else 0.06
        for inference in analysis.inference:
            yield {**answer(base, effect, 1.5 if study.groups.compared else 0.05), "inference": inference}
        if analysis.outcome == "gap":
            for outcome, value in (("reference_rate", reference), ("group_rate", own)):
                yield {**answer(base, value, 1.5), "inference": analysis.inference[0], "outcome": outcome}
        if analysis.outcome == "gap" and len(analysis.inference) > 1 and analysis.estimator == "meta_regression":
            weak = k == 0 and measure != "pooled"  # the first measure's change may be chance
            claim = {**answer(base, effect, 1.5), "inference": "claim", "conf_low": None, "conf_high": None}
            yield {**claim, "p_value": 0.2 if weak else 0.03}


def baseline_rows(study: Study) -> Iterator[dict[str, Any]]:
    """Every group behind at baseline, but the last one on the second measure."""
    described = study.analyses[0]
    for k, measure in enumerate(study.measure_ids("contracted")):
        for group in study.groups.compared:
            behind = not (k == 1 and group == study.groups.compared[-1])
            row = common(study, described, measure_id=measure, group=group, outcome="gap", inference="sampling")
            row |= {"analysis_id": "baseline_gap", "estimator": "descriptive", "registered": "secondary"}
            yield answer(row, 6.0 if behind else 0.5, 1.0)


def event_rows(
    study: Study, analysis: Analysis, base: dict[str, Any], k: int, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    times = [t - study.launch_cohort for t in study.years if t != study.baseline.reference_year]
    yield {**answer(base, -1.0, 3.0), "inference": "cr2", "outcome": f"pretrend_{analysis.outcome}", "p_value": 0.4}
    for event_time in times:
        value = float(rng.normal(5.0, 0.5))  # nowhere near zero: a point at zero would be an invented one
        for interval, half in (("pointwise", 3.0), ("simultaneous", 5.0)):
            row = {**answer(base, value, half), "inference": "cr2", "event_time": event_time, "interval": interval}
            yield {**row, **NONE} if k == 0 and event_time == max(times) else row


def leveling_rows(study: Study, analysis: Analysis, base: dict[str, Any], k: int) -> Iterator[dict[str, Any]]:
    """The first measure and all pooled level down, the others up; the last group has no baseline gap on the second."""
    reference, own = (-3.0, 0.2) if k == 0 else (0.1, 3.0)
    base = {**base, "inference": analysis.inference[0]}
    effects = (reference, own, reference - own)
    for outcome, value, half in zip(BOUNDED, effects, (0.5, 0.25, 0.55), strict=True):
        error = {"std_error": half / 2.5, "interval": "simultaneous"}
        yield {**answer(base, value, half), **error, "outcome": outcome}
    behind = not (k == 1 and base["group"] == study.groups.compared[-1])
    for outcome in SHARES:
        row = {**base, "outcome": outcome, "outcome_unit": "percent"}
        yield answer(row, 90.0, 20.0) if behind else {**row, "status": "not_estimable", "reason": NO_OWN_GAP}
    for outcome, probability in zip(PROBABILITIES, (60.0, 25.0, 10.0, 40.0), strict=True):
        row = {**base, "outcome": outcome, "outcome_unit": "percent"}
        known = {**row, "estimate": probability, "statistic": 15.0, "reason": PRIOR}
        yield known if behind else {**row, "status": "not_estimable", "reason": NO_OWN_GAP}


def system_rows(study: Study, base: dict[str, Any], measure: str, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    matrix = study.contract_matrix()
    for n, system in enumerate(matrix.loc[matrix["measure_id"] == measure, "system_id"]):
        row = {**base, "system_id": system, "inference": "sampling", "n_treated_clusters": 1}
        if n == 0:
            yield {**row, "sample": "raw", **NONE}
            continue
        value = float(rng.normal(-4, 0.5))
        yield {**answer(row, value, 4.0), "sample": "raw"}
        yield {**answer(row, value / 2, 2.0), "sample": "shrunken", "statistic": 0.5}


def rates(study: Study) -> pd.DataFrame:
    groups = study.group_ids if study.groups.compared else ("all",)
    rows = [
        {
            "arm": arm,
            "measure_id": m,
            "group": g,
            "year": y,
            "den": 500,
            "num": 300,
            "rate": 60.0 + i + y - 2018,
            "std_error": 1.0,
            **FINE,
        }
        for arm in ("contracted", "comparison")
        for m in study.measures
        for i, g in enumerate(groups)
        for y in study.years
    ]
    frame = pd.DataFrame(rows)
    if study.groups.compared:
        hide = (frame["group"] == study.groups.compared[0]) & (frame["year"] == study.years[1])
        frame.loc[hide, ["den", "num", "rate", "std_error"]] = None
        frame.loc[hide, ["status", "reason"]] = list(SUPPRESSED.values())
    return frame


def flow(study: Study) -> pd.DataFrame:
    year, rows = max(study.baseline.pre_years), []
    for arm, start in (("all", 1), *((a, 3) for a in ARMS)):
        for group in ("all", *study.group_ids):
            n = 1200 * (2 if arm == "all" else 1) * (4 if group == "all" else 1)
            for step in range(start, 6):
                before, n = n, n - 40
                rows.append(
                    {
                        "step": step,
                        "label": f"Step {step}",
                        "arm": arm,
                        "group": group,
                        "year": year,
                        "n": n,
                        "dropped": before - n,
                        **FINE,
                    }
                )
    frame = pd.DataFrame(rows)
    frame.loc[frame["step"] == frame.groupby(["arm", "group"])["step"].transform("min"), "dropped"] = None
    hide = (frame["group"] == study.group_ids[-1]) & (frame["arm"] == ARMS[1])
    frame.loc[hide, ["n", "dropped"]] = None
    frame.loc[hide, ["status", "reason"]] = list(SUPPRESSED.values())
    return frame


def profile() -> pd.DataFrame:
    rows = [
        {"characteristic": c, "level": level, "arm": arm, "n": 100, "share": 0.5, "smd": 0.04, **FINE}
        for c, levels in (("sex", ("F", "M")), ("age_band", ("0-17", "18-34")))
        for level in levels
        for arm in ARMS
    ]
    frame = pd.DataFrame(rows).astype({"n": "Float64"})
    frame.loc[0, ["n", "share", "smd"]] = None
    frame.loc[0, ["status", "reason"]] = list(SUPPRESSED.values())
    return frame


def paid(study: Study) -> pd.DataFrame:
    rows = []
    for n, cell in enumerate(study.contract_matrix().to_dict("records")):
        row = {"system_id": cell["system_id"], "measure_id": cell["measure_id"], "group": study.groups.compared[0], **NONE}
        if n:
            row |= {
                "first_year": 2023,
                "last_year": 2025,
                "gap_base": 8.0,
                "gap_perf": 5.0,
                "narrowing": 3.0,
                "se_narrowing": 1.0 + n,
                "gate_met": n != 2,
                "score": 0.6 * (n != 2),
                "shrunken_score": 0.5,
                "expected_by_chance": 0.2,
                "max_possible": 1000.0,
                "earned": 600.0,
                "earned_by_chance": 200.0,
                "baseline_rate": 60.0,
                "performance_rate": 63.0,
                "overall_change": 1.0,
                **FINE,
            }
        rows.append(row)
    return pd.DataFrame(rows).reindex(columns=list(load_dictionary().table("payment_result").names))


def precise(study: Study) -> pd.DataFrame:
    """The first system could be paid on its first measure, the last is suppressed; the last group has no gap."""
    contracts = set(study.contract_matrix()[["system_id", "measure_id"]].itertuples(index=False, name=None))
    rows = []
    for n, system in enumerate(s for s in study.systems if s.arm in ARMS):
        for k, measure in enumerate(study.measure_ids("contracted")):
            for group in (*study.groups.compared, "pooled"):
                row = {"system_id": system.id, "arm": system.arm, "measure_id": measure, "group": group}
                row |= {"contracted": (system.id, measure) in contracts, **SUPPRESSED}
                if system is not study.systems[-1]:
                    row |= {"has_gap": group != study.groups.compared[-1], "baseline_gap": 6.0, "mean_members": 400.0 - n, **FINE}
                    row |= {"se_level": 1.0, "se_change": 1.5 + n, "reliability_level": 0.9, "reliability_change": 0.7 / (n + 1)}
                    row |= {"detectable_change": 2.8 * (1 + n), "detectable": n == 0, "payable": n == k == 0}
                    row |= {"would_carry": n == 0} if group == "pooled" else {}
                rows.append(row)
    frame = pd.DataFrame(rows).reindex(columns=list(load_dictionary().table("precision").names))
    return frame.astype(dict.fromkeys(("has_gap", "detectable", "payable", "would_carry"), object))


def implementation() -> pd.DataFrame:
    def row(section: str, indicator: str, arm: str, item: str, n: int, value: float, unit: str) -> dict[str, Any]:
        return {
            "section": section,
            "indicator": indicator,
            "arm": arm,
            "item": item,
            "n": n,
            "basis": "x",
            "value": value,
            "unit": unit,
            **FINE,
        }

    rows = [row("adoption", "reports_opened", arm, "all", 20, 60.0, "percent of reports delivered") for arm in (*ARMS, "all")]
    rows += [
        row("interviews", "interviews", "all", "all", 30, 50.0, "minutes"),
        row("interviews", "kappa", "all", "all", 90, 0.8, "kappa"),
    ]
    rows += [
        row("interviews", "segments", "all", code, 20, v, "valence")
        for code, v in (("innovation_cost", -0.4), ("process_engaging", 0.7))
    ]
    return pd.DataFrame(rows)


def made_tables(study: Study) -> dict[str, pd.DataFrame]:
    tables = {"rate": rates(study)}
    if not study.groups.compared:
        return tables
    source = [
        {"arm": arm, "group": g, "year": y, "n": 900, "n_self_reported": 200, "self_reported_share": 20.0 + y - 2018, **FINE}
        for arm in ARMS
        for g in (*study.group_ids, "all")
        for y in study.years
    ]
    return tables | {
        "flow_chart": flow(study),
        "profile": profile(),
        "payment_result": paid(study),
        "precision": precise(study),
        "implementation": implementation(),
        "race_source": pd.DataFrame(source),
    }


def made_results(study_id: str) -> Results:
    study = load_study(study_id)
    compared = bool(study.groups.compared)
    return Results(study, estimates_table(made_rows(study)), made_tables(study), masked=compared, synthetic=compared)


@pytest.fixture(scope="session")
def results() -> Results:
    """Made results of the first study."""
    return made_results("bcbsma_pay_for_equity")


@pytest.fixture(scope="session")
def value_results() -> Results:
    """Made results of the study of published aggregates."""
    return made_results("castle_doctrine")
