"""Checks made before any effect was looked at: verdicts of the gates, and what the design can detect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.section import phrases

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section


def table(s: Section) -> pd.DataFrame:
    """One row a gate and measure, grouped by question: what was found, the limit, the verdict, and why there is none."""
    import pandas as pd

    rows = []
    for gate in s.results("diagnostics").to_dict("records"):
        places = phrases.decimals(str(gate["finding_unit"]))
        limit = f"{'at least' if gate['direction'] == 'at_least' else 'at most'} {phrases.plain(gate['limit'], places)}"
        reason = gate["reason"] if isinstance(gate["reason"], str) else ""
        reason = phrases.with_labels(s, reason) if gate["status"] != "FAIL" else f"governs {_governs(s, str(gate['governs']))}"
        if isinstance(gate["deviation_id"], str):
            reason += f"; rows stand by deviation {gate['deviation_id']}"
        name = phrases.measure(s, str(gate["measure_id"])) if gate["measure_id"] != "all" else "All"
        reason = "; ".join(part for part in (reason, _counted(s, str(gate["gate_id"]))) if part)
        rows.append([name, phrases.plain(gate["finding"], places), limit, str(gate["status"]).capitalize(), reason])
    return pd.DataFrame(rows, columns=["Measure", "Found", "Limit", "Verdict", "Remark"])


def row_groups(s: Section) -> tuple[tuple[int, str], ...]:
    """(first row, question) of each gate in the table."""
    asked = list(s.results("diagnostics")["question"])
    return tuple((i, str(q)) for i, q in enumerate(asked) if i == 0 or asked[i - 1] != q)


def _governs(s: Section, what: str) -> str:
    own = what.removesuffix(" alone")
    if own != what and own in s.study.measures:
        return f"the rows on {phrases.lower(phrases.measure(s, own))}, not the pooled ones,"
    if what in s.study.measures:
        return f"all rows on {phrases.lower(phrases.measure(s, what))}"
    return {"all": "all rows", "race_sensitivity": "rows on other versions of race and ethnicity data"}.get(what, what)


def summary(s: Section) -> str:
    """How many gates passed, which failed and what they take down, which could not be evaluated."""
    found = s.results("diagnostics")
    states = found["status"].value_counts()
    passed, failed, open_ = (int(states.get(k, 0)) for k in ("PASS", "FAIL", "NOT EVALUATED"))
    text = f"**{phrases.capital(phrases.count(passed))} of {phrases.count(len(found))} checks passed"
    text += f", {phrases.count(failed)} failed" if failed else ", none failed"
    text += f"; {phrases.count(open_)} could not be evaluated.**" if open_ else ".**"
    for gate in found[found["status"] == "FAIL"].to_dict("records"):
        logged = isinstance(gate["deviation_id"], str)
        effect = f"stand by deviation {gate['deviation_id']}" if logged else "are not estimable"
        text += f" {gate['question']}: {gate['reason']}; {_governs(s, str(gate['governs']))} {effect}."
    return text


def power(s: Section) -> str:
    """What the contracted measures can detect, groups together, against the change called meaningful in advance."""
    rows = s.results("power")
    rows = rows[rows["group"] == phrases.POOLED]
    if rows.empty:
        return "No measure has both arms, so nothing can be detected."
    best, worst = rows.loc[rows["mde_low"].idxmin()], rows.loc[rows["mde_high"].idxmax()]
    reached = rows[rows["mde_low"] <= rows["meaningful_change"]]
    share = phrases.plain(100 * s.study.inference.meaningful_share, 0)
    name = phrases.measure
    pooled = rows[~rows["measure_id"].isin(list(s.study.measures))]
    head = (
        f"Neither one measure nor all together can be relied on to find the change called meaningful{_together(pooled)}"
        if not len(reached) and len(pooled)
        else "No measure can be relied on to find the change called meaningful"
        if not len(reached)
        else "Some measures can show the change called meaningful"
    )
    text = (
        f"**{head}.** With {phrases.power()} power, the smallest change of the gap that can be found runs from"
        f" {phrases.plain(best['mde_low'])} points ({phrases.lower(name(s, best['measure_id']))}) to"
        f" {phrases.plain(worst['mde_high'])} points ({phrases.lower(name(s, worst['measure_id']))}). The plan calls {share}%"
        " of the baseline gap a meaningful change; "
    )
    text += (
        f"{phrases.measures(s, list(reached['measure_id']))} can find that."
        if len(reached)
        else "none can find that. A missing claim is therefore no evidence of no effect."
    )
    weak = rows[rows["p_attainable"] > s.study.inference.alpha]
    if len(weak):
        ways = "; ".join(
            f"{phrases.lower(name(s, r['measure_id']))}: p no smaller than {phrases.plain(r['p_attainable'], 3)}"
            for r in weak.to_dict("records")
        )
        text += f" By permutation a claim is out of reach whatever the data show for {ways}."
    return text


def _together(rows: pd.DataFrame) -> str:
    """The change called meaningful over all measures, against what can be found there."""
    row = rows.iloc[0]
    if row[["meaningful_change", "mde_low", "mde_high"]].isna().any():
        return ""
    least, most = phrases.plain(row["mde_low"]), phrases.plain(row["mde_high"])
    found = least if least == most else f"{least} to {most}"
    return f" (pooled: {phrases.plain(row['meaningful_change'])} against {found})"


def _counted(s: Section, gate_id: str) -> str:
    """Whose members the check of balance counts, where they are fewer than those of the table of members by arm."""
    first = next((a for a in s.study.analyses if a.registered == "primary"), None)
    every = s.study.arm_systems("participating")
    if gate_id != "balance" or first is None:
        return ""
    cohorts = first.cohorts or s.study.cohorts
    own = [x for x in every if s.study.cohort_of(x.id) in cohorts]
    if len(own) == len(every):
        return ""
    return (
        f"counts members of {phrases.units(s, len(own))} (participating, {phrases.years(cohorts)});"
        f" {phrases.exhibit_ref(s, 'T1', 'cohort') or 'the table of members by arm'} counts all {phrases.count(len(every))}"
    )
