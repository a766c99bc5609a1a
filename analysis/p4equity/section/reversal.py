"""Gaps that turned round: where contracted units had no gap to close, and where their reference group is behind now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from p4equity.section import phrases
from p4equity.section.answers import Answer, compared

if TYPE_CHECKING:
    from p4equity.section.section import Section

ARM = "contracted"


@dataclass(frozen=True)
class ArmGap:
    """The raw gap of the units contracted on a measure, mean over years and groups, before and after, percentage points.

    error: of the mean before, with years taken as fully dependent since members recur; never too small.
    """

    before: float
    after: float
    error: float

    def shown(self, critical: float) -> bool:
        """Whether there was a gap to close: its interval lies above zero."""
        return self.before - critical * self.error > 0


def arm_gap(s: Section, measure_id: str, groups: Sequence[str]) -> ArmGap | None:
    """The gap in the years before and in those with all contracts on the measure in force; None where a rate is not shown."""
    matrix, rate = s.study.contract_matrix(), s.results("rate")
    cohorts = matrix.loc[matrix["measure_id"] == measure_id, "cohort"]
    own = rate[(rate["measure_id"] == measure_id) & (rate["arm"] == ARM) & (rate["status"] == "ok")]
    wanted = [str(s.study.groups.reference), *groups]
    if cohorts.empty or not groups or not set(wanted) <= set(own["group"]):
        return None
    table, error = (own.pivot(index="year", columns="group", values=c)[wanted].astype(float) for c in ("rate", "std_error"))
    gap = (table[wanted[0]] - table[wanted[1:]].mean(axis=1, skipna=False)).dropna()
    spread = (error[wanted[0]] ** 2 + (error[wanted[1:]] ** 2).sum(axis=1) / len(groups) ** 2) ** 0.5
    before, after = gap[gap.index.isin(s.study.baseline.pre_years)], gap[gap.index >= int(cohorts.max())]
    if before.empty or after.empty:
        return None
    return ArmGap(float(before.mean()), float(after.mean()), float(spread[before.index].mean()))


def passed_zero(s: Section, a: Answer) -> ArmGap | None:
    """The gap behind an answer of one measure, where it was above zero at contracted units and is below it now."""
    found = _of(s, a)
    return found if found is not None and found.before > 0 > found.after else None


def words(s: Section, a: Answer) -> str:
    """What an effect that narrows a gap did at contracted units: nothing to close there, or past zero; empty elsewhere."""
    found = _of(s, a) if a.ok and a.main["estimate"] < 0 else None
    if found is None:
        return ""
    units, said = f"contracted {s.study.info.unit_label_plural}", ""
    ends = f"{phrases.plain(found.before)} to {phrases.plain(found.after)} points"
    if found.before > 0 > found.after:
        said = f"In {units} the raw gap passed zero, from {ends}: {phrases.reference(s)} members are now behind."
    elif found.after < 0:
        said = f"In {units} {phrases.reference(s)} members were behind already; the raw gap went from {ends}."
    if not found.shown(phrases.critical(s)):
        said += f" No gap to close is shown there before ({phrases.plain(found.before)} points){_both_arms(s, a)}."
    return said.strip()


def _both_arms(s: Section, a: Answer) -> str:
    """The baseline gap over both arms, by which a question enters the pooled numbers."""
    found = s.run.rows({"analysis_id": "baseline_gap", "measure_id": a.measure_id, "group": a.group, "status": "ok"})
    if len(found) != 1:
        return ""
    return f"; over both arms, by which the pooled numbers choose, the gap was {s.number(str(found['row_id'].iloc[0]))} points"


def _of(s: Section, a: Answer) -> ArmGap | None:
    if a.measure_id == phrases.POOLED or not (s.run_dir / "results" / "rate.csv").is_file():
        return None
    return arm_gap(s, a.measure_id, compared(s, a.measure_id) if a.group == phrases.POOLED else [a.group])
