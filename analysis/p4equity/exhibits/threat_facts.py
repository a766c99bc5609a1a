"""Facts that a run checks about itself, as evidence against a threat: one plan, one code, departures that are logged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from p4equity.exhibits import text

if TYPE_CHECKING:
    from p4equity.results import Results


def _plan(results: Results) -> str:
    """Whether every row was made under the plan as it stands."""
    hashes = results.estimates["plan_hash"]
    other = int((hashes != results.study.plan_hash).sum())
    registered = results.study.info.registered_at
    if other:
        return f"FAILED: {other:,} of {len(hashes):,} rows come from another plan"
    return f"passed: all {len(hashes):,} rows bear the hash of the plan as it stands; {registered}"


def _code(results: Results) -> str:
    """Whether every row comes from one version of the code and one set of cells."""
    frame = results.estimates
    versions, cells = frame["code_version"].nunique(dropna=False), frame["data_hash"].nunique(dropna=False)
    if versions > 1 or cells > 1:
        return f"FAILED: rows of {versions} versions of the code and {cells} sets of cells"
    return "passed: all rows come from one version of the open code and one set of cells, both named in the estimates"


def _deviations(results: Results) -> str:
    """How many departures are logged, and how many after outcomes were seen."""
    table = results.study.deviations
    if not len(table):
        return "no departure from the plan is logged"
    late = int(table["after_outcomes"].astype(str).str.lower().eq("true").sum())
    return f"{text.plural(len(table), 'departure')} logged, {late or 'none'} after outcomes were seen"


FACTS: dict[str, tuple[str, Callable[[Results], str]]] = {
    "plan_of_results": ("Fact: results and plan belong together", _plan),
    "one_code_version": ("Fact: one version of code and cells", _code),
    "deviation_log": ("Fact: departures from the plan", _deviations),
}
