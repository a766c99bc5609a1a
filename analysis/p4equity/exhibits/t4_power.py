"""T4: what the study could detect, beside the gap, the change called meaningful, and the interval that came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.estimates import NOT_ESTIMABLE, SUPPRESSED
from p4equity.exhibits import baseline_gap, text
from p4equity.exhibits.base import MISSING, Exhibit
from p4equity.exhibits.select import OK, group_analysis, measure_analysis, one, pooled_analysis, rows_of
from p4equity.exhibits.tabular import Block, Cell, row_ids, spec, stacked, traced, with_labels

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "T4", "table"
POOLED = "pooled"
COLUMNS = (
    "", "With / without", "Baseline gap", "Meaningful", "Detectable", "Effect on the gap", "Zero", "Meaningful",
    "Smallest p",
)  # fmt: skip
SPANNERS = (("", 2), ("Gap and changes of it, points", 3), ("Observed", 1), ("Interval excludes", 2), ("Permutation", 1))
SEEN = ("estimate", "conf_low", "conf_high", "status", "reason", "row_id")
NEITHER, NONE, MEANINGFUL, BOTH = "neither", "no change", "a meaningful narrowing", "both"
Row = Mapping[str, Any]


def build(results: Results) -> Exhibit | None:
    """One row a contracted measure and group; gaps and changes in percentage points."""
    power, main = _pooled_first(results.table("power")), measure_analysis(results.study)
    if power.empty or main is None:
        counts = results.study.data.kind == "counts"
        why = (
            "no contracted measure has both arms" if counts else "they are computed from counts of members, which the study lacks"
        )
        results.skip(ID, f"no detectable changes: {why}")
        return None
    data = _data(results, power)
    blocks = [
        Block(text.measure_name(results, str(m)), tuple(_line(results, row) for row in part.to_dict("records")))
        for m, part in data.groupby("measure_id", sort=False)
    ]
    table = spec(COLUMNS, blocks, align="lcrrccccr", spanners=SPANNERS)
    ids = row_ids(table)
    shown = results.estimates[results.estimates["row_id"].isin(set(data["row_id"].dropna()))]
    title = "What the study can detect, beside the gap to close, the change called meaningful, and the interval observed"
    return Exhibit(ID, "table", title, _alt(results, data), _note(results, data, shown), ids, data, table=table)


def _pooled_first(power: pd.DataFrame) -> pd.DataFrame:
    """The power table in its order of measures: the question on all of them on top, and pooled groups before single ones."""
    if power.empty:
        return power
    order = {m: i for i, m in enumerate(dict.fromkeys([POOLED, *power["measure_id"]]))}
    keys = {"measure_id": lambda ids: ids.map(order), "group": lambda ids: ids != POOLED}
    return power.sort_values(list(keys), key=lambda column: keys[str(column.name)](column), kind="stable", ignore_index=True)


def _data(results: Results, power: pd.DataFrame) -> pd.DataFrame:
    """The power table with the observed effect (Knapp-Hartung), what its interval rules out, and the rows of gap and effect."""
    study = results.study
    analyses = (pooled_analysis(study), measure_analysis(study), group_analysis(study))
    effects = pd.concat([rows_of(results, a, outcome="gap") for a in analyses if a])
    effects = effects[effects["inference"] == results.study.inference.primary[0]]
    rows = []
    for given in power.to_dict("records"):
        measure, group = str(given["measure_id"]), str(given["group"])
        effect, gap = one(effects, measure_id=measure, group=group), baseline_gap.described(results, measure, group)
        seen = {k: None if effect is None else effect[k] for k in SEEN}
        out = _ruled_out(effect, given["meaningful_change"])
        held = baseline_gap.is_gap(results, measure, group)
        rows.append({**given, **seen, "rules_out": out, "gap_row_id": text.row_id(gap), "gap_at_baseline": held})
    return pd.DataFrame(rows)


def _ruled_out(effect: Row | None, meaningful: Any) -> str | None:
    """What the interval leaves no room for: no change, a narrowing as large as the meaningful one, both, or neither."""
    if effect is None or effect["status"] != OK:
        return None
    low = -float("inf") if text.is_missing(effect["conf_low"]) else float(effect["conf_low"])
    high = float("inf") if text.is_missing(effect["conf_high"]) else float(effect["conf_high"])
    zero = not low <= 0 <= high
    far = not text.is_missing(meaningful) and low > -float(meaningful)
    return {(True, True): BOTH, (True, False): NONE, (False, True): MEANINGFUL, (False, False): NEITHER}[zero, far]


def _line(results: Results, row: Row) -> tuple[Cell | str, ...]:
    effect = None if text.is_missing(row["row_id"]) else row
    unit = {"outcome_unit": "percentage points"}
    low, high = text.number(row["mde_low"]), text.number(row["mde_high"])
    measure, group = str(row["measure_id"]), str(row["group"])
    zero, far = _excluded(row["rules_out"])
    return (
        baseline_gap.group_label(results, measure, group),
        f"{text.number(row['n_contracted'], 0)} / {text.number(row['n_comparison'], 0)}",
        Cell(text.number(row["baseline_gap"]) + ("" if row["gap_at_baseline"] else baseline_gap.MARK), str(row["gap_row_id"])),
        text.number(row["meaningful_change"]),
        low if low == high else f"{low} to {high}",
        traced(effect, None if effect is None else stacked({**effect, **unit}, p=False)),
        zero,
        MISSING if text.is_missing(row["meaningful_change"]) else far,
        text.p(row["p_attainable"]),
    )


def _excluded(ruled_out: Any) -> tuple[str, str]:
    """Whether the interval leaves out zero, and whether it leaves out a narrowing as large as the meaningful one."""
    if text.is_missing(ruled_out):
        return MISSING, MISSING
    zero, far = str(ruled_out) in (NONE, BOTH), str(ruled_out) in (MEANINGFUL, BOTH)
    return "yes" if zero else "no", "yes" if far else "no"


def _alt(results: Results, data: pd.DataFrame) -> str:
    """For how many rows a meaningful change is within reach, and what the intervals rule out."""
    wanted = data[data["meaningful_change"].notna()]
    reach = int((wanted["mde_low"] <= wanted["meaningful_change"]).sum())
    found = data["rules_out"].value_counts()
    smallest = data.loc[data["mde_low"].idxmin()]
    name = f"{text.measure_name(results, str(smallest['measure_id']))}, {text.group_name(results, str(smallest['group']))}"
    beyond = int((data["p_attainable"] > results.study.inference.alpha).sum())
    zero, far, none = (sum(int(found.get(k, 0)) for k in keys) for keys in ((NONE, BOTH), (MEANINGFUL, BOTH), (NEITHER,)))
    said = (
        f"The smallest detectable change is {text.number(smallest['mde_low'])} points ({name}); a meaningful change is "
        "within reach in "
        f"{reach} of {len(wanted)} rows with a gap. {zero} intervals rule out no change, {far} rule out a meaningful "
        f"narrowing, {none} rule out neither"
    )
    if beyond:
        said += f"; by permutation a claim is out of reach in {beyond} rows"
    hidden = int(data["status"].isin([NOT_ESTIMABLE, SUPPRESSED]).sum())
    return said + (f"; {text.plural(hidden, 'effect')} without a number." if hidden else ".")


def _note(results: Results, data: pd.DataFrame, shown: pd.DataFrame) -> str:
    study, inference = results.study, results.study.inference
    label, units = study.info.treatment_label, study.info.unit_label_plural
    level = text.number(100 * inference.alpha, 0)
    shocks = f"{text.number(data['tau_low'].min())} to {text.number(data['tau_high'].max())}"
    return (
        f"With / without: {units} with a {label} on the measure / in comparison. Meaningful: a narrowing by "
        f"{text.number(100 * inference.meaningful_share, 0)}% of the baseline gap ({MISSING}: no gap). Detectable: the smallest "
        f"change the two-sided Knapp-Hartung test at {level}% finds with 80% power, from sizes, rates and overlap of baseline "
        f"years and yearly shocks to {units}’ gaps of {shocks} points (standard deviation), half of which last to the next year. "
        "Interval excludes: no change at all; a meaningful narrowing. Smallest p: what the permutation can give at best, by the "
        f"number of ways to hand the {label}s to eligible {units}. Negative effect: the gap narrows.{baseline_gap.note(results)} "
        f"{text.base_note(shown, results)}{with_labels(results, text.missing_note(shown))}{text.synthetic_note(results)}"
    )
