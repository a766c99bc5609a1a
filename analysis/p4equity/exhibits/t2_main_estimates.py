"""T2: the main estimates: effect on the gap by the primary inference and by permutation, and on its two sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import baseline_gap, text
from p4equity.exhibits.builder import TableBuilder
from p4equity.exhibits.select import OK, analysis_title, group_analysis, measure_analysis, one, overall, pooled_analysis, rows_of
from p4equity.exhibits.tabular import capital, stacked

if TYPE_CHECKING:
    from p4equity.exhibits.base import Exhibit
    from p4equity.results import Results
    from p4equity.study import Analysis

ID, KIND = "T2", "table"
NUMBERS = ("estimate", "std_error", "conf_low", "conf_high", "p_value")


def build(results: Results) -> Exhibit | None:
    """One row a measure and group, pooled first; or, in a study without groups, one row an analysis, outcome and inference."""
    return _gaps(results) if measure_analysis(results.study) else _values(results)


def _gaps(results: Results) -> Exhibit | None:
    study = results.study
    analyses = [a for a in (pooled_analysis(study), measure_analysis(study), group_analysis(study)) if a]
    rows = pd.concat([rows_of(results, a) for a in analyses])
    units = study.info.unit_label_plural.capitalize()
    main = capital(text.method(study.inference.primary[0]))
    table = TableBuilder(
        ("", units, "Baseline gap", main, "Permutation", "Adjusted p", "Reference", "Group"),
        ("l", "c", "r", "c", "c", "c", "c", "c"),
        spanners=(("", 3), ("Effect on the gap", 3), ("Effect on the rate", 2)),
    )
    if pooled_analysis(study):
        table.group("All contracted measures")
        _gap_row(results, table, rows, "pooled", "pooled")
    for measure in study.measure_ids("contracted"):
        if (rows["measure_id"] == measure).any():
            table.group(text.measure_name(results, measure))
            for group in ("pooled", *study.groups.compared):
                _gap_row(results, table, rows, measure, group)
    title = f"Main estimates: effect of the {study.info.treatment_label}s on equity gaps and on the rates behind them"
    return table.exhibit(ID, title, _gap_alt(results, rows), _gap_note(results, rows))


def _gap_alt(results: Results, rows: pd.DataFrame) -> str:
    alpha = results.study.inference.alpha
    claims = rows[(rows["inference"] == "claim") & (rows["status"] == OK)]
    yes = claims[claims["p_value"] < alpha]
    named = [
        f"{text.measure_name(results, r['measure_id'])}: {text.group_name(results, r['group'])}" for r in yes.to_dict("records")
    ]
    said = f" ({text.listing(named)})" if named else ""
    return f"{len(yes)} of {len(claims)} claims hold at {alpha} after the hierarchy{said}. {_headline(results, rows)}"


def _gap_note(results: Results, rows: pd.DataFrame) -> str:
    study = results.study
    return (
        f"Percentage points; intervals in parentheses. {study.info.unit_label_plural.capitalize()}: all (of them with a "
        f"{study.info.treatment_label}). Effect on the gap = effect on the reference "
        f"({text.group_name(results, str(study.groups.reference))}) minus effect on the group; negative: the gap narrows."
        f"{baseline_gap.note(results)} Pooled: groups with a baseline gap. {_claim_note(results)} "
        f"{text.base_note(rows, results)}{text.missing_note(rows)}{text.synthetic_note(results)}"
    )


def _claim_note(results: Results) -> str:
    plan = results.study.inference
    named = text.listing([text.method(m) for m in plan.primary])
    whose = f"that of the {named}" if len(plan.primary) == 1 else f"the largest of {named}"
    return f"A claim rests on the adjusted p: {whose}, {plan.multiplicity}."


def _gap_row(results: Results, table: TableBuilder, rows: pd.DataFrame, measure: str, group: str) -> None:
    own = rows[(rows["measure_id"] == measure) & (rows["group"] == group)]
    gap = own[own["outcome"] == "gap"]
    main = results.study.inference.primary[0]
    lead, shuffled, claim = (one(gap, inference=m) for m in (main, "permutation", "claim"))
    sides = [one(own, outcome=side, inference=main) for side in ("reference_rate", "group_rate")]
    first = lead if lead is not None else shuffled
    if first is None:
        return
    systems = f"{text.span([first['n_clusters']])} ({text.span([first['n_treated_clusters']])})"
    data: dict[str, Any] = {
        "measure_id": measure, "group": group, "baseline_gap": baseline_gap.value(results, measure, group),
        "gap_at_baseline": baseline_gap.is_gap(results, measure, group),
    }  # fmt: skip
    for name, row in (
        ("gap", lead),
        ("permutation", shuffled),
        ("claim", claim),
        ("reference", sides[0]),
        ("group_rate", sides[1]),
    ):
        data |= {f"{name}_{k}": None if row is None else row[k] for k in (*NUMBERS, "status")}
    table.row(
        baseline_gap.group_label(results, measure, group), systems if first["status"] == OK else "",
        (baseline_gap.cell(results, measure, group), baseline_gap.described(results, measure, group)),
        (stacked(lead), lead), (stacked(shuffled, estimate=False), shuffled), (_p(claim), claim),
        (stacked(sides[0], p=False), sides[0]), (stacked(sides[1], p=False), sides[1]),
        **data,
    )  # fmt: skip


def _p(row: Mapping[str, object] | None) -> str:
    return text.MISSING if row is None or row["status"] != OK else text.p(row["p_value"])


def _headline(results: Results, rows: pd.DataFrame) -> str:
    found = one(rows, measure_id="pooled", outcome="gap", inference=results.study.inference.primary[0])
    return f"Pooled effect on the gap: {text.estimate(found)} points." if found is not None else ""


def _values(results: Results) -> Exhibit | None:
    analyses = [a for a in results.study.analyses if a.estimator != "event_study"]
    found = [overall(results, a) for a in analyses]
    rows = pd.concat(found) if found else pd.DataFrame()
    if rows.empty:
        results.skip(ID, "no main analysis was registered")
        return None
    info = results.study.info
    units = f"{info.unit_label_plural.capitalize()} (with {info.treatment_label})"
    table = TableBuilder(("Outcome", "Inference", "Effect", "Interval", "p", units), ("l", "l", "r", "c", "r", "c"))
    for a in analyses:
        own = rows[rows["analysis_id"] == a.id]
        if len(own):
            table.group(f"{analysis_title(a, results.study)} ({a.registered})")
            _value_rows(results, table, a, own)
    note = (
        f"Unit: {text.listing(sorted({str(u) for u in rows['outcome_unit'].dropna()}))}. Under each inference an effect is the "
        "same "
        f"number; its error differs. {text.base_note(rows, results)}{text.missing_note(rows)}{text.synthetic_note(results)}"
    )
    return table.exhibit(ID, f"Main estimates: effect of the {info.treatment_label} on each outcome", _value_alt(rows), note)


def _value_rows(results: Results, table: TableBuilder, a: Analysis, own: pd.DataFrame) -> None:
    for row in own.to_dict("records"):
        first = row["inference"] == a.inference[0]
        ok = row["status"] == OK
        table.row(
            text.measure_name(results, row["measure_id"]) if first else "",
            text.method(row["inference"]),
            (text.number(row["estimate"], text.decimals(row)) if ok else text.STATUS.get(str(row["status"]), ""), row),
            (text.interval(row) if ok else "", row),
            (_p(row), row),
            f"{text.span([row['n_clusters']])} ({text.span([row['n_treated_clusters']])})" if ok else "",
            **{k: row[k] for k in ("row_id", "analysis_id", "measure_id", "inference", *NUMBERS, "df", "status", "reason")},
        )


def _value_alt(rows: pd.DataFrame) -> str:
    parts = []
    for row in rows[rows["registered"] == "primary"].to_dict("records"):
        parts.append(f"{text.method(row['inference'])} {text.estimate(row)}, p {_p(row)}")
    ok = rows[rows["status"] == OK]
    clear = int(((ok["conf_low"] > 0) | (ok["conf_high"] < 0)).sum())
    return f"Primary question: {'; '.join(parts)}. {clear} of {len(ok)} intervals in the table exclude zero."
