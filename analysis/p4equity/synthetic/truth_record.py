"""What goes into truth.json: the planted effects cell by cell, and the bias each contamination is predicted to cause."""

from __future__ import annotations

from collections.abc import Iterator
from math import comb, erf
from typing import Any

import numpy as np

from p4equity.study import Analysis, Study
from p4equity.study.vocabulary import OWN_QUESTIONS
from p4equity.synthetic.build_streams import streams_of
from p4equity.synthetic.bumps import candidate_streams, contracted_streams
from p4equity.synthetic.draws import BoolArray, FloatArray
from p4equity.synthetic.plan import HIGHEST_READING, Plan, StreamPlan
from p4equity.synthetic.rates import build_rates, treated_years
from p4equity.synthetic.truth import Planted

POOLED = "pooled"


def truth_record(study: Study, planted: Planted, plan: Plan) -> dict[str, Any]:
    """The content of truth.json. Effects in percentage points (spending: USD per member-month); gap = reference - group."""
    shocks = planted.truth.shocks
    streams = streams_of(study)
    rates = {
        name: build_rates(study, planted, found[0], tuple(m.id for m in found), plan.seed) for name, found in streams.items()
    }
    return {
        "study": study.id,
        "scenario": planted.scenario,
        "description": planted.truth.scenario[planted.scenario].description,
        "seed": plan.seed,
        "members": plan.members,
        "switches": sorted(planted.switches),
        "shocks": {
            "level_sd": shocks.level_sd,
            "autocorrelation": shocks.autocorrelation,
            "shared": shocks.shared,
            "gap_sd": {name: rate.gap_sd for name, rate in rates.items()},
        },
        "effects": effects(study, planted, plan.seed),
        "expected": expected(study, planted, plan.seed),
        "spending_effects": _spending(study, plan),
        "predicted_bias": [
            *_selection_bias(study, planted, {name: rate.selection for name, rate in rates.items()}),
            *_bias_beside(study, planted, {name: rate.beside for name, rate in rates.items()}),
            *_documentation_bias(study, planted, plan),
            *_race_bias(study, planted, plan),
        ],
    }


def effects(study: Study, planted: Planted, seed: int) -> list[dict[str, Any]]:
    """One row a contracted system x measure x group with the years it holds."""
    assert study.scheme is not None
    groups = study.scheme.ids
    rows: list[dict[str, Any]] = []
    for system_id, measure_id, cohort in study.contract_matrix().itertuples(index=False):
        found = streams_of(study)[study.measure(measure_id).events]
        effect = build_rates(study, planted, found[0], tuple(m.id for m in found), seed).effect
        s = [x.id for x in study.systems].index(system_id)
        years = np.array(study.years)[treated_years(study, (measure_id,))[s] > 0]
        if not len(years):
            continue
        points = effect[s, :, study.years.index(int(years[0]))]
        for group in study.group_ids:
            own = float(points[groups.index(group)])
            rows.append(
                {
                    "system_id": system_id,
                    "measure_id": measure_id,
                    "group": group,
                    "cohort": int(cohort),
                    "first_year": int(years[0]),
                    "last_year": int(years[-1]),
                    "effect_group": own,
                    "effect_reference": float(points[0]),
                    "effect_gap": float(points[0]) - own,
                }
            )
    return rows


def expected(study: Study, planted: Planted, seed: int) -> list[dict[str, Any]]:
    """Mean planted effect by measure, cohort and group.

    `pooled` is the mean over all compared groups; a question that pools only some of them (those with a baseline gap) has the
    mean of their rows as its truth. The same holds for `predicted_bias`.
    """
    rows: list[dict[str, Any]] = []
    table = effects(study, planted, seed)
    for measure, cohort in dict.fromkeys((r["measure_id"], r["cohort"]) for r in table):
        found = [r for r in table if r["measure_id"] == measure and r["cohort"] == cohort]
        by_group = {}
        for group in study.group_ids:
            own = [r for r in found if r["group"] == group]
            by_group[group] = {k: float(np.mean([r[k] for r in own])) for k in ("effect_group", "effect_reference", "effect_gap")}
        compared = [by_group[g] for g in study.groups.compared]
        by_group[POOLED] = {k: float(np.mean([v[k] for v in compared])) for k in compared[0]} if compared else {}
        rows.extend({"measure_id": measure, "cohort": cohort, "group": g, **values} for g, values in by_group.items())
    return rows


def _spending(study: Study, plan: Plan) -> list[dict[str, Any]]:
    if plan.spending is None:
        return []
    rows = []
    for s, system in enumerate(study.systems):
        on = np.flatnonzero(plan.spending.effect[s])
        if len(on):
            years = (int(study.years[on[0]]), int(study.years[on[-1]]))
            usd = float(plan.spending.effect[s, on[0]])
            rows.append({"system_id": system.id, "first_year": years[0], "last_year": years[1], "usd_pmpm": usd})
    return rows


def largest_of(draws: int, k: int = 1) -> float:
    """Expected mean of the k largest of independent standard normal draws."""
    x = np.linspace(-9, 9, 20_001)
    below = np.array([0.5 * (1 + erf(v / np.sqrt(2))) for v in x])
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    ranked = sum(comb(draws - 1, r) * (1 - below) ** r * below ** (draws - 1 - r) for r in range(k))
    return float(np.trapezoid(x * draws * density * ranked, x)) / k


def _gap_questions(study: Study) -> Iterator[tuple[Analysis, str, int, BoolArray, BoolArray]]:
    """(analysis, measure, cohort, treated systems, comparison systems) of every single-measure question on the gap."""
    for analysis in study.analyses:
        if (
            analysis.outcome != "gap"
            or analysis.pooled
            or analysis.contracts == "any"
            or analysis.estimator in ("event_study", *OWN_QUESTIONS)
        ):
            continue
        for measure in study.measure_ids(analysis.measures):
            cohorts = np.array([study.cohort_of(s.id, measure) or 0 for s in study.systems])
            adult = {s.stratum for s, c in zip(study.systems, cohorts, strict=True) if c in analysis.cohorts}
            treated = np.isin(cohorts, analysis.cohorts)
            comparison = np.array([s.arm == "comparison" and s.stratum in adult for s in study.systems])
            if treated.any() and comparison.any():
                yield analysis, measure, min(analysis.cohorts), treated, comparison


def _rows(study: Study, analysis: Analysis, measure: str, by_group: dict[str, float], **more: Any) -> list[dict[str, Any]]:
    values = dict(by_group)
    values[POOLED] = float(np.mean([by_group[g] for g in study.groups.compared]))
    return [
        {"analysis_id": analysis.id, "measure_id": measure, "group": group, "outcome": "gap", "points": round(value, 4), **more}
        for group, value in values.items()
    ]


def _selection_bias(study: Study, planted: Planted, selection: dict[str, FloatArray]) -> list[dict[str, Any]]:
    """The passing gaps of the selection years leave the baseline: minus their size times their share of the baseline years."""
    switch = " and ".join(sorted(planted.switches & {"noise_selection", "rule_selection"}))
    if not switch:
        return []
    rows: list[dict[str, Any]] = []
    years = study.baseline.selection_years
    for analysis, measure, _, treated, comparison in _gap_questions(study):
        pre = analysis.pre_years or study.baseline.pre_years
        share = len(set(pre) & set(years)) / len(pre)
        planted_gap = -selection[study.measure(measure).events][:-1, -1, :][:, [study.years.index(y) for y in years]].mean(axis=1)
        realized = -(planted_gap[treated].mean() - planted_gap[comparison].mean()) * share
        by_group = dict.fromkeys(study.groups.compared, -_bulge(study, planted, treated) * share)
        rows += _rows(study, analysis, measure, by_group, switch=switch, realized=round(float(realized), 4))
    return rows


def _bulge(study: Study, planted: Planted, treated: BoolArray) -> float:
    """Expected passing gap of the contracted cells of a measure, mean over systems: the largest of its draws."""
    noise, rule, bulge = planted.truth.noise_selection, planted.truth.rule_selection, 0.0
    if planted.on("noise_selection") and noise is not None:
        bulge += noise.sd * largest_of(noise.draws)
    if planted.on("rule_selection") and rule is not None:
        of = len(candidate_streams(study, planted))
        named = [len(contracted_streams(study, study.systems[s].id)) for s in np.flatnonzero(treated)]
        bulge += rule.sd * float(np.mean([largest_of(of, k) for k in named]))
    return bulge


def _bias_beside(study: Study, planted: Planted, beside: dict[str, FloatArray]) -> list[dict[str, Any]]:
    """What else than contracts in force changes contracted systems' gaps, less the same at comparison systems."""
    assert study.scheme is not None
    rows: list[dict[str, Any]] = []
    switch = " and ".join(sorted(planted.switches & {"grant_effect", "spillover", "prior_trend", "anticipation"}))
    for analysis, measure, cohort, treated, comparison in _gap_questions(study):
        added = beside[study.measure(measure).events][:-1]
        if not added.any():
            continue
        pre = [study.years.index(y) for y in (analysis.pre_years or study.baseline.pre_years)]
        post = [t for t, y in enumerate(study.years) if y >= cohort]
        by_group = {}
        for group in study.groups.compared:
            gap = added[:, 0] - added[:, study.scheme.ids.index(group)]
            change = np.array([_change(study, own, s, pre, post) for s, own in enumerate(gap)])
            by_group[group] = float(change[treated].mean() - change[comparison].mean())
        rows += _rows(study, analysis, measure, by_group, switch=switch)
    return rows


def _item(plan: Plan, study: Study, measure: str) -> StreamPlan:
    return next(item for item in plan.streams if item.id == study.measure(measure).events)


def _documentation_bias(study: Study, planted: Planted, plan: Plan) -> list[dict[str, Any]]:
    """More readings raise a rate by the added share with a reading times the share controlled among those with one."""
    if not planted.on("documentation_gain"):
        return []
    assert study.scheme is not None
    groups, rows = study.scheme.ids, []
    for analysis, measure, cohort, treated, _ in _gap_questions(study):
        item = _item(plan, study, measure)
        if item.reading is None or not item.reading_gain.any():
            continue
        on = np.flatnonzero(treated)[:, None], np.flatnonzero(np.array(study.years) >= cohort)[None, :]
        change = {}
        for group in study.group_ids:
            k = groups.index(group)
            gain = np.minimum(item.reading + item.reading_gain, HIGHEST_READING)[on[0], k, on[1]] - item.reading[on[0], k, on[1]]
            control = (item.rate[0, on[0], k, on[1]] + item.effect[on[0], k, on[1]]) / item.reading[on[0], k, on[1]]
            change[group] = 100 * float((gain * control)[gain > 0].mean()) if (gain > 0).any() else 0.0
        by_group = {g: change[study.group_ids[0]] - change[g] for g in study.groups.compared}
        rows += _rows(study, analysis, measure, by_group, switch="documentation_gain")
    return rows


def attenuation(study: Study, plan: Plan) -> FloatArray:
    """Observed gap over gap by frozen class, by system and year (S, Y): s + (1 - s)(1 - error)."""
    race, settings = plan.race, study.race
    assert race is not None
    assert settings is not None
    used = [race.versions.index(settings.contemporaneous_versions[y]) for y in study.years]
    said, error = race.self_report[used, :-1].T, race.error[used][None, :]
    result: FloatArray = said + (1 - said) * (1 - error)
    return result


def _race_bias(study: Study, planted: Planted, plan: Plan) -> list[dict[str, Any]]:
    """With contemporaneous race data each year's gap is attenuated; the change of attenuation passes for a change of gap."""
    if not planted.on("race_error") or plan.race is None or study.race is None:
        return []
    assert study.scheme is not None
    factor, rows = attenuation(study, plan), []
    for analysis, measure, cohort, treated, comparison in _gap_questions(study):
        if (analysis.race_version or study.race.primary) != "contemporaneous":
            continue
        item, by_group = _item(plan, study, measure), {}
        pre = [study.years.index(y) for y in (analysis.pre_years or study.baseline.pre_years)]
        post = [t for t, y in enumerate(study.years) if y >= cohort]
        for group in study.groups.compared:
            rate = item.rate[0, :-1] + item.effect[:-1]
            gap = 100 * (rate[:, 0] - rate[:, study.scheme.ids.index(group)])
            wrong = (factor - 1) * gap
            change = np.array([_change(study, wrong[s], s, pre, post) for s in range(len(study.systems))])
            by_group[group] = float(change[treated].mean() - change[comparison].mean())
        rows += _rows(study, analysis, measure, by_group, switch="race_drift" if planted.on("race_drift") else "race_error")
    return rows


def _change(study: Study, series: FloatArray, system: int, pre: list[int], post: list[int]) -> float:
    """Mean of the years after minus mean of the baseline years, up to a system's exit."""
    left = study.exit_year(study.systems[system].id)
    kept = [t for t in post if left is None or study.years[t] < left]
    return float(series[kept].mean() - series[pre].mean())
