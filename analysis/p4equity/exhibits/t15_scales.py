"""T15: the primary question on other scales: one row a statistic, one column a measure, and which way each answer points."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.evaluation.announcements import announced
from p4equity.evaluation.claims import CLAIM, FEWEST
from p4equity.evaluation.scale_level import LEVELS, SUFFIX
from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING, Exhibit
from p4equity.exhibits.select import OK, measure_analysis, pooled_analysis, scale_analyses
from p4equity.exhibits.tabular import Block, Cell, row_ids, spec
from p4equity.study.scale_names import SCALE_NAMES

if TYPE_CHECKING:
    from p4equity.results import Results
    from p4equity.study import Study

ID, KIND = "T15", "table"
POOLED = "pooled"
BLOCKS = {
    "Reference group against groups with a baseline gap": ("gap", "success_ratio", "failure_ratio", "log_odds_gap"),
    "All groups": ("weighted_mean_gap", "gap_to_best", "between_group_variance", "theil"),
    "Without a reference group: above zero is better": ("worst_group_rate",),
}
COLUMNS = [
    "row_id", "analysis_id", "measure_id", "outcome", "group", "reference_group", "inference", "estimate", "conf_low",
    "conf_high", "p_value", "outcome_unit", "n_clusters", "n_treated_clusters", "status", "reason",
]  # fmt: skip
UNCLEAR = "cannot tell"
OBSERVED = ("between_group_variance", "theil")  # sampling alone adds to them
Row = Mapping[str, Any]


def build(results: Results) -> Exhibit | None:
    """Statistics in blocks; cells give the level before, the effect with its interval and direction, and both p."""
    study = results.study
    analyses = scale_analyses(study)
    main, pooled = measure_analysis(study), pooled_analysis(study)
    asked = tuple(a.id for a in (pooled, main, *analyses) if a is not None)
    found = results.estimates[results.estimates["analysis_id"].isin(asked)]
    found = found[found["outcome"].isin(list(SCALE_NAMES)) & (found["inference"] != CLAIM)]
    if not analyses or found[found["outcome"] != "gap"].empty:
        results.skip(ID, "the plan asks its primary question on no other scale")
        return None
    columns = [m for m in (POOLED, *study.measure_ids("contracted")) if (found["measure_id"] == m).any()]
    shown = shown_ids(results.estimates, study)
    levels = results.estimates[results.estimates["analysis_id"] == LEVELS]
    blocks = [Block(head, tuple(_line(found, levels, name, columns, shown) for name in names if (found["outcome"] == name).any()))
              for head, names in BLOCKS.items()]  # fmt: skip
    heads = ("Statistic", *(text.measure_name(results, m) for m in columns))
    table = spec(heads, blocks, stub=1, align="l" + "c" * len(columns))
    ids = row_ids(table)
    data = results.estimates[results.estimates["row_id"].isin(ids)].set_index("row_id").loc[list(ids)].reset_index()
    note = _note(results, data)
    return Exhibit(
        ID, "table", "The same question on other scales", _alt(results, found, shown), note, ids, data[COLUMNS], table=table
    )


def shown_ids(estimates: pd.DataFrame, study: Study) -> frozenset[str]:
    """Row ids of the answers that show a change: on other scales by Holm's rule over all of them, of the gap by its claim."""
    alpha, ids = study.inference.alpha, [a.id for a in scale_analyses(study)]
    others = estimates[estimates["analysis_id"].isin(ids) & estimates["outcome"].isin(list(SCALE_NAMES))]
    others = others.drop_duplicates(["analysis_id", "outcome", "measure_id"])  # the first inference
    shown = {str(row["row_id"]) for row in announced(others.to_dict("records"), alpha)}
    gaps = [a.id for a in (pooled_analysis(study), measure_analysis(study)) if a is not None]
    own = estimates[estimates["analysis_id"].isin(gaps) & (estimates["outcome"] == "gap")]
    claims = own[(own["inference"] == CLAIM) & (own["status"] == OK)]
    claimed = claims.loc[claims["p_value"].astype(float) <= alpha, ["analysis_id", "measure_id", "group"]]
    return frozenset(shown | set(own.merge(claimed)["row_id"].astype(str)))


def _line(
    found: pd.DataFrame, levels: pd.DataFrame, name: str, columns: Sequence[str], shown: Collection[str]
) -> tuple[Cell | str, ...]:
    cells = []
    for measure in columns:
        level, effect = _level(levels, name, measure), _cell(found, name, measure, shown)
        cells.append(Cell("\n".join(c.text for c in (level, effect) if c.text), f"{level.row_id} {effect.row_id}".strip()))
    return (SCALE_NAMES[name].short, *cells)


def _level(levels: pd.DataFrame, name: str, measure: str) -> Cell:
    """How large it was before, and as observed where sampling adds enough to be seen; nothing for all measures together."""
    rows = levels[(levels["outcome"] == name + SUFFIX) & (levels["measure_id"] == measure)].to_dict("records")
    if not rows:
        return Cell("")
    row = rows[0]
    if row["status"] != OK:
        return Cell(f"before: {text.STATUS.get(str(row['status']), row['status'])}", text.row_id(row))
    said, observed = (text.number(row[k], text.decimals(row)) for k in ("estimate", "statistic"))
    beside = f", observed {observed}" if name in OBSERVED and observed != said else ""
    return Cell(f"before {said}{beside}", text.row_id(row))


def _cell(found: pd.DataFrame, name: str, measure: str, shown: Collection[str]) -> Cell:
    """The first inference's answer and its direction; beside it the p of the permutation."""
    own = found[(found["outcome"] == name) & (found["measure_id"] == measure)]
    rows = own.drop_duplicates("inference").to_dict("records")
    if not rows:
        return Cell(MISSING)
    first = rows[0]
    shuffled = next((r for r in rows if r["inference"] == "permutation" and r is not first), None)
    said = text.estimate(first)
    if first["status"] == OK:
        said += f"\n{direction(first, shown)}; p {text.p(first['p_value'])}"
    if shuffled is not None and shuffled["status"] == OK:
        said += f", perm. {text.p(shuffled['p_value'])}"
    used = [first, *([shuffled] if shuffled is not None else [])]
    return Cell(said, " ".join(text.row_id(r) for r in used))


def direction(row: Row, shown: Collection[str]) -> str:
    """What the effect does, where it is among those that show a change."""
    name = SCALE_NAMES[str(row["outcome"])]
    if row["row_id"] not in shown:
        return UNCLEAR
    return name.falls if row["estimate"] < 0 else name.rises


def _note(results: Results, data: pd.DataFrame) -> str:
    study = results.study
    best = _named(results, data, "gap_to_best", "reference_group")
    worst = _named(results, data, "worst_group_rate", "group")
    named = f" Best group at baseline: {best}." if best else ""
    named += f" Worst off at baseline: {worst}." if worst else ""
    others = data[(data["outcome"] != "gap") & (data["analysis_id"] != LEVELS)]
    reference = text.group_name(results, str(study.groups.reference))
    units = study.info.unit_label_plural
    return (
        f"Before: in contracted {units} together over the baseline years. Below it the effect of the"
        f" {study.info.treatment_label}; negative: the disparity shrinks, except in the last row. "
        f"Log ratios: success is {reference} over group, failure group over {reference}, so both are above zero where the group "
        "is behind; 0.01 is about one percent. Narrows, widens, better, worse: shown, the absolute gap by the rule for claims, "
        "all other answers of the table together by Holm's rule (familywise error rate "
        f"{100 * study.inference.alpha:g}%); an arm of fewer than {FEWEST} {units} shows nothing. p is not adjusted. The "
        "variance and Theil's index are free of the part that sampling adds (observed: with it); all values are taken at the "
        "mean rates of the years before and after."
        f"{named} {text.base_note(others, results)}{text.missing_note(others)}{text.synthetic_note(results)}"
    )


def _named(results: Results, data: pd.DataFrame, outcome: str, column: str) -> str:
    """ "White (Blood pressure, Well-care), Asian (A1c control)"."""
    rows = data[(data["outcome"] == outcome) & (data["measure_id"] != POOLED) & (data["status"] == OK)]
    by_group: dict[str, list[str]] = {}
    for measure, group in dict.fromkeys(zip(rows["measure_id"], rows[column], strict=True)):
        if not text.is_missing(group):
            by_group.setdefault(str(group), []).append(text.measure_name(results, str(measure)))
    return ", ".join(f"{text.group_name(results, g)} ({', '.join(names)})" for g, names in by_group.items())


def _alt(results: Results, found: pd.DataFrame, shown: Collection[str]) -> str:
    """For each measure which statistics point which way."""
    parts = []
    for measure in dict.fromkeys(found["measure_id"]):
        own = found[(found["measure_id"] == measure) & (found["status"] == OK)].drop_duplicates("outcome")
        said = [direction(r, shown) for r in own.to_dict("records")]
        counts = {word: said.count(word) for word in dict.fromkeys(said)}
        if counts:
            words = text.listing([f"{word} {n}" for word, n in counts.items()])
            parts.append(f"{text.measure_name(results, str(measure))}: of {len(said)} statistics {words}")
    return "; ".join(parts) + "." if parts else "No statistic could be estimated."
