"""Evidence against a threat beside analyses and gates: facts that a run checks about itself, and years set apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.select import OK, event_studies, rows_of

if TYPE_CHECKING:
    from p4equity.results import Results
    from p4equity.study import Analysis

Finding = tuple[str, list[str]]  # what was found, the rows behind it


def _plan(results: Results) -> Finding:
    """Whether every row was made under the plan as it stands."""
    hashes = results.estimates["plan_hash"]
    other = int((hashes != results.study.plan_hash).sum())
    registered = results.study.info.registered_at
    if other:
        return f"FAILED: {other:,} of {len(hashes):,} rows come from another plan", []
    return f"passed: all {len(hashes):,} rows bear the hash of the plan as it stands; {registered}", []


def _code(results: Results) -> Finding:
    """Whether every row comes from one version of the code and one set of cells."""
    frame = results.estimates
    versions, cells = frame["code_version"].nunique(dropna=False), frame["data_hash"].nunique(dropna=False)
    if versions > 1 or cells > 1:
        return f"FAILED: rows of {versions} versions of the code and {cells} sets of cells", []
    return "passed: all rows come from one version of the open code and one set of cells, both named in the estimates", []


def _deviations(results: Results) -> Finding:
    """How many departures are logged, and how many after outcomes were seen."""
    table = results.study.deviations
    if not len(table):
        return "no departure from the plan is logged", []
    late = int(table["after_outcomes"].astype(str).str.lower().eq("true").sum())
    return f"{text.plural(len(table), 'departure')} logged, {late or 'none'} after outcomes were seen", []


def _apart(results: Results) -> Finding:
    """What event studies say of the years set apart, which no baseline and no joint test of the years before holds."""
    found = [own for a in event_studies(results.study) if len(own := _of_years_apart(results, a))]
    rows = pd.concat(found) if found else pd.DataFrame(columns=["status"])
    ok, years = rows[rows["status"] == OK], text.listing([str(y) for y in results.study.baseline.apart])
    if ok.empty:
        return f"{'not estimable' if len(rows) else 'not evaluated'} ({years})", [str(i) for i in rows.get("row_id", ())]
    clear = int(((ok["conf_low"] > 0) | (ok["conf_high"] < 0)).sum())
    low, high = (text.number(ok["estimate"].agg(end)) for end in ("min", "max"))
    said = f"{years} against {results.study.baseline.reference_year}: {low} to {high} points in {len(ok)} series, "
    said += f"{clear or 'none'} with an interval of its own that excludes zero"
    silent = len(rows) - len(ok)
    return said + (f"; {silent} without a number" if silent else ""), [str(i) for i in ok["row_id"]]


def _of_years_apart(results: Results, analysis: Analysis) -> pd.DataFrame:
    start = min(analysis.cohorts or results.study.cohorts)
    times = tuple(float(year - start) for year in results.study.baseline.apart)
    return rows_of(results, analysis, outcome=analysis.outcome, event_time=times, interval="pointwise")


FACTS: dict[str, tuple[str, Callable[[Results], Finding]]] = {
    "plan_of_results": ("Fact: results and plan belong together", _plan),
    "one_code_version": ("Fact: one version of code and cells", _code),
    "deviation_log": ("Fact: departures from the plan", _deviations),
    "years_apart": ("Event study, years set apart", _apart),
}
