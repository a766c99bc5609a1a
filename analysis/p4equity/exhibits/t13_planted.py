"""T13: a synthetic extract's planted effects beside the estimates: does the evaluation find what was put in?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.builder import TableBuilder
from p4equity.exhibits.select import OK, SIDES, group_analysis, measure_analysis, one, pooled_analysis, rows_of

if TYPE_CHECKING:
    from p4equity.exhibits.base import Exhibit
    from p4equity.results import Results

ID, KIND = "T13", "table"


def build(results: Results) -> Exhibit | None:
    """One row a measure and group, pooled first: planted value and estimate of the gap, of the reference and of the group."""
    planted = results.table("planted")
    if planted.empty:
        results.skip(ID, "the data are not synthetic, so no truth is known")
        return None
    study = results.study
    found = pd.concat([rows_of(results, a) for a in (pooled_analysis(study), measure_analysis(study), group_analysis(study))])
    main = study.inference.primary[0]
    found = found[(found["inference"] == main) & (found["status"] == OK)]
    table = TableBuilder(
        ("", *("Planted", "Found") * 3), ("l", *("r", "c") * 3),
        spanners=(("", 1), ("Effect on the gap", 2), ("Effect on the reference", 2), ("Effect on the group", 2)),
    )  # fmt: skip
    covered, total, opened = 0, 0, ""
    for row in planted.to_dict("records"):
        measure, group = str(row["measure_id"]), str(row["group"])
        if measure != opened:
            table.group("All contracted measures" if measure == "pooled" else text.measure_name(results, measure))
            opened = measure
        mine = found[(found["measure_id"] == measure) & (found["group"] == group)]
        cells: list[str | tuple[str, Mapping[str, object] | None]] = []
        for side in ("gap", "reference_rate", "group_rate"):
            answer = one(mine, outcome=side)
            cells += [text.number(row[side]), (text.estimate(answer), answer)]
            if answer is not None:
                low, high = (float(str(answer[k])) for k in ("conf_low", "conf_high"))
                total, covered = total + 1, covered + (low <= row[side] <= high)
        numbers = {f"planted_{side}": row[side] for side in SIDES}
        table.row(text.group_name(results, group), *cells, measure_id=measure, group=group, **numbers)
    if not len(table):
        results.skip(ID, "no contract of the primary cohort was planted")
        return None
    said = f"{covered} of {total} intervals hold the planted value"
    level = study.inference.conf_level
    note = (
        f"Points. {said}: with {100 * level:.0f}% intervals about {round(level * total)} are expected to; the answers share "
        "data, so more or fewer are no surprise. Pooled rows weight the planted effects as the estimates do, over the "
        "groups that enter them. The estimates were made without reading this truth."
    )
    return table.exhibit(ID, "What was planted in the synthetic data, and what the evaluation found", f"{said}.", note)
