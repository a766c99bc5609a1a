"""Every family of announcements that a report can make outside the hierarchy of claims, asked of one table of cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from p4equity.disparity.guardrail import HARM, WORSE, guardrail_verdict, margin_excluded
from p4equity.disparity.leveling import CANNOT_TELL, bounds, verdict
from p4equity.evaluation.announcements import announced
from p4equity.evaluation.claims import claim_rows
from p4equity.evaluation.context import Context
from p4equity.evaluation.cost import gap_fit
from p4equity.evaluation.leveling import BOUNDED
from p4equity.evaluation.plan import analysis_rows
from p4equity.section.held_fixed import NEAR, SLOPE
from p4equity.section.systems import RELIABLE
from p4equity.study import Analysis

Row = dict[str, Any]
SIDE = "leveling, a side of the pooled gap"
LEAST = 1.95  # below any critical value of a t at 5%
SIDES = ("leveling_gap", "leveling_reference", "leveling_group")


def by_holm(context: Context) -> dict[str, bool]:
    """Whether a head that adjusts its own answers by Holm's rule announces one."""
    alpha = context.study.inference.alpha
    scales = [row for a in _asked(context, "scale_change") for row in _first(context, a)]
    slopes = [row for a in _asked(context, "adjusted_change") if a.covariate != NEAR for row in _pooled(_first(context, a))]
    near = [row for a in _asked(context, "adjusted_change") if a.covariate == NEAR for row in _pooled(_first(context, a))]
    families = {
        "staying": [r for a in _asked(context, "retention") for r in _first(context, a) if r["outcome"] == a.outcome],
        "attributed shares": [r for a in _asked(context, "attributed_share") for r in _first(context, a)],
        "gaps along a fact held fixed": [r for r in slopes if r["outcome"] == SLOPE],
        "spillover to neighbours": [r for r in near if r["outcome"] == SLOPE],
        "other scales": scales,
    }
    return {name: bool(announced(rows, alpha)) for name, rows in families.items()}


def _asked(context: Context, estimator: str) -> Iterator[Analysis]:
    return (a for a in context.study.analyses if a.estimator == estimator)


def _first(context: Context, analysis: Analysis) -> list[Row]:
    """The rows of the first inference, on which heads rest, with empty columns as in the table of estimates."""
    rows = analysis_rows(context, analysis.model_copy(update={"inference": analysis.inference[:1]}))
    return [dict.fromkeys(("p_value", "std_error", "n_treated_clusters", "n_clusters")) | row for row in rows]


def _pooled(rows: list[Row]) -> list[Row]:
    return [r for r in rows if r["measure_id"] == "pooled"]


def guardrails(context: Context) -> dict[str, bool]:
    """Whether any measure is said to have become worse, at all or by more than the margin."""
    found: dict[str, bool] = {}
    for analysis in context.study.analyses:
        if analysis.margin is None:
            continue
        rows = [r for r in analysis_rows(context, analysis) if r["status"] == "ok"]
        effects, tests = ([r for r in rows if (r["outcome"] == analysis.outcome) == own] for own in (True, False))
        alpha, above = context.study.inference.alpha, analysis.direction != "below"
        claims = {r["measure_id"]: r["p_value"] for r in claim_rows(context, effects) if r["status"] == "ok"}
        said = []
        for m in dict.fromkeys(r["measure_id"] for r in effects):
            intervals = [(r["conf_low"], r["conf_high"]) for r in effects if r["measure_id"] == m]
            excluded = margin_excluded([r["p_value"] for r in tests if r["measure_id"] == m], alpha, claimable=m in claims)
            claimed = claims.get(m, 1.0) <= alpha
            said.append(guardrail_verdict(intervals, analysis.margin, above=above, claimed=claimed, excluded=excluded))
        found[f"a measure worse ({analysis.id})"] = any(s in (WORSE, HARM) for s in said)
    return found


def leveling(context: Context) -> dict[str, bool]:
    """Whether any kind of change is named: of all measures pooled, of a measure with its groups pooled, of a group alone."""
    study = context.study
    found = {f"leveling, {what}": False for what in ("pooled", "a measure", "a group")} | {SIDE: False}
    margin = study.leveling.margin if study.leveling else 0.0
    for analysis in _asked(context, "leveling"):
        sides: dict[tuple[str, str], dict[str, Row]] = {}
        for row in analysis_rows(context, analysis):
            if row["outcome"] in BOUNDED and row["status"] == "ok":
                sides.setdefault((row["measure_id"], row["group"]), {})[row["outcome"]] = row
        for (measure, group), own in sides.items():
            three = [bounds(own[n]["estimate"], own[n]["conf_low"], own[n]["conf_high"]) for n in SIDES]
            what = "a group" if group != "pooled" else "pooled" if measure == "pooled" else "a measure"
            found[f"leveling, {what}"] |= verdict(*three, margin) != CANNOT_TELL
            found[SIDE] |= what == "pooled" and any(b.low > 0 or b.high < 0 for b in three[1:])
    return found


def others(context: Context) -> dict[str, bool]:
    """Whether a cost of a point is given, which needs a narrowing, and whether a single system's change is called reliable."""
    cost, reliable = False, False
    for analysis in _asked(context, "cost_per_point"):
        gap = gap_fit(context, analysis)
        if -gap.estimate > LEAST * gap.std_error:  # else Fieller's set is no interval, whatever spending did
            cost |= any(row["status"] == "ok" for row in analysis_rows(context, analysis))
    for analysis in _asked(context, "system_change"):
        rows = [r for r in analysis_rows(context, analysis) if r["status"] == "ok"]
        shares = {(r["measure_id"], r["system_id"]): r["statistic"] for r in rows if r["sample"] == "shrunken"}
        for row in rows:
            share = shares.get((row["measure_id"], row["system_id"]))
            clear = row["sample"] == "raw" and (row["conf_low"] > 0 or row["conf_high"] < 0)
            reliable |= bool(clear and share is not None and share >= RELIABLE)
    return {"cost of a point": cost, "a single system": reliable}
