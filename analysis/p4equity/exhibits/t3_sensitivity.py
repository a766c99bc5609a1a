"""T3: the sensitivity table: one row a check, one column a measure, the same question asked with one thing changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING, Exhibit
from p4equity.exhibits.select import (
    OK,
    analysis_title,
    group_analysis,
    leave_out_analysis,
    measure_analysis,
    placebo_analyses,
    pooled_analysis,
    rows_of,
    sensitivities,
)
from p4equity.exhibits.tabular import Block, Cell, capital, row_ids, spec, stacked, with_labels
from p4equity.study.names import estimator_name
from p4equity.study.vocabulary import OWN_QUESTIONS

if TYPE_CHECKING:
    from p4equity.results import Results
    from p4equity.study import Analysis

ID, KIND = "T3", "table"
POOLED, GAP = "pooled", "gap"
OTHER_QUESTIONS = ("bacon", *OWN_QUESTIONS)  # a decomposition and questions of their own are no checks
Row = Mapping[str, Any]
Line = tuple[Cell | str, ...]
ABBREVIATED = {"Permutation": "perm."}


@dataclass(frozen=True)
class Check:
    """One line: what was changed, by which inference, and the row of each column (a measure, or all of them pooled)."""

    block: str
    label: str
    inference: str
    rows: Mapping[str, Row | None]
    primary: bool = False
    placebo: bool = False
    group: str = POOLED
    found: tuple[Row, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "found", tuple(r for r in self.rows.values() if r is not None))


def build(results: Results) -> Exhibit | None:
    """Every registered check of the primary question, in blocks; cells give the estimate, its interval and p."""
    gaps = measure_analysis(results.study) is not None
    checks = [c for c in (_gap_checks(results) if gaps else _value_checks(results)) if c.found]
    if len({(c.block, c.label) for c in checks}) < 2:
        results.skip(ID, "the plan registers no check beside the primary analysis")
        return None
    columns = _columns(results, checks)
    headings = dict.fromkeys(c.block for c in checks)
    lines = (_gap_lines if gaps else _value_lines)(checks, columns)
    blocks = [Block(heading, tuple(line for block, line in lines if block == heading)) for heading in headings]
    stub = ("Check",) if gaps else ("Check", "Inference")
    heads = (*stub, *(text.measure_name(results, m) for m in columns))
    table = spec(heads, blocks, stub=len(stub), align="l" * len(stub) + "c" * len(columns))
    ids = row_ids(table)
    data = results.estimates[results.estimates["row_id"].isin(ids)].set_index("row_id").loc[list(ids)].reset_index()
    what = "effect on the equity gap" if gaps else "effect on the outcome"
    return Exhibit(
        ID, "table", f"Sensitivity of the {what} to the choices of the analysis", _alt(results, checks),
        _note(results, data, gaps), ids, _with_checks(data, checks), table=table,
    )  # fmt: skip


def _columns(results: Results, checks: list[Check]) -> list[str]:
    have = {m for c in checks for m, row in c.rows.items() if row is not None}
    return [m for m in (POOLED, *results.study.measure_ids("contracted")) if m in have]


def _gap_lines(checks: Sequence[Check], columns: Sequence[str]) -> list[tuple[str, Line]]:
    """Block and cells of each line: one a check, the inferences of its row in one cell."""
    by_line: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        by_line.setdefault((check.block, check.label), []).append(check)
    return [
        (block, (label, *(_cell([c.rows.get(m) for c in same], [c.inference for c in same]) for m in columns)))
        for (block, label), same in by_line.items()
    ]


def _value_lines(checks: Sequence[Check], columns: Sequence[str]) -> list[tuple[str, Line]]:
    """Block and cells of each line: one a check and inference, the check named once."""
    out: list[tuple[str, Line]] = []
    named = ("", "")
    for check in checks:
        label = "" if named == (check.block, check.label) else check.label
        named = (check.block, check.label)
        out.append((check.block, (label, check.inference, *(_cell([check.rows.get(m)], [check.inference]) for m in columns))))
    return out


def _cell(rows: Sequence[Row | None], methods: Sequence[str]) -> Cell:
    """Estimate, p and interval of the first row, and the p of the others under their names."""
    first, *others = rows
    more = [
        f"\n{ABBREVIATED.get(method, method.lower())} p {text.p(row['p_value'])}"
        for row, method in zip(others, methods[1:], strict=True)
        if row is not None and row["status"] == OK
    ]
    return Cell(stacked(first) + "".join(more), " ".join(text.row_id(r) for r in rows if r is not None))


def _check(
    results: Results, block: str, label: str, analyses: Iterable[Analysis | None], method: str, group: str = POOLED, **more: Any
) -> Check:
    """The line of these analyses under one inference: each measure from the first analysis that has it."""
    found: dict[str, Row | None] = {}
    for analysis in analyses:
        if analysis is None:
            continue
        rows = rows_of(results, analysis, outcome=analysis.outcome, inference=method, group=group, event_time=None)
        for row in rows.to_dict("records"):
            found.setdefault(str(row["measure_id"]), row)
    return Check(block, label, capital(text.method(method)), found, group=group, **more)


def _gap_checks(results: Results) -> Iterable[Check]:
    """Lines of a study of gaps: primary, one choice changed, one system left out, other estimators by group."""
    study = results.study
    main, group = measure_analysis(study), group_analysis(study)
    assert main is not None
    for method in main.inference:
        pair = (pooled_analysis(study), main)
        yield _check(results, "The primary question", "Primary", pair, method, primary=True)
    for analysis in sensitivities(study):
        for method in analysis.inference:
            block = "One choice changed" if analysis.members == main.members else "Composition: other members, same question"
            yield _check(results, block, analysis_title(analysis, study), (analysis,), method)
    for analysis in placebo_analyses(study):
        block = f"A date before any {study.info.treatment_label} in its place: nothing to find"
        yield _check(results, block, analysis_title(analysis, study), (analysis,), analysis.inference[0], placebo=True)
    yield from _left_out(results)
    others = [
        a
        for a in study.analyses
        if a.outcome == main.outcome and a.groups == "each" and a.estimator not in (*OTHER_QUESTIONS, "event_study")
        and (a.measures, a.cohorts) == (main.measures, main.cohorts) and (group is None or a.id != group.id)
    ]  # fmt: skip
    for name in study.groups.compared:
        block = f"Other estimators, {text.group_name(results, name)} alone"
        for analysis in [group, *others] if group else others:
            label = ", ".join(part for part in (_name(results, analysis), _weighting(results, analysis)) if part)
            label += f" ({text.method(analysis.inference[0])})"
            yield _check(results, block, label, (analysis,), analysis.inference[0], name, primary=analysis is group)


def _left_out(results: Results) -> Iterable[Check]:
    """The smallest and the largest pooled estimate when each system is left out in turn."""
    analysis = leave_out_analysis(results.study)
    rows = rows_of(results, analysis, outcome=analysis.outcome, status=OK) if analysis else pd.DataFrame()
    if analysis is None or rows.empty:
        return
    unit = results.study.info.unit_label
    rows = rows[rows["inference"] == analysis.inference[0]].sort_values("estimate")
    for row in (rows.iloc[0].to_dict(), rows.iloc[-1].to_dict()):
        end = "Lowest" if row["row_id"] == rows.iloc[0]["row_id"] else "Highest"
        label = f"{end}: {with_labels(results, str(row['sample']))}"
        method = capital(text.method(analysis.inference[0]))
        yield Check(f"Each {unit} left out in turn ({len(rows)} estimates)", label, method, {POOLED: row})


def _value_checks(results: Results) -> Iterable[Check]:
    """Lines of a study without groups: each estimator and weighting of the same outcome, by inference."""
    study = results.study
    contracted = set(study.measure_ids("contracted"))
    ways: dict[tuple[str, str], list[Analysis]] = {}
    for a in study.analyses:
        if a.outcome == "value" and a.estimator not in OTHER_QUESTIONS and set(study.measure_ids(a.measures)) <= contracted:
            ways.setdefault((a.estimator, a.weighting), []).append(a)
    for analyses in ways.values():
        block, label = _name(results, analyses[0]), "Unweighted" if analyses[0].weighting == "system" else "Weighted"
        for method in dict.fromkeys(m for a in analyses for m in a.inference):
            primary = analyses[0].registered == "primary"
            yield _check(results, block, label, analyses, method, "all", primary=primary)


def _name(results: Results, analysis: Analysis) -> str:
    """The estimator in words."""
    head = estimator_name(analysis.estimator).head
    means = f", mean of the years under the {results.study.info.treatment_label}"
    return head + (means if analysis.estimator == "event_study" else "")


def _weighting(results: Results, analysis: Analysis) -> str:
    """What the estimator's weights are; "" for weights of its own."""
    study = results.study
    if analysis.weighting == "random_effects":
        return ""
    if analysis.weighting == "system":
        return f"every {study.info.unit_label} the same"
    return "weighted by members" if study.data.value is None else f"weighted by {study.data.value.weight_label or 'size'}"


def _with_checks(data: pd.DataFrame, checks: list[Check]) -> pd.DataFrame:
    """The rows with the line of the table they stand on."""
    where = {str(r["row_id"]): (c.block, c.label) for c in checks for r in c.found}
    columns = [
        "row_id", "analysis_id", "measure_id", "group", "sample", "inference", "estimate", "std_error", "p_value", "conf_low",
        "conf_high", "df", "n_clusters", "n_treated_clusters", "p_attainable", "outcome_unit", "status", "reason",
    ]  # fmt: skip
    out = data[columns].copy()
    out.insert(1, "block", [where[i][0] for i in out["row_id"]])
    out.insert(2, "check", [where[i][1] for i in out["row_id"]])
    return out


def _alt(results: Results, checks: list[Check]) -> str:
    """How many checks agree in sign with the primary row of their column, and the range without one system."""
    base = {(c.group, m): row for c in reversed(checks) if c.primary for m, row in c.rows.items() if _ok(row)}
    asked = [c for c in checks if not (c.primary or c.placebo)]
    pairs = [(base.get((c.group, m)), r) for c in asked for m, r in c.rows.items() if r is not None]
    known = [(b, r) for b, r in pairs if b is not None and _ok(r)]
    same = sum((float(b["estimate"]) < 0) == (float(r["estimate"]) < 0) for b, r in known)
    clear = sum(_excludes_zero(r) for _, r in known)
    silent = sum(not _ok(r) for _, r in pairs)
    signs, bounds = ("has" if n == 1 else "have" for n in (same, clear))
    said = (
        f"Of {text.plural(len(known), 'check')} with a number, {same} {signs} the sign of the estimate checked; "
        f"{clear} {bounds} an interval without zero; {silent} could not be estimated."
    )
    left = [float(r["estimate"]) for c in checks if "left out" in c.block for r in c.found]
    if left:
        unit = results.study.info.unit_label
        said += f" Without one {unit} the pooled estimate runs from {text.number(min(left))} to {text.number(max(left))} points."
    return said


def _ok(row: Row | None) -> bool:
    return row is not None and row["status"] == OK


def _excludes_zero(row: Row) -> bool:
    low, high = row["conf_low"], row["conf_high"]
    return (not text.is_missing(low) and float(low) > 0) or (not text.is_missing(high) and float(high) < 0)


def _note(results: Results, data: pd.DataFrame, gaps: bool) -> str:
    study = results.study
    unit = "percentage points" if gaps else text.listing([str(u) for u in data["outcome_unit"].dropna().unique()])
    parts = [f"Cells: estimate, p and interval in {unit}; no p is adjusted for the number of checks; {MISSING}: not planned"]
    if gaps:
        parts.append("perm.: by permutation. Negative: the gap narrows. Other estimators: by their first planned inference")
    else:
        weights = {a.weighting: _weighting(results, a) for a in study.analyses if a.outcome == "value"}
        parts += [
            f"{'Unweighted' if way == 'system' else 'Weighted'}: {said.removeprefix('weighted ')}"
            for way, said in weights.items()
        ]
    if any(a.estimator == "triple_difference" for a in study.analyses) and gaps:
        parts.append(
            "With one group and its reference the triple difference equals the member-weighted difference-in-differences of "
            "the gaps; "
            f"{study.info.unit_label_plural} with fewer than the planned minimum of members count in neither"
        )
    note = with_labels(results, text.missing_note(data))
    return ". ".join(parts) + f". {text.base_note(data, results)}{note}{text.synthetic_note(results)}"
