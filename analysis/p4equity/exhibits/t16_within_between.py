"""T16: where the gap of an arm's members lies and where it changed: within systems, or between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING
from p4equity.exhibits.builder import TableBuilder
from p4equity.exhibits.select import OK

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.exhibits.base import Exhibit
    from p4equity.results import Results

ID, KIND = "T16", "table"
PARTS = ("gap", "within", "between")
Row = Mapping[str, Any]


def build(results: Results) -> Exhibit | None:
    """A block a measure, a row a group and arm: the gap and its parts before, and the change of each with its interval."""
    table = results.table("gap_parts")
    if table.empty:
        results.skip(ID, "the study compares no groups")
        return None
    units = results.study.info.unit_label_plural
    built = TableBuilder(
        ("Group, arm", f"{units.capitalize()} (left out)", *("Gap", "Within", "Between") * 2),
        ("l", "r", "r", "r", "r", "c", "c", "c"),
        spanners=(("", 2), ("Before", 3), ("Change", 3)),
    )
    for measure in dict.fromkeys(table["measure_id"]):
        built.group(text.measure_name(results, measure))
        own = table[table["measure_id"] == measure]
        for group, arm in dict.fromkeys(zip(own["group"], own["arm"], strict=True)):
            rows = own[(own["group"] == group) & (own["arm"] == arm)].set_index("period").to_dict("index")
            before, change = rows["before"], rows["change"]
            built.row(
                f"{text.group_name(results, group)}, {text.ARMS[arm]}", f"{before['n_clusters']} ({before['systems_left_out']})",
                *(_level(before, p) for p in PARTS), *(_change(results, change, p) for p in PARTS),
                measure_id=measure, group=group, arm=arm,
                **{f"before_{p}": before[p] for p in PARTS}, **{f"change_{p}": change[p] for p in PARTS},
                **{f"change_se_{p}": change[f"se_{p}"] for p in PARTS}, status=change["status"], reason=change["reason"],
            )  # fmt: skip
    return built.exhibit(ID, f"Gaps within and between {units}, before and under the contract", _alt(results, table),
                         _note(results, table))  # fmt: skip


def _level(row: Row, part: str) -> str:
    return text.number(row[part]) if row["status"] == OK else MISSING


def _change(results: Results, row: Row, part: str) -> str:
    """The change, and below it its interval by sampling error."""
    if row["status"] != OK:
        return MISSING
    from statistics import NormalDist

    half = NormalDist().inv_cdf(0.5 + results.study.inference.conf_level / 2) * float(row[f"se_{part}"])
    return f"{text.number(row[part])}\n({text.number(row[part] - half)} to {text.number(row[part] + half)})"


def _alt(results: Results, table: pd.DataFrame) -> str:
    rows = table[(table["period"] == "change") & (table["arm"] == "contracted") & (table["status"] == OK)]
    said = [
        f"{text.measure_name(results, r['measure_id'])}, {text.group_name(results, r['group'])}: the gap changed by "
        f"{text.number(r['gap'])} points, {text.number(r['within'])} of them within and {text.number(r['between'])} between"
        for r in rows.to_dict("records")
    ]
    units = results.study.info.unit_label_plural
    return "; ".join(said) + f" contracted {units}." if said else f"No gap of contracted {units} could be split."


def _note(results: Results, table: pd.DataFrame) -> str:
    info = results.study.info
    units, level = info.unit_label_plural, text.number(100 * results.study.inference.conf_level, 0)
    return (
        f"Percentage points, years averaged; all members of an arm together, so large {units} weigh more than in the main "
        f"estimates. Within: gaps inside {units}, each weighted by the mean of its shares of both groups. Between: the groups "
        f"are treated in {units} of different overall rates. The parts sum to the gap. Made of released cells alone: {units} "
        f"with a hidden or too small cell in any year are left out. Intervals at {level}% by sampling error of members alone. "
        f"A change in one arm is no effect of the {info.treatment_label}."
        f"{text.missing_note(table)}{text.synthetic_note(results)}"
    )
