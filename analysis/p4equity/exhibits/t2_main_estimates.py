"""T2: the main estimates: effect on the gap with both primary inferences, and on its two sides; value studies: every analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.builder import TableBuilder
from p4equity.exhibits.select import OK, analysis_title, group_analysis, measure_analysis, one, pooled_analysis, rows_of

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
    table = TableBuilder(
        ("", f"{units} (contracted)", "Baseline gap", "Effect on gap", "p", "Interval", "p", "Adjusted p", "Reference", "Group"),
        ("l", "c", "r", "c", "r", "c", "r", "r", "c", "c"),
        spanners=(("", 3), ("Knapp-Hartung", 2), ("Permutation", 2), ("Claim", 1), ("Effect on rate", 2)),
    )  # fmt: skip
    if pooled_analysis(study):
        table.group("All contracted measures")
        _gap_row(results, table, rows, "pooled", "pooled", "Groups pooled")
    for measure in study.measure_ids("contracted"):
        if (rows["measure_id"] == measure).any():
            table.group(text.measure_name(results, measure))
            for group in ("pooled", *study.groups.compared):
                _gap_row(results, table, rows, measure, group, text.group_name(results, group))
    claims = rows[(rows["inference"] == "claim") & (rows["status"] == OK)]
    yes = claims[claims["p_value"] < study.inference.alpha]
    named = [
        f"{text.measure_name(results, r['measure_id'])}: {text.group_name(results, r['group'])}" for r in yes.to_dict("records")
    ]
    said = f" ({text.listing(named)})" if named else ""
    alt = f"{len(yes)} of {len(claims)} claims hold at {study.inference.alpha} after the hierarchy{said}. {_headline(rows)}"
    note = (
        "Percentage points; negative effects on the gap: it narrows. Intervals in parentheses. Effect on gap = effect on the "
        "reference "
        f"({text.group_name(results, str(study.groups.reference))}) minus effect on the group. A claim needs both primary "
        "inferences to "
        f"reject; its p is the larger of the two, adjusted: {study.inference.multiplicity}. Groups pooled: those with a "
        "baseline gap above "
        f"zero. {text.base_note(rows, results)}{text.missing_note(rows)}{text.synthetic_note(results)}"
    )
    return table.exhibit(ID, "Main estimates: effect of the contracts on equity gaps and on the rates behind them", alt, note)


def _gap_row(results: Results, table: TableBuilder, rows: pd.DataFrame, measure: str, group: str, label: str) -> None:
    own = rows[(rows["measure_id"] == measure) & (rows["group"] == group)]
    gap = own[own["outcome"] == "gap"]
    hartung, shuffled, claim = (one(gap, inference=m) for m in ("knapp_hartung", "permutation", "claim"))
    sides = [one(own, outcome=side, inference="knapp_hartung") for side in ("reference_rate", "group_rate")]
    base = one(results.estimates[results.estimates["estimator"] == "descriptive"], measure_id=measure, group=group)
    first = hartung if hartung is not None else shuffled
    if first is None:
        return
    systems = f"{text.span([first['n_clusters']])} ({text.span([first['n_treated_clusters']])})"
    data: dict[str, Any] = {"measure_id": measure, "group": group}
    for name, row in (
        ("gap", hartung),
        ("permutation", shuffled),
        ("claim", claim),
        ("reference", sides[0]),
        ("group_rate", sides[1]),
    ):
        data |= {f"{name}_{k}": None if row is None else row[k] for k in (*NUMBERS, "status")}
    table.row(
        label, systems if first["status"] == OK else "",
        (text.number(base["estimate"]) if base and base["status"] == OK else text.MISSING, base),
        (text.estimate(hartung), hartung), (_p(hartung), hartung),
        (text.interval(shuffled) if shuffled is not None else text.MISSING, shuffled), (_p(shuffled), shuffled),
        (_p(claim), claim),
        (text.estimate(sides[0]), sides[0]), (text.estimate(sides[1]), sides[1]),
        **data,
    )  # fmt: skip


def _p(row: Mapping[str, object] | None) -> str:
    return text.MISSING if row is None or row["status"] != OK else text.p(row["p_value"])


def _headline(rows: pd.DataFrame) -> str:
    found = one(rows, measure_id="pooled", outcome="gap", inference="knapp_hartung")
    return f"Pooled effect on the gap: {text.estimate(found)} points." if found is not None else ""


def _values(results: Results) -> Exhibit | None:
    analyses = [a for a in results.study.analyses if a.estimator != "event_study"]
    found = [rows_of(results, a, event_time=None) for a in analyses]
    rows = pd.concat(found) if found else pd.DataFrame()
    rows = rows[rows["outcome"].isin([a.outcome for a in analyses])] if len(rows) else rows
    if rows.empty:
        results.skip(ID, "no main analysis was registered")
        return None
    info = results.study.info
    units = f"{info.unit_label_plural} (with {info.treatment_label})".capitalize()
    table = TableBuilder(
        ("Outcome", "Inference", "Effect", "Interval", "p", units),
        ("l", "l", "r", "c", "r", "c"),
    )  # fmt: skip
    for a in analyses:
        own = rows[rows["analysis_id"] == a.id]
        if len(own):
            table.group(f"{analysis_title(a, results.study)} ({a.registered})")
            _value_rows(results, table, a, own)
    note = (
        f"Unit: {text.listing(sorted({str(u) for u in rows['outcome_unit'].dropna()}))}. Under each inference an effect is "
        "the same "
        "number; its error differs. "
        f"{text.base_note(rows, results)}{text.missing_note(rows)}{text.synthetic_note(results)}"
    )
    return table.exhibit(ID, f"Main estimates: effect of the {info.treatment_label} on each outcome", _value_alt(rows), note)


def _value_rows(results: Results, table: TableBuilder, a: Analysis, own: pd.DataFrame) -> None:
    for row in own.to_dict("records"):
        first = row["inference"] == a.inference[0]
        ok = row["status"] == OK
        table.row(
            text.measure_name(results, row["measure_id"]) if first else "",
            text.SHORT.get(str(row["inference"]), str(row["inference"])),
            (text.number(row["estimate"], text.decimals(row)) if ok else text.STATUS.get(str(row["status"]), ""), row),
            (text.interval(row) if ok else "", row),
            (_p(row), row),
            f"{text.span([row['n_clusters']])} ({text.span([row['n_treated_clusters']])})" if ok else "",
            **{k: row[k] for k in ("row_id", "analysis_id", "measure_id", "inference", *NUMBERS, "df", "status", "reason")},
        )


def _value_alt(rows: pd.DataFrame) -> str:
    parts = []
    for row in rows[rows["registered"] == "primary"].to_dict("records"):
        parts.append(f"{text.SHORT.get(str(row['inference']), row['inference'])} {text.estimate(row)}, p {_p(row)}")
    ok = rows[rows["status"] == OK]
    clear = int(((ok["conf_low"] > 0) | (ok["conf_high"] < 0)).sum())
    return f"Primary question: {'; '.join(parts)}. {clear} of {len(ok)} intervals in the table exclude zero."
