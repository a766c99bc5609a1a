"""T23: rates and gaps before any contract, as they are and at the same ages in every group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from p4equity.disparity.composition import AGE_STANDARDIZED
from p4equity.evaluation.baseline_level import GAP, LEVELS, RATE
from p4equity.evaluation.composition import OPEN
from p4equity.exhibits import text
from p4equity.exhibits.baseline_gap import described
from p4equity.exhibits.builder import TableBuilder
from p4equity.exhibits.select import OK, one

if TYPE_CHECKING:
    from p4equity.exhibits.base import Exhibit
    from p4equity.results import Results

ID, KIND = "T23", "table"
SAID = ("estimate", "conf_low", "conf_high")
Row = Mapping[str, Any]


def build(results: Results) -> Exhibit | None:
    """A block a measure, a row a group: rate and gap over the baseline years, each raw and age-standardized."""
    study, rows = results.study, results.estimates
    rows = rows[rows["analysis_id"] == LEVELS]
    if rows.empty:
        results.skip(ID, "the study compares no groups")
        return None
    table = TableBuilder(
        ("Group", "Raw", "Same ages", "Raw", "Same ages"), ("l", "r", "r", "c", "c"),
        spanners=(("", 1), ("Rate, %", 2), ("Gap, points (interval)", 2)),
    )  # fmt: skip
    for measure in dict.fromkeys(rows["measure_id"]):
        table.group(text.measure_name(results, measure))
        for group in study.group_ids:
            own = rows[(rows["measure_id"] == measure) & (rows["group"] == group)]
            rates = [one(own[own["outcome"] == RATE], sample=members) for members in (OPEN, AGE_STANDARDIZED)]
            gaps = [described(results, measure, group), one(own[own["outcome"] == GAP], sample=AGE_STANDARDIZED)]
            compared = group != study.groups.reference
            table.row(
                text.group_name(results, group), *((_rate(row), row) for row in rates),
                *((text.estimate(row) if compared else "", row) for row in gaps), measure_id=measure, group=group,
                **_data("rate", rates[0]), **_data("rate_standardized", rates[1]), **_data("gap", gaps[0]),
                **_data("gap_standardized", gaps[1]),
            )  # fmt: skip
    years = text.listing([str(y) for y in study.baseline.pre_years])
    return table.exhibit(
        ID, f"Rates and gaps before any {study.info.treatment_label}, {years}", _alt(results), _note(results, rows)
    )


def _rate(row: Row | None) -> str:
    return text.number(row["estimate"]) if row is not None and row["status"] == OK else text.estimate(row)


def _data(name: str, row: Row | None) -> dict[str, Any]:
    ok = row is not None and row["status"] == OK
    return {f"{name}_{k}" if k != "estimate" else name: row[k] if ok and row is not None else None for k in SAID}


def _pairs(results: Results) -> list[tuple[str, str, float, float]]:
    """Measure, group, raw and standardized gap, where both are known."""
    rows, found = results.estimates, []
    rows = rows[(rows["analysis_id"] == LEVELS) & (rows["outcome"] == GAP) & (rows["status"] == OK)]
    for row in rows.to_dict("records"):
        raw = described(results, row["measure_id"], row["group"])
        if raw is not None and raw["status"] == OK:
            found.append((str(row["measure_id"]), str(row["group"]), float(raw["estimate"]), float(row["estimate"])))
    return found


def _alt(results: Results) -> str:
    """How far standardization moves a gap at most."""
    pairs = _pairs(results)
    if not pairs:
        return "No gap is known both raw and at the same ages."
    measure, group, raw, same = max(pairs, key=lambda p: abs(p[3] - p[2]))
    name = f"{text.measure_name(results, measure)}, {text.group_name(results, group)}"
    said = f"{name}: {text.number(raw)} raw, {text.number(same)} at the same ages"
    return f"Standardization for age moves no gap by more than {text.number(abs(same - raw))} points ({said})."


def _note(results: Results, rows: Any) -> str:
    weights = text.listing([str(y) for y in results.study.baseline.weights_years])
    return (
        f"All members of both arms, mean of the years. Same ages: each group and year with the ages of all members of the "
        f"measure in {weights} (direct standardization). Intervals by sampling error of members. Nothing else is adjusted for: "
        "not sex or diagnoses, which the counts do not carry, and not income or neighborhood, through which a gap may come about."
        f"{text.missing_note(rows)}{text.synthetic_note(results)}"
    )
