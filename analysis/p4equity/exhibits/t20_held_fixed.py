"""T20: other things that happened: the effect with one fact about systems held fixed, and how gaps changed along that fact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING, Exhibit
from p4equity.exhibits.select import OK, adjusted_analyses, analysis_title, measure_analysis, pooled_analysis, rows_of
from p4equity.exhibits.tabular import Block, Cell, capital, row_ids, spec, stacked, with_labels
from p4equity.study.names import covariate_name

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.results import Results
    from p4equity.study import Analysis

ID, KIND = "T20", "table"
POOLED = "pooled"
EFFECT, SLOPE, INTERACTION = "adjusted_gap", "gap_per_dose", "effect_per_dose"
COLUMNS = [
    "row_id", "analysis_id", "measure_id", "outcome", "sample", "inference", "estimate", "p_value", "conf_low", "conf_high",
    "outcome_unit", "n_clusters", "n_treated_clusters", "status", "reason",
]  # fmt: skip
Line = tuple[str, dict[str, Cell]]


def build(results: Results) -> Exhibit | None:
    """The primary effect, the same with each fact held fixed, and below it the slope among comparison systems, by measure."""
    study = results.study
    asked = adjusted_analyses(study)
    if not asked:
        results.skip(ID, f"the plan holds no fact about {study.info.unit_label_plural} fixed")
        return None
    found = [(analysis_title(a, study), _cells(results, a, EFFECT)) for a in asked]
    slopes = [(capital(covariate_name(a.covariate).per), _cells(results, a, SLOPE)) for a in asked]
    blocks = [
        ("Effect on the gap, percentage points", [("Nothing held fixed (primary)", _primary(results)), *found]),
        (f"Change of gaps in comparison {study.info.unit_label_plural}, percentage points", slopes),
    ]
    along = [(capital(covariate_name(a.covariate).per), _cells(results, a, INTERACTION)) for a in asked if a.interaction]
    blocks += [("Difference of the effect along it, percentage points", along)] if along else []
    columns = [m for m in (POOLED, *study.measure_ids("contracted")) if any(m in cells for _, cells in found)]
    if not columns:
        results.skip(ID, "no question about gaps has an answer")
        return None
    parts = [
        Block(head, tuple((name, *(c.get(m, Cell(MISSING)) for m in columns)) for name, c in lines)) for head, lines in blocks
    ]
    table = spec(("", *(text.measure_name(results, m) for m in columns)), parts, stub=1, align="l" + "c" * len(columns))
    ids = row_ids(table)
    data = results.estimates[results.estimates["row_id"].isin(ids)].set_index("row_id").loc[list(ids)].reset_index()
    title = "Other things that happened: the effect with one of them held fixed at a time"
    return Exhibit(ID, "table", title, _alt(results, asked), _note(results, data), ids, data[COLUMNS], table=table)


def _primary(results: Results) -> dict[str, Cell]:
    study = results.study
    found: dict[str, Cell] = {}
    for a in (pooled_analysis(study), measure_analysis(study)):
        if a is not None:
            found |= _cells(results, a, "gap", study.inference.primary[0])
    return found


def _cells(results: Results, analysis: Analysis, outcome: str, method: str | None = None) -> dict[str, Cell]:
    """Estimate, p and interval of each measure by the first inference, and the p of the permutation of residuals beside it."""
    first = method or analysis.inference[0]
    rows = rows_of(results, analysis, outcome=outcome, group=POOLED, system_id="all")
    found: dict[str, Cell] = {}
    for measure, own in rows.groupby("measure_id", sort=False):
        main = own[own["inference"] == first].to_dict("records")
        if main:
            others = [] if method else own[(own["inference"] != first) & (own["status"] == OK)].to_dict("records")
            said = stacked(main[0])
            for other in others:
                said = said.replace("\n", f"; {text.p(other['p_value'])}\n", 1)
            found[str(measure)] = Cell(said, " ".join(text.row_id(r) for r in (main[0], *others)))
    return found


def _alt(results: Results, asked: list[Analysis]) -> str:
    """Pooled estimate without and with each fact held fixed."""
    said = []
    for a in (pooled_analysis(results.study), *asked):
        rows = rows_of(results, a, outcome=EFFECT if a in asked else "gap", measure_id=POOLED, status=OK)
        if a is not None and len(rows):
            name = analysis_title(a, results.study) if a in asked else "nothing held fixed"
            said.append(f"{text.number(rows['estimate'].iloc[0])} ({name[:1].lower() + name[1:]})")
    return f"Pooled effect on the gap in points: {', '.join(said)}." if said else "No pooled effect has a number."


def _note(results: Results, data: pd.DataFrame) -> str:
    study = results.study
    units, label = study.info.unit_label_plural, study.info.treatment_label
    facts = {a.covariate for a in adjusted_analyses(study)}
    parts = [
        f"Negative: the gap narrows. One fact at a time: there are too few {units} for more. p by averaged t; permutation of"
        f" residuals (from three {units} with a {label} on). All measures share one slope. Below: comparison {units} alone, which"
        f" no {label} moved"
    ]
    if "grant_per_member" in facts:
        parts.append("Grants: USD over attributed members of the years before; amounts that are not public are assumed")
    if "near_contracted" in facts:
        parts.append(f"Near: shares a county with a {study.info.unit_label} that has a {label}; its row below is near less far")
    if any(a.interaction for a in adjusted_analyses(study)):
        parts.append(f"Last block: slope of contracted less that of comparison {units}; it hangs on single {units}")
    missing = with_labels(results, text.missing_note(data))
    return f"{'. '.join(parts)}. {text.base_note(data, results)}{missing}{text.synthetic_note(results)}"
