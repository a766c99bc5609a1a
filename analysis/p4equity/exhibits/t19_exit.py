"""T19: what a system that leaves could change: its years kept or not, bounds for those that are missing, one system fewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING, Exhibit
from p4equity.exhibits.select import (
    OK,
    analysis_title,
    exit_bounds_analysis,
    leave_out_analyses,
    measure_analysis,
    pooled_analysis,
    rows_of,
    sensitivities,
)
from p4equity.exhibits.tabular import Block, Cell, row_ids, spec, stacked, with_labels
from p4equity.study.roster import owners

if TYPE_CHECKING:
    from p4equity.results import Results
    from p4equity.study import Analysis

ID, KIND = "T19", "table"
POOLED = "pooled"
PRIMARY = {
    "until_exit": "Counted until its last full year, practices as at baseline (primary)",
    "drop": "Left out in all years (primary)",
    "carry": "Kept to the end, practices as at baseline (primary)",
}
COLUMNS = [
    "row_id", "analysis_id", "measure_id", "outcome", "sample", "inference", "estimate", "p_value", "conf_low", "conf_high",
    "n_clusters", "n_treated_clusters", "status", "reason",
]  # fmt: skip
Row = Mapping[str, Any]
Line = tuple[str, dict[str, Cell]]


def build(results: Results) -> Exhibit | None:
    """Scenarios for a system with an exit, bounds for the years after it, and the range over systems left out, by measure."""
    study = results.study
    if not study.exits or measure_analysis(study) is None:
        results.skip(ID, f"no {study.info.unit_label} of the study leaves")
        return None
    left = text.listing([results.label(e.system_id) for e in study.exits])
    blocks = [
        (f"What is done with the years of {left}", _scenarios(results)),
        ("Bounds for the years after the exit", _bounds(results)),
        (f"Other {study.info.unit_label_plural} changed", _others(results)),
    ]
    have = {m for _, lines in blocks for _, cells in lines for m in cells}
    columns = [m for m in (POOLED, *study.measure_ids("contracted")) if m in have]
    if not columns:
        results.skip(ID, "no question about gaps has an answer")
        return None
    parts = [
        Block(head, tuple((name, *(c.get(m, Cell(MISSING)) for m in columns)) for name, c in lines)) for head, lines in blocks
    ]
    heads = ("", *(text.measure_name(results, m) for m in columns))
    table = spec(heads, parts, stub=1, align="l" + "c" * len(columns))
    ids = row_ids(table)
    data = results.estimates[results.estimates["row_id"].isin(ids)].set_index("row_id").loc[list(ids)].reset_index()
    unit = study.info.unit_label
    title = f"A {unit} that leaves: the effect under each way to count it, and what its missing years could change"
    return Exhibit(ID, "table", title, _alt(results), _note(results, data), ids, data[COLUMNS], table=table)


def _scenarios(results: Results) -> list[Line]:
    """The primary question, and the same with another rule for exits or another practice map."""
    study = results.study
    main, pooled = measure_analysis(study), pooled_analysis(study)
    assert main is not None
    method = study.inference.primary[0]
    lines = [(PRIMARY[study.population.exit_rule], _cells(results, (pooled, main), method))]
    for a in sensitivities(study):
        if (a.exits, a.map) != (main.exits, main.map) and a.race_version == main.race_version:
            lines.append((analysis_title(a, study), _cells(results, (a,), a.inference[0])))
    return lines


def _cells(results: Results, analyses: Sequence[Analysis | None], method: str) -> dict[str, Cell]:
    """Estimate, p and interval of each measure, from the first analysis that has it."""
    found: dict[str, Cell] = {}
    for a in analyses:
        rows = rows_of(results, a, outcome="gap", inference=method, group=POOLED, system_id="all")
        for row in rows.to_dict("records"):
            found.setdefault(str(row["measure_id"]), Cell(stacked(row), text.row_id(row)))
    return found


def _bounds(results: Results) -> list[Line]:
    """Both ends of the registered range, and the range that would undo the answer; only questions in which a system left."""
    analysis, points = exit_bounds_analysis(results.study), results.study.population.exit_range
    if analysis is None or points is None:
        return []
    rows = rows_of(results, analysis, inference=analysis.inference[0], status=OK)
    ends = {
        "lowest": f"Its gaps {text.number(points)} points narrower than in its contract years",
        "highest": f"Its gaps {text.number(points)} points wider",
        "turning": "Least range at which an interval includes zero, points",
    }
    return [
        (
            name,
            {
                str(r["measure_id"]): Cell(
                    text.number(r["estimate"]) if sample == "turning" else stacked(r, p=False), text.row_id(r)
                )
                for r in rows[rows["sample"] == sample].to_dict("records")
            },
        )
        for sample, name in ends.items()
    ]


def _others(results: Results) -> list[Line]:
    """Systems of one owner as one unit, and the lowest and highest estimate over all systems left out in turn."""
    study = results.study
    lines = [
        (analysis_title(a, study), _cells(results, (a,), a.inference[0])) for a in sensitivities(study) if a.clusters == "owner"
    ]
    cells: dict[str, Cell] = {}
    for a in leave_out_analyses(study):
        rows = rows_of(results, a, outcome="gap", inference=a.inference[0], status=OK)
        for measure, own in rows.groupby("measure_id", sort=False):
            ends = own.sort_values("estimate").iloc[[0, -1]].to_dict("records")
            values = [text.number(r["estimate"]) for r in ends]
            cells[str(measure)] = Cell(f"{' to '.join(values)}\n({len(own)} estimates)", " ".join(text.row_id(r) for r in ends))
    if cells:
        lines.append((f"Each {study.info.unit_label} left out in turn: lowest to highest", cells))
    return lines


def _alt(results: Results) -> str:
    """Range of the pooled estimate over the scenarios, and between the bounds."""
    study = results.study
    rows = [r for a in (pooled_analysis(study), *sensitivities(study)) for r in _pooled(results, a)]
    values = [float(r["estimate"]) for r in rows]
    said = []
    if values:
        ends = " to ".join(text.number(v) for v in (min(values), max(values)))
        said.append(f"Pooled over measures the effect is {ends} points under {text.plural(len(values), 'way', 'ways')} to count.")
    bounds = rows_of(results, exit_bounds_analysis(study), measure_id=POOLED, sample=("lowest", "highest"), status=OK)
    if len(bounds) == 2:
        low, high = bounds["estimate"].min(), bounds["estimate"].max()
        said.append(f"With any gap within the range after the exit it is {text.number(low)} to {text.number(high)}.")
    return " ".join(said) or "No scenario has a pooled estimate."


def _pooled(results: Results, analysis: Analysis | None) -> list[Row]:
    """The pooled row of a way to count exits, units or practices."""
    if analysis is None or (analysis != pooled_analysis(results.study) and not _about_exits(results, analysis)):
        return []
    rows = rows_of(results, analysis, outcome="gap", inference=analysis.inference[0], measure_id=POOLED, status=OK)
    return [dict(r) for r in rows.to_dict("records")[:1]]


def _about_exits(results: Results, analysis: Analysis) -> bool:
    main = measure_analysis(results.study)
    assert main is not None
    return (analysis.exits, analysis.map, analysis.clusters) != (main.exits, main.map, main.clusters)


def _note(results: Results, data: pd.DataFrame) -> str:
    study = results.study
    info, points = study.info, study.population.exit_range
    parts = ["Effect on the equity gap in percentage points with p and interval; negative: the gap narrows"]
    if points is not None and exit_bounds_analysis(study) is not None:
        parts.append(
            f"Bounds: the {info.treatment_label} years that a {info.unit_label} was seen in stay as they are; in those after its "
            f"exit its gaps lie up to {text.number(points)} points to either side of them, a planned range. With the "
            "weights of the primary answer every effect over all years that the range allows lies between the two ends"
        )
    if any(len(kinds) > 1 for kinds in owners(study.systems, study.contracts).values()):
        parts.append(
            f"{info.unit_label_plural.capitalize()} of one owner that differ in arm, stratum or {info.treatment_label}s stay "
            "apart: what both arms share cancels in their difference"
        )
    parts.append(
        f"{MISSING}: no {info.unit_label} of that question left with {info.treatment_label} years on both sides of its exit, or "
        "not planned; in the row on the least range also where the interval includes zero without the missing years"
    )
    note = with_labels(results, text.missing_note(data))
    return ". ".join(parts) + f". {text.base_note(data, results)}{note}{text.synthetic_note(results)}"
