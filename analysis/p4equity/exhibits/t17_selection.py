"""T17: the primary estimates beside the narrowing that selection alone is expected to give, and estimates free of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import Exhibit
from p4equity.exhibits.select import OK, fresh_baselines, measure_analysis, one, pooled_analysis, rows_of, selection_analysis
from p4equity.exhibits.tabular import Block, Cell, row_ids, spec, stacked, traced

if TYPE_CHECKING:
    from p4equity.results import Results

Row = Mapping[str, Any] | None
ID, KIND = "T17", "table"
POOLED = "pooled"
COLUMNS = (
    "", "Primary", "Expected", "Seen where no contract", "Fresh baseline", "Shrunken baseline", "Selected against selected",
)  # fmt: skip
SPANNERS = (("", 1), ("Effect", 1), ("Spurious change", 2), ("Effect with little or none of it", 3))
EXPECTED, REPLAYED = "expected_spurious_change", "replayed_spurious_change"
SHRUNKEN, AGAINST = "gap_shrunken_baseline", "gap_selected_against_selected"
DATA = ("measure_id", "system_id", "outcome", "estimate", "conf_low", "conf_high", "status", "reason", "row_id")


def build(results: Results) -> Exhibit | None:
    """One row over all measures and one a measure; expected changes of single cells in the data."""
    study, question = results.study, selection_analysis(results.study)
    if question is None or rows_of(results, question).empty:
        results.skip(ID, "the plan has no question on the selection of measures")
        return None
    lines, shown = [], []
    for measure in (POOLED, *study.measure_ids(question.measures)):
        rows = answers(results, measure)
        shown += [row for row in rows.values() if row is not None]
        cells = rows_of(results, question, measure_id=measure, outcome=EXPECTED)
        cells = cells[(cells["system_id"] != "all") & (cells["status"] == OK)]
        lines.append(
            (
                text.measure_name(results, measure), _effect(rows["primary"]), _expected(rows[EXPECTED], cells),
                _effect(rows[REPLAYED]), _effect(rows["fresh"]), _effect(rows[SHRUNKEN]), _effect(rows[AGAINST]),
            )
        )  # fmt: skip
    table = spec(COLUMNS, [Block("", tuple(lines))], align="l" + "r" * (len(COLUMNS) - 1), spanners=SPANNERS)
    every = rows_of(results, question)
    data = pd.concat([every, pd.DataFrame([r for r in shown if r["analysis_id"] != question.id])], ignore_index=True)
    data = data[["analysis_id", *DATA]].assign(system_id=[s if s == "all" else results.label(str(s)) for s in data["system_id"]])
    title = "Selection of measures: change of the gap expected from selection alone, and estimates without it"
    return Exhibit(ID, "table", title, _alt(results), _note(results, every), row_ids(table), data, table=table)


def answers(results: Results, measure: str) -> dict[str, Row]:
    """The rows of a measure, or of all (`pooled`): primary, fresh baseline, and those of the selection question."""
    study, method = results.study, results.study.inference.primary[0]
    main = pooled_analysis(study) if measure == POOLED else measure_analysis(study)
    fresh = next(iter(fresh_baselines(study)), None)
    own = rows_of(results, selection_analysis(study), measure_id=measure, system_id="all")
    found: dict[str, Row] = {name: one(own, outcome=name) for name in (EXPECTED, REPLAYED, SHRUNKEN, AGAINST)}
    found["primary"] = one(rows_of(results, main, measure_id=measure, outcome="gap", inference=method))
    found["fresh"] = one(rows_of(results, fresh, measure_id=measure, outcome="gap", inference=method)) if fresh else None
    return found


def _effect(row: Row) -> Cell:
    return traced(row, stacked(row, p=False))


def _expected(row: Row, cells: pd.DataFrame) -> Cell:
    """The expected change, and below it its range over single contracted cells."""
    if row is None or row["status"] != OK:
        return traced(row)
    range_ = f"\n(cells {text.span(cells['estimate'], 1)})" if len(cells) > 1 else ""
    return traced(row, text.number(row["estimate"]) + range_)


def _alt(results: Results) -> str:
    rows = answers(results, POOLED)
    expected, primary = rows[EXPECTED], rows["primary"]
    if expected is None or primary is None or expected["status"] != OK or primary["status"] != OK:
        return "The narrowing expected from selection alone could not be computed over all measures."
    free = [rows[k] for k in ("fresh", SHRUNKEN, AGAINST)]
    known = [float(r["estimate"]) for r in free if r is not None and r["status"] == OK]
    return (
        f"Over all contracted measures selection alone is expected to change gaps by {text.number(expected['estimate'])} points;"
        f" the primary estimate is {text.number(primary['estimate'])}, estimates without the effect of selection lie from"
        f" {text.number(min(known))} to {text.number(max(known))}."
        if known
        else f"Selection alone is expected to change gaps by {text.number(expected['estimate'])} points."
    )


def _note(results: Results, rows: pd.DataFrame) -> str:
    study, rule = results.study, results.study.selection
    info, years = study.info, text.listing([str(t) for t in study.baseline.selection_years])
    if rule is None:
        return text.synthetic_note(results).strip()
    count = f"as many as its {info.treatment_label} has" if rule.worst == "as_contracted" else str(rule.worst)
    return (
        f"Points; negative: the gap narrows. Rule, an assumption: of each {info.unit_label}’s candidate measures those with the "
        f"largest gap in {years}, {count}, among measures with {rule.minimum_size} members in every group. Expected: simulated "
        "from the sampling errors of each contracted cell and from the spread of lasting gaps and of passing bumps in comparison "
        f"{info.unit_label_plural} (correlation {text.number(rule.autocorrelation, 2)} a year), weighted like the primary; "
        f"below it the range over cells. Seen: change of comparison {info.unit_label_plural}’ cells that the rule picks, beyond "
        f"others of their measure. Fresh baseline: without {years}. Shrunken: baseline gaps drawn toward the mean of both arms. "
        f"Selected against selected: primary less seen. {text.base_note(rows, results)}{text.missing_note(rows)}"
        f"{text.synthetic_note(results)}"
    )
