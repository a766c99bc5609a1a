"""T22: the size of baseline gaps by each way to know race and ethnicity, and what each makes of gaps that are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.disparity.race_panel import LINEAR, SELF_REPORT, WEIGHTED
from p4equity.evaluation.imputed import IMPUTED
from p4equity.evaluation.race_level import CLASSES, KNOWN
from p4equity.exhibits import text
from p4equity.exhibits.base import Align
from p4equity.exhibits.builder import TableBuilder
from p4equity.exhibits.select import OK, one

if TYPE_CHECKING:
    from p4equity.exhibits.base import Exhibit
    from p4equity.results import Results

ID, KIND = "T22", "table"
WHOLE = {CLASSES: "Recorded class", WEIGHTED: "As weights", LINEAR: "Regression", IMPUTED: "Imputed"}
REPORTED = {SELF_REPORT: "Known", KNOWN + WEIGHTED: "As weights", KNOWN + LINEAR: "Regression"}
COLUMNS = (
    "row_id", "measure_id", "group", "outcome", "sample", "estimate", "conf_low", "conf_high", "outcome_unit", "n_members",
    "status", "reason",
)  # fmt: skip
Row = Mapping[str, Any]


def build(results: Results) -> Exhibit | None:
    """A block a measure, a row a compared group; all members by each way, then those whose group is known."""
    names = [a.id for a in results.study.analyses if a.estimator == "race_level"]
    rows = results.estimates[results.estimates["analysis_id"].isin(names)]
    if rows.empty:
        results.skip(ID, "the plan does not ask how gaps depend on the source of race and ethnicity")
        return None
    ways = {**WHOLE, **REPORTED}
    centre: Align = "c"
    table = TableBuilder(
        ("Group", *ways.values()), ("l", *(centre for _ in ways)),
        spanners=(("", 1), ("All members", len(WHOLE)), ("Members who reported", len(REPORTED))),
    )  # fmt: skip
    for measure in dict.fromkeys(rows["measure_id"]):
        table.group(text.measure_name(results, measure))
        for group in results.study.groups.compared:
            own = [one(rows, measure_id=measure, group=group, sample=way) for way in ways]
            table.row(text.group_name(results, group), *((_cell(row), row) for row in own), measure_id=measure, group=group)
    shown = rows[rows["sample"].isin(ways)]
    exhibit = table.exhibit(ID, "Baseline gaps by source of race and ethnicity", _alt(results, rows), _note(results, shown))
    return _with_rows(exhibit, rows)


def _with_rows(exhibit: Exhibit, rows: pd.DataFrame) -> Exhibit:
    """The rows themselves as the data, those on the accuracy of probabilities in each arm too."""
    return replace(exhibit, data=rows[list(COLUMNS)].reset_index(drop=True))


def _cell(row: Row | None) -> str:
    """The gap, and below it its interval."""
    if row is None or row["status"] != OK:
        return text.estimate(row)
    return f"{text.number(row['estimate'])}\n({text.interval(row)})"


def _alt(results: Results, rows: pd.DataFrame) -> str:
    """The range from weights to regression for the group of each measure with the largest recorded gap."""
    said = []
    for measure, own in rows[rows["status"] == OK].groupby("measure_id", sort=False):
        classes = own[own["sample"] == CLASSES].sort_values("estimate")
        if classes.empty:
            continue
        group = str(classes["group"].iloc[-1])
        ends = [one(own, group=group, sample=way) for way in (WEIGHTED, LINEAR)]
        name = f"{text.measure_name(results, str(measure))}, {text.group_name(results, group)}"
        value = text.number(classes["estimate"].iloc[-1])
        if all(e is not None for e in ends):
            low, high = (text.number(e["estimate"]) for e in ends if e is not None)
            value += f", by probabilities {low} as weights to {high} by regression"
        said.append(f"{name}: {value}")
    return f"Largest recorded baseline gaps in points. {'; '.join(said)}." if said else "No baseline gap could be estimated."


def _note(results: Results, rows: pd.DataFrame) -> str:
    study = results.study
    units = study.info.unit_label_plural
    imputed = f" Imputed: {study.race.imputations} draws, by Rubin's rules." if study.race and study.race.imputations else ""
    return (
        "Percentage points (intervals by sampling error of members), mean of the baseline years over all members of both arms, "
        f"so that large {units} weigh more. If results follow a member's own group and what its probability predicts in the same "
        "direction, the true gap of all members lies between weights and regression; neither end is an estimate of its own. "
        "Members who reported: their group is known, and the same two are made of their probabilities; self-report is selective, "
        f"so that their gaps need not be those of all.{imputed}{text.missing_note(rows)}{text.synthetic_note(results)}"
    )
