"""T14: what each method of inference does on this study's own cells when the truth is known, question by question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.calibration.summary import CLEAR, LIBERAL
from p4equity.estimates import OK
from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING, Exhibit
from p4equity.exhibits.calibration_parts import SETTINGS, calibrated, main_method, main_questions, note, summary
from p4equity.exhibits.select import analysis_title
from p4equity.exhibits.tabular import Block, capital, spec

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "T14", "table"
COLUMNS = ("", "As estimated", "Worst case", "Setting of the worst case", "Effects vary", "Own data", "Coverage", "Power")
SPANNERS = (("", 1), ("Rejects though nothing happened, %", 3), ("Other nulls, %", 2), ("%", 2))
MARK = "*"


def build(results: Results) -> Exhibit | None:
    """One row a primary question and method; of a co-primary question the primary method only. Rates in percent."""
    table = calibrated(results, ID)
    if table is None:
        return None
    found = summary(results, table)
    first, method = main_questions(results), main_method(results)
    shown = found[found["analysis_id"].isin(first) | (found["inference"] == method)]
    blocks = [
        Block(_heading(results, part.iloc[0].to_dict(), first), tuple(_line(row) for row in part.to_dict("records")))
        for _, part in shown.groupby(["analysis_id", "measure_id"], sort=False)
    ]
    laid = spec(COLUMNS, [b for b in blocks if b.rows], align="lrrlrrrr", spanners=SPANNERS)
    title = "How often each method rejects, covers and finds on this study’s own cells when the truth is known"
    return Exhibit(ID, "table", title, _alt(results, found), _note(results, table, found), (), found, None, laid)


def _heading(results: Results, row: Mapping[str, Any], first: list[str]) -> str:
    analysis = results.study.analysis(str(row["analysis_id"]))
    name = text.measure_name(results, str(row["measure_id"]))
    own = "" if analysis.id in first else f", {analysis_title(analysis, results.study).lower()}"
    if text.is_missing(row["n_clusters"]):
        return f"{name}{own}"
    label = results.study.info.treatment_label
    return f"{name}{own}: {int(row['n_treated_clusters'])} of {int(row['n_clusters'])} with a {label}"


def _line(row: Mapping[str, Any]) -> tuple[str, ...]:
    name = capital(text.method(row["inference"]))
    if row["status"] != OK:
        said = "Could not be examined" if row["inference"] == "all" else name
        return (said, *[MISSING] * (len(COLUMNS) - 1))
    worst = text.number(100 * row["worst"]) + (MARK if row["too_often"] else "")
    return (
        name, _percent(row["at_estimate"]), worst, SETTINGS[str(row["worst_setting"])], _percent(row["varying"]),
        _percent(row["placebo_date"]), _percent(row["coverage"]), _percent(row["power"]),
    )  # fmt: skip


def _percent(value: Any) -> str:
    return MISSING if text.is_missing(value) else text.number(100 * float(value))


def _alt(results: Results, found: pd.DataFrame) -> str:
    """How far from its level the primary method is at worst, and how many methods and questions go clearly beyond it."""
    ok = found[found["status"] == OK]
    own = ok[ok["inference"] == main_method(results)]
    beyond = ok[ok["too_often"].astype(bool)]
    level = text.number(100 * results.study.inference.alpha, 0)
    said = ""
    if len(own):
        said = (
            f"The primary method rejects at most {text.number(100 * own['worst'].max())}% of the time where {level}% is meant. "
        )
    names = [text.method(m) for m in dict.fromkeys(beyond["inference"])]
    return said + (
        f"Clearly too often somewhere: {text.listing(names)}." if names else "No method rejects clearly too often anywhere."
    )


def _note(results: Results, table: pd.DataFrame, found: pd.DataFrame) -> str:
    study = results.study
    method = text.method(main_method(results))
    more = set(found["analysis_id"]) - set(main_questions(results))
    silent = found[(found["status"] != OK) & found["reason"].notna()]
    reasons = dict.fromkeys(f"{text.method(r.inference)}: {r.reason}" for r in silent.itertuples())
    share = text.number(100 * study.inference.meaningful_share, 0)
    units, label = study.info.unit_label_plural, study.info.treatment_label
    bound = text.number(100 * LIBERAL * study.inference.alpha)
    return (
        f"Worst case: over all settings without any effect ({MARK}: beyond {bound}%, "
        f"Bradley’s liberal bound, and over the level by more than {CLEAR:.0f} Monte Carlo errors). "
        f"Effects vary: between {units} with a {label} around zero, standard deviation 1 or 2 points, whichever is worse; a test "
        "of no effect at all need not hold its level there. Own data: a placebo launch. Coverage: lowest over settings with the "
        f"same effect everywhere. Power: at a narrowing by {share}% of the baseline gap. {MISSING}: not available"
        + (f" ({'; '.join(reasons)})" if reasons else "")
        + (f". Of co-primary questions only {method} is shown; the table’s data hold all" if more else "")
        + f". {note(results, table)}"
    )
