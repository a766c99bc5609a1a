"""Claims: a question is answered yes only when all primary inferences reject, in the registered order of questions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from p4equity.evaluation.context import Context
from p4equity.inference.multiplicity import gatekept
from p4equity.study import Analysis, Study

CLAIM = "claim"
POOLED = "pooled"
Row = dict[str, Any]
Key = tuple[str, str]  # measure, group
Family = dict[Key, float]
Questions = dict[Hashable, float]
NO_PARENT = "the question that comes before it in the hierarchy has no answer"
PLAIN = "largest p of the primary inferences"
FEWEST = 3  # systems an arm needs for a claim: with fewer no method holds its size (tests/recovery/decision.csv)
TOO_FEW = f"fewer than {FEWEST} systems in an arm: no method is known to hold its level, so nothing is claimed"


def claim_rows(context: Context, rows: Sequence[Row]) -> list[Row]:
    """One row a question that all primary inferences answer: p is the largest of theirs, adjusted by the registered hierarchy.

    The hierarchy (`multiplicity.gatekept`) holds the contracted measures: the pooled question first, measures behind it, groups
    behind their measure, each family by the registered rule (`inference.family`, Holm unless the plan says otherwise); a question
    whose parent has no answer has none. Co-primary analyses (the same question with another registered baseline) must reject
    too: their p enters the maximum. Other analyses (other measures, later cohorts, guardrails) are outside: one family each.
    Rows that a failed gate governs are not estimable before they come here; a question with fewer than FEWEST systems in an arm
    has no claim and counts as no test. Romano and Wolf's rule is not offered: its draws must be joint over the questions of a
    family, and neither a t test nor the largest p of several inferences and baselines has any.
    """
    study = context.study
    complete = _asked(study, rows)
    pooled, measure = _roots(study)
    main = [a.id for a in study.analyses if measure is not None and _same_question(a, measure)]
    first = [*([pooled.id] if pooled else []), *main]
    raw = {a: {k: _largest(v) for k, v in keys.items()} for a, keys in complete.items()}
    joint = _joint([raw[a] for a in first if a in raw])
    gated, rule = pooled is not None, study.inference.family
    top, _ = _hierarchy(joint, {}, gated, rule)
    out: list[Row] = []
    for a, keys in complete.items():
        if a in first:
            adjusted, words = top, PLAIN + (" and co-primary analyses" if len(main) > 1 else "") + ", adjusted by the hierarchy"
        elif measure is not None and _within(study.analysis(a), measure):
            adjusted, words = _hierarchy(joint, raw[a], gated, rule)[1], PLAIN + ", adjusted by the hierarchy"
        else:
            adjusted, words = _alone(raw[a], rule), PLAIN + ", adjusted within the analysis"
        out += [_claim(keys[k], raw[a][k], adjusted[k], words) for k in keys]
    return out


def _asked(study: Study, rows: Sequence[Row]) -> dict[str, dict[Key, list[Row]]]:
    """Rows of the primary inferences of each analysis and question that may be claimed, where there is one of each."""
    primary = set(study.inference.primary)
    claiming = {
        a.id: a.outcome for a in study.analyses if not _is_check(study, a) and (a.outcome == "gap" or a.margin is not None)
    }
    found: dict[str, dict[Key, list[Row]]] = {}
    for row in rows:
        wanted = row["outcome"] == claiming.get(row["analysis_id"]) and row["system_id"] == "all"
        if wanted and row["inference"] in primary:
            found.setdefault(row["analysis_id"], {}).setdefault((row["measure_id"], row["group"]), []).append(row)
    return {a: {k: v for k, v in keys.items() if {r["inference"] for r in v} == primary} for a, keys in found.items()}


def _joint(raw: Sequence[Family]) -> Family:
    """Largest p of each question over co-primary analyses; NaN when one of them has no answer."""
    return {k: float(np.max([p[k] for p in raw if k in p])) for k in dict.fromkeys(k for p in raw for k in p)}


def _is_check(study: Study, a: Analysis) -> bool:
    """Whether it asks a registered question again with one choice changed: such answers support a claim and make none."""
    race = study.race.primary if study.race else None
    usual = {"map": study.population.map, "race_version": race, "exits": study.population.exit_rule}
    changed = any(getattr(a, name) not in (None, value) for name, value in usual.items())
    changed = changed or (a.clusters, a.race_method, a.members, a.caliper) != ("system", "classes", "open", None)
    changed = changed or (a.estimator == "meta_regression" and a.weighting != "random_effects") or _part(study, a)
    other_years = tuple(a.pre_years) not in ((), tuple(study.baseline.pre_years))
    return a.registered != "primary" and (changed or other_years or a.leave_out is not None)


def _part(study: Study, a: Analysis) -> bool:
    """Whether it pools some of the measures of the question over all of them."""
    pooled, _ = _roots(study)
    if pooled is None or not a.pooled or _asks(a.model_copy(update={"measures": pooled.measures})) != _asks(pooled):
        return False
    return set(study.measure_ids(a.measures)) < set(study.measure_ids(pooled.measures))


def _roots(study: Study) -> tuple[Analysis | None, Analysis | None]:
    """The primary question over all measures, and the primary question by measure."""
    primary = [a for a in study.analyses if a.registered == "primary" and a.outcome == "gap" and a.leave_out is None]
    return next((a for a in primary if a.pooled), None), next((a for a in primary if not a.pooled and a.groups == POOLED), None)


def _same_question(a: Analysis, main: Analysis) -> bool:
    """The main question, or a co-primary one that differs in its baseline years only."""
    return a.registered == "primary" and _asks(a) == _asks(main)


def _asks(a: Analysis) -> tuple[object, ...]:
    return (a.outcome, a.estimator, a.measures, a.groups, a.pooled, a.cohorts, a.contracts, a.leave_out)


def _within(a: Analysis, main: Analysis) -> bool:
    """The same question for each group."""
    return a.groups == "each" and _asks(a.model_copy(update={"groups": main.groups})) == _asks(main)


def _largest(rows: Sequence[Row]) -> float:
    """Largest p of the inferences; NaN when one has no answer, or an arm has too few systems."""
    return max(float(r["p_value"]) for r in rows) if all(r["status"] == "ok" for r in rows) and not _few(rows) else np.nan


def _few(rows: Sequence[Row]) -> bool:
    """Whether an arm has fewer systems than a claim needs."""
    return any(min(r["n_treated_clusters"], r["n_clusters"] - r["n_treated_clusters"]) < FEWEST for r in rows)


def _hierarchy(joint: Family, groups: Family, gated: bool, rule: str) -> tuple[Family, Family]:
    """Adjusted p of the pooled question and of measures behind it, and of groups behind their measure.

    gated: the plan asks the pooled question first, so that measures wait for it even where it has no row. A pooled question
    that is only asked beside the measures goes before them too: two families at the whole level would hold neither.
    """
    over_all: Questions = {k: p for k, p in joint.items() if k[0] == POOLED}
    if gated and not over_all:
        over_all = {(POOLED, POOLED): np.nan}
    measures: Questions = {k: p for k, p in joint.items() if k[0] != POOLED}
    below: dict[Hashable, Questions] = {}
    for k, p in groups.items():
        gate = (k[0], POOLED)
        below.setdefault(gate, {})["group", k] = p  # marked: no question may stand in two families
        if gate not in over_all and gate not in measures:
            measures[gate] = np.nan
    found = gatekept([{None: over_all}, {next(iter(over_all), None): measures}, below], rule)
    return {k: found[k] for k in joint}, {k: found["group", k] for k in groups}


def _alone(raw: Family, rule: str) -> Family:
    """Adjusted p of an analysis outside the hierarchy: one family without a gate."""
    family: Questions = {k: p for k, p in raw.items()}  # noqa: C416 - the keys' type changes
    found = gatekept([{None: family}], rule)
    return {k: found[k] for k in raw}


def _claim(rows: Sequence[Row], raw: float, p: float, words: str) -> Row:
    first = rows[0]
    failed = next((r for r in rows if r["status"] != "ok"), None)
    empty = dict.fromkeys(("std_error", "statistic", "conf_low", "conf_high", "df"))
    attainable = max((r.get("p_attainable") or 0.0 for r in rows), default=0.0)
    row = {**first, **empty, "inference": CLAIM, "p_value": p, "p_attainable": attainable or None}
    if failed is not None:
        return {**row, "status": "not_estimable", "reason": f"{failed['inference']}: {failed['reason']}"}
    if _few(rows):
        return {**row, "status": "not_estimable", "reason": TOO_FEW}
    if not np.isfinite(p):
        return {**row, "status": "not_estimable", "reason": NO_PARENT if np.isfinite(raw) else "no p value"}
    return {**row, "reason": words}
