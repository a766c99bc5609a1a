"""T10: guardrails, cost per point, companion rates, measures no contract pays for, the negative control and later cohorts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.disparity.guardrail import CANNOT_TELL, guardrail_verdict
from p4equity.exhibits import text
from p4equity.exhibits.builder import TableBuilder
from p4equity.exhibits.select import OK, analysis_title, costs, guardrails, other_questions, rows_of
from p4equity.study.names import CLAIM

if TYPE_CHECKING:
    from p4equity.exhibits.base import Exhibit
    from p4equity.results import Results
    from p4equity.study import Analysis

Row = Mapping[str, Any]
ID, KIND = "T10", "table"
COLUMNS = (
    "row_id", "analysis_id", "measure_id", "outcome", "estimate", "conf_low", "conf_high", "p_value", "status", "reason",
)  # fmt: skip
AGAINST_MARGIN = "_against_margin"  # outcome of the one-sided tests against a margin
OUTCOMES = {
    "tested": "tested",
    "controlled_given_tested": "controlled among the tested",
    "rate": "rate of all members",
    "spending": "",
    "gap": "gap",
    "spending_per_point": "spending for each point narrowed",
}


def build(results: Results) -> Exhibit | None:
    """A block an analysis, a row a measure and outcome; questions with a margin get their answer in words."""
    study = results.study
    questions = [*guardrails(study), *costs(study), *other_questions(study)]
    found = {a.id: _rows(results, a) for a in questions}
    if not any(len(rows) for rows in found.values()):
        results.skip(ID, "the plan asks no further questions")
        return None
    units = study.info.unit_label_plural.capitalize()
    table = TableBuilder(
        ("", "Effect (interval)", "p", "p, margin", f"{units} (contracted)", "Answer"), ("l", "c", "r", "r", "c", "l")
    )
    answers = []
    for a in questions:
        if len(found[a.id]):
            table.group(f"{analysis_title(a, study)}{_margin(a, found[a.id])}")
        for row in found[a.id].to_dict("records"):
            same = rows_of(results, a, measure_id=row["measure_id"], outcome=row["outcome"])
            claim = same[same["inference"] == CLAIM]
            others = same[~same["row_id"].isin([row["row_id"], *claim["row_id"]])].to_dict("records")
            said = answer([row, *others], a, claimed=bool((claim["p_value"] <= study.inference.alpha).any()))
            answers.append((row, a, said))
            what = OUTCOMES.get(str(row["outcome"]), str(row["outcome"]))
            ok = row["status"] == OK
            worst = _worst(results, a, row) if ok else None
            table.row(
                text.measure_name(results, row["measure_id"]) + (f", {what}" if what else ""), (text.estimate(row), row),
                text.p(row["p_value"]) if ok and not text.is_missing(row["p_value"]) else "",
                (text.p(worst["p_value"]), worst) if worst else "", _systems(row) if ok else "", said,
                **{k: row[k] for k in COLUMNS}, p_margin=worst["p_value"] if worst else None, answer=said,
            )  # fmt: skip
    everything = pd.concat(list(found.values()))
    note = (
        "Points, or USD per member-month for spending. Questions with a margin are answered by the intervals of all their "
        "inferences, of which the first is shown. No worse: all lie on the good side of the margin. Worse than the margin: all "
        "lie beyond it. Worse, by how much is open: all exclude zero, and the margin is not excluded; both need a claim after "
        "adjustment for the other measures. A result that is not significant is not evidence of no harm. p, margin: one-sided, "
        "of an effect at the margin or worse, the largest of all inferences, to be held against "
        f"{text.number((1 - study.inference.conf_level) / 2, 3)}. "
        f"{text.base_note(everything, results)}{text.missing_note(everything)}{text.synthetic_note(results)}"
    )
    return table.exhibit(ID, "Guardrails, companion rates, unpaid measures and later contracts", _alt(results, answers), note)


def _rows(results: Results, analysis: Analysis) -> pd.DataFrame:
    rows = rows_of(results, analysis, inference=analysis.inference[0])
    wanted = {"companion": ("tested", "controlled_given_tested")}.get(analysis.outcome, (analysis.outcome,))
    return rows[rows["outcome"].isin(wanted)]


def answer(rows: Sequence[Row], analysis: Analysis, *, claimed: bool) -> str:
    """The verdict of a question with a margin over the rows of all its inferences; "" for one without, or without a number.

    claimed: whether an effect is claimed after adjustment for the other measures of the question.
    """
    if analysis.margin is None or rows[0]["status"] != OK:
        return ""
    if any(row["status"] != OK for row in rows):
        return CANNOT_TELL
    bounds = [tuple(None if text.is_missing(row[k]) else float(row[k]) for k in ("conf_low", "conf_high")) for row in rows]
    above = analysis.direction != "below"
    return guardrail_verdict([(low, high) for low, high in bounds], analysis.margin, above=above, claimed=claimed)


def _worst(results: Results, analysis: Analysis, row: Row) -> Row | None:
    """The row of the largest one-sided p against the margin over all inferences of a question."""
    tests = rows_of(results, analysis, measure_id=row["measure_id"], outcome=f"{row['outcome']}{AGAINST_MARGIN}", status=OK)
    return None if tests["p_value"].isna().all() else tests.loc[tests["p_value"].idxmax()].to_dict()


def _margin(analysis: Analysis, rows: pd.DataFrame) -> str:
    if analysis.margin is None:
        return ""
    places = text.decimals(rows.iloc[0].to_dict())
    return f" (margin {text.number(analysis.margin, places)} {rows.iloc[0]['outcome_unit']})"


def _systems(row: dict[str, Any]) -> str:
    return f"{text.span([row['n_clusters']])} ({text.span([row['n_treated_clusters']])})"


def _alt(results: Results, answers: list[tuple[dict[str, Any], Analysis, str]]) -> str:
    judged = [(row, said) for row, _, said in answers if said]
    words = [f"{text.measure_name(results, row['measure_id'])} {said}" for row, said in judged]
    plain = [row for row, _, said in answers if not said and row["status"] == OK]
    clear = [r for r in plain if not text.is_missing(r["conf_low"]) and (r["conf_low"] > 0 or r["conf_high"] < 0)]
    tail = f"Of {len(plain)} other estimates {len(clear)} have an interval that excludes zero."
    return f"Guardrails: {'; '.join(words) or 'none'}. {tail}"
