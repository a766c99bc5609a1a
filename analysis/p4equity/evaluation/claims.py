"""Claims: a question is answered yes only when all primary inferences reject, in the registered order of questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from p4equity.evaluation.context import Context
from p4equity.inference.multiplicity import holm
from p4equity.study import Analysis, Study

CLAIM = "claim"
POOLED = "pooled"
Row = dict[str, Any]
Key = tuple[str, str]  # measure, group
NO_PARENT = "the question that comes before it in the hierarchy has no answer"
PLAIN = "largest p of the primary inferences"
FEWEST = 3  # systems an arm needs for a claim: with fewer no method holds its size (tests/recovery/decision.csv)
TOO_FEW = f"fewer than {FEWEST} systems in an arm: no method is known to hold its level, so nothing is claimed"


def claim_rows(context: Context, rows: Sequence[Row]) -> list[Row]:
    """One row a question that all primary inferences answer: p is the largest of theirs, adjusted by the registered hierarchy.

    The hierarchy holds the contracted measures: the pooled question first; measures by Holm, never below the pooled p; groups by
    Holm within a measure, never below the measure's p; a question whose parent has no answer has none. Co-primary analyses (the
    same question with another registered baseline) must reject too: their p enters the maximum. Other analyses (other measures,
    later cohorts) are outside: Holm within the analysis. Rows that a failed gate governs are not estimable before they come
    here; a question with fewer than FEWEST systems in an arm has no claim and counts as no test.
    """
    study, primary = context.study, set(context.study.inference.primary)
    found: dict[str, dict[Key, list[Row]]] = {}
    claiming = {a.id for a in study.analyses if not _is_check(study, a)}
    for row in rows:
        if (
            row["analysis_id"] in claiming
            and row["outcome"] == "gap"
            and row["inference"] in primary
            and row["system_id"] == "all"
        ):
            found.setdefault(row["analysis_id"], {}).setdefault((row["measure_id"], row["group"]), []).append(row)
    complete = {a: {k: v for k, v in keys.items() if {r["inference"] for r in v} == primary} for a, keys in found.items()}
    pooled, measure = _roots(study)
    main = [a.id for a in study.analyses if measure is not None and _same_question(a, measure)]
    first = [*([pooled.id] if pooled else []), *main]
    raw = {a: {k: _largest(v) for k, v in keys.items()} for a, keys in complete.items()}
    asked = dict.fromkeys(k for a in first for k in raw.get(a, {}))
    joint = {k: float(np.max([raw[a][k] for a in first if k in raw.get(a, {})])) for k in asked}  # NaN when one has no answer
    top = _adjusted_measures(joint, pooled is not None)
    out: list[Row] = []
    for a, keys in complete.items():
        if a in first:
            adjusted, words = top, PLAIN + (" and co-primary analyses" if len(main) > 1 else "") + ", adjusted by the hierarchy"
        elif measure is not None and _within(study.analysis(a), measure):
            adjusted, words = _adjusted_groups(raw[a], top), PLAIN + ", adjusted by the hierarchy"
        else:
            adjusted, words = _holm(raw[a]), PLAIN + ", adjusted within the analysis"
        out += [_claim(keys[k], raw[a][k], adjusted[k], words) for k in keys]
    return out


def _is_check(study: Study, a: Analysis) -> bool:
    """Whether it asks a registered question again with one choice changed: such answers support a claim and make none."""
    race = study.race.primary if study.race else None
    usual = {"map": study.population.map, "race_version": race, "exits": study.population.exit_rule}
    changed = any(getattr(a, name) not in (None, value) for name, value in usual.items())
    other_years = tuple(a.pre_years) not in ((), tuple(study.baseline.pre_years))
    return a.registered != "primary" and (changed or other_years or a.leave_out is not None)


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


def _holm(raw: Mapping[Key, float]) -> dict[Key, float]:
    """Holm's (1979) step-down adjusted p values of the questions with an answer; NaN for the others."""
    kept = [k for k, p in raw.items() if np.isfinite(p)]
    found = holm(np.array([raw[k] for k in kept], float)) if kept else ()
    return dict.fromkeys(raw, np.nan) | {k: float(p) for k, p in zip(kept, found, strict=True)}


def _adjusted_measures(joint: Mapping[Key, float], gated: bool) -> dict[Key, float]:
    """The pooled question at its own level, then measures by Holm, never below the pooled p."""
    over_all = {k: p for k, p in joint.items() if k[0] == POOLED}
    floor = next(iter(over_all.values()), np.nan) if gated else 0.0
    by_measure = _holm({k: p for k, p in joint.items() if k[0] != POOLED})
    return {**over_all, **{k: float(np.maximum(p, floor)) for k, p in by_measure.items()}}


def _adjusted_groups(raw: Mapping[Key, float], top: Mapping[Key, float]) -> dict[Key, float]:
    """Groups by Holm within their measure, never below the measure's adjusted p."""
    out: dict[Key, float] = {}
    for measure in dict.fromkeys(k[0] for k in raw):
        family = _holm({k: p for k, p in raw.items() if k[0] == measure})
        out |= {k: float(np.maximum(p, top.get((measure, POOLED), np.nan))) for k, p in family.items()}
    return out


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
