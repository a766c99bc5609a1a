"""T21: paid against unpaid measures, readings or control, and whom systems care for: effects beside the intended one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.builder import TableBuilder
from p4equity.exhibits.select import OK, rows_of

if TYPE_CHECKING:
    from p4equity.exhibits.base import Exhibit
    from p4equity.results import Results
    from p4equity.study import Analysis

ID, KIND = "T21", "table"
BLOCKS = {
    "paid_contrast": "Gaps in paid measures beyond unpaid measures of the same systems",
    "documentation": "Where a change comes from: readings, or control among members with a reading",
    "attributed_share": "Share of each group among attributed members",
}
PARTS = {
    "rate_from_readings": "rate of all members, from readings",
    "rate_from_control": "rate of all members, from control",
    "gap_from_readings": "gap, from readings",
    "gap_from_control": "gap, from control",
}
COLUMNS = ("row_id", "measure_id", "group", "outcome", "estimate", "conf_low", "conf_high", "p_value", "status", "reason")


def build(results: Results) -> Exhibit | None:
    """A block a question, a row an answer, with the first inference's interval and the permutation's p beside it."""
    asked = [a for kind in BLOCKS for a in results.study.analyses if a.estimator == kind]
    found = [(a, _rows(results, a)) for a in asked]
    found = [(a, rows) for a, rows in found if len(rows)]
    if not found:
        results.skip(ID, "the plan asks no question about side effects, or none has an answer")
        return None
    units = results.study.info.unit_label_plural.capitalize()
    columns = ("", "Effect (interval)", "p", "p, permutation", f"{units} (contracted)")
    table = TableBuilder(columns, ("l", "c", "r", "r", "c"))
    for analysis, rows in found:
        table.group(analysis.title or BLOCKS[analysis.estimator])
        for row in rows.to_dict("records"):
            other = _permuted(results, analysis, row)
            table.row(
                _label(results, row), (text.estimate(row), row), text.p(row["p_value"]),
                (text.p(other["p_value"]), other) if other else "",
                f"{text.span([row['n_clusters']])} ({text.span([row['n_treated_clusters']])})",
                **{k: row[k] for k in COLUMNS}, p_permutation=other["p_value"] if other else None,
            )  # fmt: skip
    shown = pd.concat([rows for _, rows in found])
    note = (
        "Points, contracted less comparison systems, after less before. Paid and unpaid measures: third differences; negative: "
        "gaps narrowed more where a contract pays. Readings and control: by the first inference both parts have the weights of "
        "the whole effect and add up to it, while a permutation tests each part alone; a rise from readings is no better care. "
        "Shares of members: a rise or fall says that systems came to care for other members. "
        f"{text.base_note(shown, results)}{text.synthetic_note(results)}"
    )
    return table.exhibit(
        ID, "Paid and unpaid measures, readings and control, and whom systems care for", _alt(results, shown), note
    )


def _rows(results: Results, analysis: Analysis) -> pd.DataFrame:
    """Answers of the first inference; questions without a number are told by the measures that have one."""
    return rows_of(results, analysis, inference=analysis.inference[0], status=OK)


def _permuted(results: Results, analysis: Analysis, row: dict[str, Any]) -> dict[str, Any] | None:
    same = rows_of(
        results,
        analysis,
        inference="permutation",
        status=OK,
        outcome=row["outcome"],
        measure_id=row["measure_id"],
        group=row["group"],
    )
    return dict(same.iloc[0]) if len(same) else None


def _label(results: Results, row: dict[str, Any]) -> str:
    if row["outcome"] == "paid_contrast":
        unpaid = results.study.measure_ids(results.study.analysis(row["analysis_id"]).unpaid)
        own = set(unpaid) & set(results.study.measure_sets.contracted)
        return "Named by the contract less left out, pooled" if own else "Paid less unpaid, pooled"
    if row["outcome"] == "attributed_share":
        return text.group_name(results, row["group"])
    return f"{text.measure_name(results, row['measure_id'])}: {PARTS[str(row['outcome'])]}"


def _alt(results: Results, rows: pd.DataFrame) -> str:
    clear = rows[(rows["conf_low"] > 0) | (rows["conf_high"] < 0)]
    named = [f"{_label(results, r)} {text.estimate(r)}" for r in clear.to_dict("records")]
    return f"Of {len(rows)} effects {len(clear)} have an interval that excludes zero{': ' + '; '.join(named) if named else ''}."
