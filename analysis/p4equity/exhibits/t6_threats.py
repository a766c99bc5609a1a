"""T6: threats to validity: what each would do to the results, what the plan does about it, and what that found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity import words
from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING, Exhibit
from p4equity.exhibits.select import OK, analysis_title
from p4equity.exhibits.tabular import Block, Cell, capital, row_ids, spec, with_labels
from p4equity.exhibits.threat_facts import FACTS

if TYPE_CHECKING:
    from p4equity.results import Results
    from p4equity.study import Analysis

ID, KIND = "T6", "table"
COLUMNS = ("Test or remedy in the plan", "Analysis or gate", "What it found")
NOT_EVALUATED = "not evaluated"
LISTED = 5  # more answers than this are given as a range
ASIDE = ("left_out", "turning")  # ends of outcomes that are no answer of the analysis, but what lies beside it
VERDICTS = {"PASS": "passed", "FAIL": "FAILED", "NOT EVALUATED": NOT_EVALUATED}
WHOSE = {"gap_per_dose": "comparison {units} ", "effect_per_dose": "difference of the effect "}  # beside an effect held fixed
Row = Mapping[str, Any]
Finding = tuple[str, str, list[str]]  # name of the test, what it found, the rows behind that


def build(results: Results) -> Exhibit | None:
    """One row a threat of the study, with the result of each analysis or gate that is its evidence."""
    threats = results.study.threats
    if threats.empty:
        results.skip(ID, "the study lists no threats")
        return None
    blocks, data = [], []
    for threat in threats.to_dict("records"):
        named = "" if text.is_missing(threat["evidence"]) else str(threat["evidence"])
        items = [i.strip() for i in named.split(";") if i.strip()]
        found = [_finding(results, item) for item in items] or [(MISSING, NOT_EVALUATED, [])]
        rows = [(name, Cell(capital(said), " ".join(ids))) for name, said, ids in found]
        remedies = (str(threat["remedy"]), *[""] * (len(found) - 1))
        heading = f"{threat['description']}. Direction of bias: {_lower(str(threat['direction']))}"
        blocks.append(Block(heading, tuple((remedy, *row) for remedy, row in zip(remedies, rows, strict=True))))
        for item, (name, said, ids) in zip(items or [""], found, strict=True):
            data.append([threat["threat_id"], threat["description"], threat["direction"], item, name, said, " ".join(ids)])
    table = spec(COLUMNS, blocks, stub=0, align="lll")
    frame = pd.DataFrame(data, columns=["threat_id", "description", "direction", "evidence", "name", "finding", "row_ids"])
    estimates = set(results.estimates["row_id"])
    shown = tuple(i for i in row_ids(table) if i in estimates)
    title = "Threats to validity, with what the planned tests found"
    return Exhibit(ID, "table", title, _alt(results, frame), _note(results, shown), shown, frame, table=table)


def _lower(words_: str) -> str:
    return {"Either": "either way"}.get(words_, words_[:1].lower() + words_[1:])


def _finding(results: Results, item: str) -> Finding:
    """What a gate, an analysis or a check of the run found."""
    if results.study.gate(item) is not None:
        return _gate(results, item)
    if item in FACTS:
        name, said = FACTS[item]
        return name, *said(results)
    analysis = next((a for a in results.study.analyses if a.id == item), None)
    if analysis is None:
        return capital(item.replace("_", " ")), NOT_EVALUATED, []
    found = results.estimates[results.estimates["analysis_id"] == item]
    if analysis.bounds_trends:
        return _bounds(results, analysis, found)
    if analysis.estimator == "event_study":
        return _pretrends(results, analysis, found)
    if analysis.covariate is not None:
        return _held_fixed(results, analysis, found)
    return _answers(results, analysis, found)


def _gate(results: Results, gate_id: str) -> Finding:
    """Verdict, worst finding and limit of a gate; by measure where they differ."""
    rows = results.table("diagnostics")
    rows = rows[rows["gate_id"] == gate_id] if len(rows) else rows
    name = f"Gate: {gate_id.replace('_', ' ')}"
    if rows.empty:
        return name, NOT_EVALUATED, []
    known = rows[rows["finding"].notna()]
    parts = []
    for status, part in rows.groupby("status", sort=False):
        verdict = VERDICTS.get(str(status), str(status))
        if rows["status"].nunique() > 1:  # where some measures have a verdict, the others say why they have none
            why = [with_labels(results, str(r)) for r in dict.fromkeys(part["reason"]) if not text.is_missing(r)]
            verdict = f"no finding, {'; '.join(why)}" if verdict == NOT_EVALUATED and why else verdict
            verdict += f" ({_measures(results, part)})"
        parts.append(verdict)
    said = ", ".join(parts)
    if len(known):
        least = known["direction"].iloc[0] == "at_least"
        worst = known.loc[known["finding"].idxmin() if least else known["finding"].idxmax()]
        places = 2 if str(worst["finding_unit"]) in ("share", "standardized difference") else 1
        head = "found" if len(known) == 1 else "worst"
        limit = f"{'at least' if least else 'at most'} {text.number(worst['limit'], places)}"
        said += f"; {head} {text.number(worst['finding'], places)} ({limit}; {worst['finding_unit']})"
    logged = [str(d) for d in rows["deviation_id"].dropna().unique()] if "deviation_id" in rows else []
    stand = f"; rows stand by deviation {text.listing(logged)}" if logged else ""
    return name, said + stand, [str(i) for i in rows["row_id"]]


def _measures(results: Results, rows: pd.DataFrame) -> str:
    return text.listing([text.measure_name(results, str(m)) for m in dict.fromkeys(rows["measure_id"])])


def _pretrends(results: Results, analysis: Analysis, found: pd.DataFrame) -> Finding:
    """p of the joint tests of the years before the contract."""
    rows = found[found["outcome"] == f"pretrend_{analysis.outcome}"]
    ok = rows[rows["status"] == OK]
    name = _name(results, analysis)
    if ok.empty:
        return name, _why_not(results, rows), [str(i) for i in rows["row_id"]]
    low, high = (text.p(ok["p_value"].agg(end)) for end in ("min", "max"))
    what = f"p {low}" if len(ok) == 1 else f"p {low} to {high} in {len(ok)} series"
    alpha = results.study.inference.alpha
    below = f", {int((ok['p_value'] < alpha).sum()) or 'none'} below {alpha:g}" if len(ok) > 1 else ""
    return name, f"test of the years before, {what}{below}{_silent(rows)}", [str(i) for i in ok["row_id"]]


def _bounds(results: Results, analysis: Analysis, found: pd.DataFrame) -> Finding:
    """How far trends may part before the average after the start is compatible with no effect: the breakdown values."""
    rows = found[found["outcome"].str.startswith(f"{analysis.outcome}_") & found["outcome"].str.endswith("breakdown")]
    ok = rows[rows["status"] == OK]
    name = _name(results, analysis)
    if ok.empty:
        return name, _why_not(results, rows), [str(i) for i in rows["row_id"]]
    ids, clear = [str(i) for i in ok["row_id"]], ok[ok["estimate"] > 0]
    if clear.empty:
        return name, f"zero is excluded in none of {len(ok)} series, even if trends hardly part{_silent(rows)}", ids
    low, high = (words.number(float(clear["estimate"].agg(end)), 1) for end in ("min", "max"))
    span = low if low == high else f"{low} to {high}"
    what = f"zero is excluded while trends part by at most {span} times the largest change between years before the start"
    which = f", in {len(clear)} of {len(ok)} series" if len(ok) > 1 else ""
    return name, f"{what}{which}{_silent(rows)}", ids


def _held_fixed(results: Results, analysis: Analysis, found: pd.DataFrame) -> Finding:
    """The pooled effect with a fact about systems held fixed, and the change of comparison systems' gaps along it."""
    name = _name(results, analysis)
    rows = found[found["inference"] == analysis.inference[0]]
    if (rows["measure_id"] == "pooled").any():
        rows = rows[rows["measure_id"] == "pooled"]
    ok = rows[rows["status"] == OK]
    if ok.empty:
        return name, _why_not(results, rows), [str(i) for i in rows["row_id"]]
    said = [
        f"{WHOSE.get(str(row['outcome']), 'effect ').format(units=results.study.info.unit_label_plural)}"
        f"{text.estimate(row)}{_unit(ok[ok['row_id'] == row['row_id']])}" for row in ok.to_dict("records")
    ]  # fmt: skip
    return name, f"{'; '.join(said)}{_silent(rows)}", [str(i) for i in ok["row_id"]]


def _answers(results: Results, analysis: Analysis, found: pd.DataFrame) -> Finding:
    """The analysis's own rows under its first inference: each estimate, or their range where there are many."""
    name = _name(results, analysis)
    own = found[(found["outcome"] == analysis.outcome) & (found["status"] == OK)]
    outcomes = [analysis.outcome] if len(own) else [o for o in dict.fromkeys(found["outcome"]) if not o.endswith(ASIDE)]
    rows = found[found["outcome"].isin(outcomes) & (found["inference"] == analysis.inference[0])]
    rows = rows[rows["event_time"].isna()]
    pooled = rows["measure_id"] == "pooled"
    if (rows[pooled]["status"] == OK).any():  # its measures stand in the tables of their sections
        rows = rows[pooled]
    ok = rows[rows["status"] == OK]
    if ok.empty:
        return name, _why_not(results, rows), [str(i) for i in rows["row_id"]]
    ids = [str(i) for i in ok["row_id"]]
    if len(ok) > LISTED:
        return name, f"{_ranges(ok)}{_silent(rows)}", ids
    if len(rows) == 1:
        return _methods(results, analysis, found[found["measure_id"] == rows["measure_id"].iloc[0]])
    differ = [c for c in ("measure_id", "group", "outcome") if ok[c].nunique() > 1]
    differ += ["sample"] if ok.duplicated(["measure_id", "group", "outcome"]).any() else []
    each = [f"{_subject(results, r, differ)}{text.estimate(r)}" for r in ok.to_dict("records")]
    return name, f"{'; '.join(each)}{_unit(ok)}{_silent(rows)}", ids


def _ranges(ok: pd.DataFrame) -> str:
    """The range of each outcome: parts of a rate and parts of a gap have none in common."""
    if ok["outcome"].nunique() == 1:
        return _range(ok)
    parts = ok.groupby("outcome", sort=False)
    return "; ".join(f"{str(outcome).replace('_', ' ')}: {_range(own)}" for outcome, own in parts)


def _methods(results: Results, analysis: Analysis, found: pd.DataFrame) -> Finding:
    """One answer under each registered inference."""
    said, ids = [], []
    for method in analysis.inference:
        rows = found[(found["inference"] == method) & (found["outcome"] == analysis.outcome) & found["event_time"].isna()]
        for row in rows.to_dict("records"):
            unit = _unit(rows) if row["status"] == OK else ""
            said.append(f"{text.estimate(row)}{unit} by {text.method(method)}")
            ids.append(str(row["row_id"]))
    of = f"{text.measure_name(results, 'pooled')} " if analysis.also_pooled and (found["measure_id"] == "pooled").all() else ""
    return analysis_title(analysis, results.study), f"{of}{'; '.join(said)}", ids


def _subject(results: Results, row: Row, differ: Sequence[str]) -> str:
    """Which row it is, as far as the others differ."""
    said = {
        "measure_id": text.measure_name(results, str(row["measure_id"])),
        "group": text.group_name(results, str(row["group"])),
        "outcome": str(row["outcome"]).replace("_", " "),
        "sample": with_labels(results, str(row["sample"])),
    }
    return "".join(f"{said[c]}, " for c in differ)[:-2] + " " if differ else ""


def _range(ok: pd.DataFrame) -> str:
    row = ok.iloc[0].to_dict()
    low, high = (words.number(float(ok["estimate"].agg(end)), text.decimals(row)) for end in ("min", "max"))
    clear = int(((ok["conf_low"] > 0) | (ok["conf_high"] < 0)).sum())
    return f"{len(ok)} estimates from {low} to {high}{_unit(ok)}, {clear or 'none'} with an interval without zero"


def _unit(ok: pd.DataFrame) -> str:
    units = [str(u) for u in dict.fromkeys(ok["outcome_unit"]) if not text.is_missing(u)]
    return f" {'points' if units == ['percentage points'] else text.listing(units)}" if units else ""


def _silent(rows: pd.DataFrame) -> str:
    bad = rows[rows["status"] != OK]["status"].map(lambda s: text.STATUS.get(str(s), str(s))).value_counts()
    return "".join(f"; {n} {status}" for status, n in bad.items())


def _why_not(results: Results, rows: pd.DataFrame) -> str:
    """Status and reason of an analysis without any number."""
    if rows.empty:
        return NOT_EVALUATED
    reasons = [with_labels(results, str(r)) for r in dict.fromkeys(rows["reason"]) if not text.is_missing(r)]
    status = text.listing([text.STATUS.get(str(s), str(s)) for s in dict.fromkeys(rows["status"])])
    return status + (f" ({'; '.join(reasons)})" if reasons else "")


def _name(results: Results, analysis: Analysis) -> str:
    title = analysis_title(analysis, results.study)
    return f"{title}, {text.method(analysis.inference[0])}"


def _alt(results: Results, frame: pd.DataFrame) -> str:
    """How many threats have a test, and which gates failed."""
    by_threat = frame.groupby("threat_id", sort=False)["finding"].agg(list)
    open_ = [i for i, found in by_threat.items() if all(NOT_EVALUATED in f for f in found)]
    tested = f"{len(by_threat) - len(open_)} of {len(by_threat)} threats have a test with a result"
    said = f"{tested}; {len(open_) or 'none'} could not be evaluated"
    gates = results.table("diagnostics")
    failed = [] if gates.empty else list(dict.fromkeys(gates.loc[gates["status"] == "FAIL", "gate_id"]))
    which = [f"the gate on {str(g).replace('_', ' ')}" for g in failed]
    return f"{said}. {capital(text.listing(which)) + ' failed' if failed else 'No gate failed'}."


def _note(results: Results, ids: Sequence[str]) -> str:
    rows = results.estimates[results.estimates["row_id"].isin(ids)]
    gaps = bool(results.study.groups.compared)
    sign = "Effects on gaps: negative, the gap narrows. " if gaps else ""
    return (
        "Findings are filled in from the results of this run: estimates with intervals under the first planned inference, "
        "tests of the years before, "
        f"verdicts of the gates, which look at no effect. {capital(NOT_EVALUATED)}: no test is in the plan. {sign}"
        f"{text.base_note(rows, results)}{text.synthetic_note(results)}"
    )
