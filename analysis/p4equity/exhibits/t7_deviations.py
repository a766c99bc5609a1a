"""T7: deviations from the registered plan; without any, the table says so beside the plan's date and hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from p4equity import words
from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING, Exhibit
from p4equity.exhibits.select import analysis_title
from p4equity.exhibits.tabular import Block, spec

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "T7", "table"
SHORT_HASH = 12
LOGGED = ("No.", "Date", "Part of the plan", "What was done instead", "Why", "Outcomes seen", "Consequence")
NONE = ("Deviations logged", "Registration", "Plan of", "Hash of the plan")
TITLE = "Deviations from the plan"


def build(results: Results) -> Exhibit | None:
    """One row a logged deviation, in order of date; a table that says "None" when there is none."""
    study = results.study
    log = study.deviations.sort_values(["date", "deviation_id"], kind="stable", ignore_index=True)
    if log.empty:
        return _none(results)
    rows = tuple(
        (
            str(r["deviation_id"]), words.date(r["date"]), _part(results, str(r["item_id"])), str(r["description"]),
            str(r["reason"]),
            "yes" if r["after_outcomes"] else "no", MISSING if text.is_missing(r["consequence"]) else str(r["consequence"]),
        )
        for r in log.to_dict("records")
    )  # fmt: skip
    table = spec(LOGGED, [Block("", rows)], align="l" * len(LOGGED))
    late = int(log["after_outcomes"].astype(bool).sum())
    alt = f"{text.plural(len(log), 'deviation')} logged, {late or 'none'} decided after outcomes were seen."
    data = log.assign(date=[d.date().isoformat() for d in log["date"]])
    return Exhibit(ID, "table", TITLE, alt, _note(results), (), data, table=table)


def _none(results: Results) -> Exhibit:
    """That nothing was changed is an answer: to which plan it refers must be said."""
    info, plan_hash = results.study.info, results.study.plan_hash
    row = ("None", info.registered_at, words.date(info.registered_on), plan_hash[:SHORT_HASH])
    table = spec(NONE, [Block("", (row,))], align="l" * len(NONE))
    data = pd.DataFrame([[0, info.registered_at, info.registered_on.isoformat(), plan_hash]], columns=list(NONE))
    alt = f"No deviation is logged from the plan of {words.date(info.registered_on)} (hash {plan_hash[:SHORT_HASH]})."
    return Exhibit(ID, "table", TITLE, alt, _note(results), (), data, table=table)


def _part(results: Results, item: str) -> str:
    """The registered question or gate a deviation is about, in words; other items by their id."""
    study = results.study
    gate = study.gate(item)
    if gate is not None:
        return f"Gate: {gate.question}"
    found = next((a for a in study.analyses if a.id == item), None)
    return item.replace("_", " ") if found is None else f"Analysis: {analysis_title(found, study)}"


def _note(results: Results) -> str:
    info, plan_hash = results.study.info, results.study.plan_hash
    return (
        f"Plan of {words.date(info.registered_on)}, {info.registered_at}; its hash (SHA-256, first {SHORT_HASH} characters "
        f"{plan_hash[:SHORT_HASH]}) covers "
        "all files of the plan, this log among them, and every row of the estimates carries it. A deviation that lets rows "
        "stand behind a failed gate is logged here."
    )
