"""T10: guardrails, cost per point, companion rates, measures no contract pays for, the negative control and later cohorts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.disparity.guardrail import CANNOT_TELL, guardrail_verdict, margin_excluded
from p4equity.evaluation.claims import FEWEST
from p4equity.evaluation.cost import MAIN
from p4equity.evaluation.margins import AGAINST_MARGIN, MARGIN_POWER
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
POOLED = "pooled"
COLUMNS = (
    "row_id", "analysis_id", "measure_id", "outcome", "estimate", "conf_low", "conf_high", "p_value", "status", "reason",
)  # fmt: skip
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
        ("", "Effect (interval)", "p", "p, margin", "Power", f"{units} (contracted)", "Answer"),
        ("l", "c", "r", "r", "r", "c", "l"),
    )
    answers = []
    for a in questions:
        if len(found[a.id]):
            table.group(f"{analysis_title(a, study)}{_margin(a, found[a.id])}")
        for row in found[a.id].to_dict("records"):
            same = rows_of(results, a, measure_id=row["measure_id"], outcome=row["outcome"])
            claim = same[same["inference"] == CLAIM]
            others = same[~same["row_id"].isin([row["row_id"], *claim["row_id"]])].to_dict("records")
            tests = rows_of(results, a, measure_id=row["measure_id"], outcome=f"{row['outcome']}{AGAINST_MARGIN}")
            said = answer([row, *others], a, study.inference.alpha, claim, tests)
            answers.append((row, a, said))
            what = OUTCOMES.get(str(row["outcome"]), str(row["outcome"]))
            ok = row["status"] == OK
            worst, power = (_worst(results, a, row), _power(results, a, row)) if ok else (None, None)
            table.row(
                _name(results, a, row) + (f", {what}" if what else ""), (text.estimate(row), row),
                text.p(row["p_value"]) if ok and not text.is_missing(row["p_value"]) else "",
                (text.p(worst["p_value"]), worst) if worst else "", (text.number(power["estimate"], 2), power) if power else "",
                _systems(row) if ok else "", said, **{k: row[k] for k in COLUMNS},
                p_margin=worst["p_value"] if worst else None, power=power["estimate"] if power else None, answer=said,
            )  # fmt: skip
    everything = pd.concat(list(found.values()))
    note = (
        "Points, or USD per member-month for spending. Questions with a margin are answered by all their inferences, of which "
        "the first is shown. No worse: every one-sided test of an effect at the margin or worse rejects; p, margin: the largest "
        f"of theirs, to be held against {text.number(study.inference.alpha / 2, 3)}. Worse than the margin: all intervals lie "
        "beyond it. Worse, by how much is open: all exclude zero, and the margin is not excluded; both need a claim after "
        f"adjustment for the other measures. With fewer than {FEWEST} {study.info.unit_label_plural} in an arm nothing is said "
        "but that the data cannot tell. Power: chance that the first inference excludes the margin where there is no effect, "
        "with the standard error found; that of a permutation is zero where the smallest p it can reach is too large. A result "
        "that is not significant is not evidence of no harm. "
        f"{text.base_note(everything, results)}{text.missing_note(everything)}{text.synthetic_note(results)}"
    )
    return table.exhibit(ID, "Guardrails, companion rates, unpaid measures and later contracts", _alt(results, answers), note)


def _name(results: Results, analysis: Analysis, row: Row) -> str:
    """The measure; of measures pooled, all contracted ones or those of the analysis."""
    contracted = results.study.measure_ids(analysis.measures) == results.study.measure_ids("contracted")
    return (
        "All of these measures"
        if row["measure_id"] == POOLED and not contracted
        else text.measure_name(results, row["measure_id"])
    )


def _rows(results: Results, analysis: Analysis) -> pd.DataFrame:
    rows = rows_of(results, analysis, inference=analysis.inference[0])
    wanted = {"companion": ("tested", "controlled_given_tested")}.get(analysis.outcome, (analysis.outcome,))
    shown = rows[rows["outcome"].isin(wanted)]
    return shown[shown["sample"] == MAIN] if analysis in costs(results.study) else shown


def answer(rows: Sequence[Row], analysis: Analysis, alpha: float, claim: pd.DataFrame, tests: pd.DataFrame) -> str:
    """The verdict of a question with a margin over the rows of all its inferences; "" for one without, or without a number.

    claim: the row of the rule for claims, if there is one. tests: the rows of the one-sided tests against the margin.
    """
    if analysis.margin is None or rows[0]["status"] != OK:
        return ""
    if any(row["status"] != OK for row in rows):
        return CANNOT_TELL
    bounds = [tuple(None if text.is_missing(row[k]) else float(row[k]) for k in ("conf_low", "conf_high")) for row in rows]
    p_values = [float(t["p_value"]) if t["status"] == OK else None for t in tests.to_dict("records")]
    return guardrail_verdict(
        [(low, high) for low, high in bounds], analysis.margin, above=analysis.direction != "below",
        claimed=bool((claim["p_value"] <= alpha).any()),
        excluded=margin_excluded(p_values, alpha, claimable=bool((claim["status"] == OK).any())),
    )  # fmt: skip


def _worst(results: Results, analysis: Analysis, row: Row) -> Row | None:
    """The row of the largest one-sided p against the margin over all inferences of a question."""
    tests = rows_of(results, analysis, measure_id=row["measure_id"], outcome=f"{row['outcome']}{AGAINST_MARGIN}", status=OK)
    return None if tests["p_value"].isna().all() else tests.loc[tests["p_value"].idxmax()].to_dict()


def _power(results: Results, analysis: Analysis, row: Row) -> Row | None:
    """The power of the first inference's test against the margin where there is no effect."""
    same = {"measure_id": row["measure_id"], "outcome": f"{row['outcome']}{MARGIN_POWER}", "inference": row["inference"]}
    found = rows_of(results, analysis, **same, status=OK)
    return found.iloc[0].to_dict() if len(found) else None


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
