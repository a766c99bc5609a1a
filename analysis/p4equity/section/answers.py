"""One question of the plan with all its rows: what is claimed, what the data cannot tell, and by whose movement.

The rules are few and fixed. A claim needs the row with inference "claim" at or below alpha (where the plan has no such row: every
primary inference of a primary question). "Narrows" is said only of a claim that is negative, where the baseline gap lies above
zero. Everything else is "cannot tell", with the interval and the smallest detectable change beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from p4equity.section import phrases

if TYPE_CHECKING:
    from p4equity.section.section import Section

Row = dict[str, Any]
_FAILED = re.compile(r"gate (\w+) failed")
EVERYONE = "the groups compared"
SIDES = {"gap": "gap", "reference_rate": "reference", "group_rate": "group"}


@dataclass(frozen=True)
class Answer:
    """The rows of one analysis, measure and group. `main` is the first primary inference's row of the outcome itself."""

    analysis_id: str
    measure_id: str
    group: str
    main: Row
    others: tuple[Row, ...]
    reference: Row | None
    rate: Row | None
    claim: Row | None
    alpha: float
    baseline_gap: bool
    checks: tuple[Row, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is a number."""
        return bool(self.main["status"] == "ok")

    @property
    def adjusted_p(self) -> float | None:
        """The p value a claim is judged by; None when it does not exist."""
        if self.claim is not None:
            return self.claim["p_value"] if self.claim["status"] == "ok" else None
        rows = [self.main, *self.others]
        if self.main["registered"] != "primary" or any(r["status"] != "ok" or r["p_value"] is None for r in rows):
            return None
        return float(max(r["p_value"] for r in rows))

    @property
    def claimable(self) -> bool:
        """Whether the rule for a claim has a p value to be held against."""
        return self.ok and self.adjusted_p is not None

    @property
    def claimed(self) -> bool:
        """Whether the rule for a claim is met."""
        p = self.adjusted_p
        return self.ok and p is not None and p <= self.alpha

    @property
    def narrows(self) -> bool:
        """A claimed fall of a gap that was above zero at baseline."""
        return self.claimed and self.main["estimate"] < 0 and self.main["outcome"] == "gap" and self.baseline_gap


def answer(s: Section, analysis_id: str, measure_id: str, group: str) -> Answer | None:
    """The answer to one question; None when the plan has no such row."""
    found = s.run.rows({"analysis_id": analysis_id, "measure_id": measure_id, "group": group, "event_time": None})
    if "interval" in found.columns:
        found = found[(found["interval"] != "simultaneous").fillna(True)]
    rows = [s.run.row({"row_id": str(r)}) for r in found["row_id"]]
    outcome = s.study.analysis(analysis_id).outcome
    own = [r for r in rows if r["outcome"] == outcome and r["inference"] != "claim"]
    if not own:
        return None
    primary = [m for m in s.study.inference.primary if any(r["inference"] == m for r in own)]
    main = next((r for r in own if primary and r["inference"] == primary[0]), own[0])
    sides = {r["outcome"]: r for r in rows if r["inference"] == main["inference"] and r["outcome"] in SIDES}
    return Answer(
        analysis_id, measure_id, group, main,
        tuple(r for r in own if r["inference"] in primary and r is not main),
        sides.get("reference_rate"), sides.get("group_rate"),
        next((r for r in rows if r["inference"] == "claim"), None),
        float(s.study.inference.alpha), has_baseline_gap(s, measure_id, group),
        tuple(r for r in own if r["inference"] not in primary),
    )  # fmt: skip


def has_baseline_gap(s: Section, measure_id: str, group: str) -> bool:
    """Whether the interval of the baseline gap lies above zero; pooled rows hold only groups for which it does."""
    if group == phrases.POOLED:
        return True
    found = s.run.rows({"analysis_id": "baseline_gap", "measure_id": measure_id, "group": group})
    return bool(len(found) == 1 and found["conf_low"].iloc[0] > 0)


def answers(s: Section, analysis_id: str) -> list[Answer]:
    """All answers of an analysis: one a measure and group, in the order of the plan."""
    found = s.run.rows({"analysis_id": analysis_id})
    order = [phrases.POOLED, *s.study.measure_ids(s.study.analysis(analysis_id).measures)]
    keys = list(dict.fromkeys(zip(found["measure_id"], found["group"], strict=True)))
    keys.sort(key=lambda k: order.index(k[0]) if k[0] in order else len(order))
    return [a for m, g in keys if (a := answer(s, analysis_id, str(m), str(g))) is not None]


def primary_question(s: Section) -> Answer | None:
    """The first primary answer of the plan: the pooled one where there is one."""
    for analysis in s.study.analyses:
        if analysis.registered == "primary":
            found = answers(s, analysis.id)
            if found:
                return found[0]
    return None


def by_measure(s: Section) -> list[Answer]:
    """The primary answers one measure at a time: of the first primary analysis of gaps that is not pooled over measures."""
    for analysis in s.study.analyses:
        if analysis.registered == "primary" and analysis.outcome == "gap" and analysis.pooled is None:
            return answers(s, analysis.id)
    return []


def unit(row: Row) -> str:
    """The unit as prose says it: "points" for percentage points."""
    name = str(row.get("outcome_unit") or "")
    return "points" if name in ("percentage points", "percentage_points") else name


def figures(s: Section, row: Row, *, with_unit: bool = True, level: bool = True) -> str:
    """ "−3.3 points (95% interval −5.1 to −1.5)", traceable; a row without a number says why."""
    if row["status"] != "ok":
        return without_number(s, row)
    places = phrases.decimals(str(row["outcome_unit"]))
    estimate = s.number(row["row_id"], signed=True, decimals=places)
    interval = s.number(row["row_id"], what="interval", decimals=places)
    head = f"{estimate} {unit(row)}" if with_unit and unit(row) else estimate
    if not level:
        return f"{head} ({interval})"
    return f"{head} ({round(100 * (row['conf_level'] or 0.95))}% interval {interval})"


def without_number(s: Section, row: Row) -> str:
    """ "not estimable (reason)", in words that name no neutral id; failed gates by name, their numbers stand in their table."""
    said = {"not_estimable": "not estimable", "suppressed": "suppressed"}.get(str(row["status"]), str(row["status"]))
    reason = phrases.with_labels(s, str(row["reason"] or ""))
    failed = dict.fromkeys(name.replace("_", " ") for name in _FAILED.findall(reason))
    if failed:
        where = phrases.section_ref(s, "diagnostics", ", ")
        reason = f"failed the {'check' if len(failed) == 1 else 'checks'} of {phrases.join(failed)}{where}"
    return f"{said} ({reason})" if reason else said


def p_value(s: Section, row: Row) -> str:
    """ "p = 0.003" or "p <0.001", traceable."""
    said = s.number(row["row_id"], what="p_value")
    return f"p {said}" if row["p_value"] is not None and row["p_value"] < 0.001 else f"p = {said}"


def tests(s: Section, a: Answer) -> str:
    """Other primary inferences, permutation and adjusted p, in a bracket: "permutation −4.5 to −1.7; adjusted p = 0.003"."""
    parts = []
    for row in (*a.others, *(r for r in a.checks if r["inference"] == "permutation")):
        name = phrases.method(row["inference"])
        if row["status"] != "ok":
            parts.append(f"{name}: {without_number(s, row)}")
        else:
            places = phrases.decimals(str(row["outcome_unit"]))
            parts.append(f"{name} interval {s.number(row['row_id'], what='interval', decimals=places)}")
    if a.claim is not None and a.claim["status"] == "ok":
        parts.append(f"adjusted {p_value(s, a.claim)}")
    elif a.claim is None and a.adjusted_p is not None:
        worst = max([a.main, *a.others], key=lambda r: r["p_value"])
        parts.append(f"the largest p value is {s.number(worst['row_id'], what='p_value')}")
    return "; ".join(parts)


def evidence(s: Section, a: Answer) -> str:
    """Estimate, interval, the other inference and the p value of a claim, in that order."""
    if not a.ok:
        return without_number(s, a.main)
    said = tests(s, a)
    return figures(s, a.main) + (f"; {said}" if said else "")


def detectable(s: Section, a: Answer) -> str:
    """ "smallest detectable change 5.0 to 6.1 points" from the power table; empty when it has no such row."""
    if not (s.run_dir / "results" / "power.csv").is_file():
        return ""
    table = s.results("power")
    found = table[(table["measure_id"] == a.measure_id) & (table["group"] == a.group)]
    if len(found) != 1:
        return ""
    row = found.iloc[0]
    low, high = phrases.plain(row["mde_low"]), phrases.plain(row["mde_high"])
    wide = f"{low} to {high}" if low != high else low
    return f"with {phrases.power()} power the smallest detectable change is {wide} points"


def compared(s: Section, measure_id: str) -> list[str]:
    """The groups that a measure's pooled answer holds: those whose baseline gap lies above zero."""
    return [g for g in s.study.groups.compared if has_baseline_gap(s, measure_id, g)]


def members(s: Section, a: Answer) -> str:
    """Whose gap an answer is about: "the groups compared", or their names where it holds only some of them."""
    if a.group != phrases.POOLED:
        return f"{phrases.group(s, a.group)} members"
    known = compared(s, a.measure_id) if a.measure_id != phrases.POOLED else list(s.study.groups.compared)
    if not known or len(known) == len(s.study.groups.compared):
        return EVERYONE
    return f"{phrases.join(phrases.group(s, g) for g in known)} members"


def moved(s: Section, row: Row, *, verb: tuple[str, str] = ("rose", "fell"), shown: bool = True) -> str:
    """ "fell by 1.6 points (0.1 to 3.1)" where the interval excludes zero, else "changed by −0.5 points (−2.0 to 0.9)".

    shown: whether a direction may be named at all; a side of a question without a claim has none.
    """
    if not shown or not excludes_zero(row):
        return f"changed by {figures(s, row, level=False)}" if row["status"] == "ok" else f"is {without_number(s, row)}"
    down = bool(row["estimate"] < 0)
    return f"{verb[down]} by {size(s, row, down=down)}"


def size(s: Section, row: Row, *, down: bool, with_unit: bool = True) -> str:
    """Estimate and interval counted as a fall (`down`) or a rise: "3.5 points (2.0 to 5.0)"."""
    places = phrases.decimals(str(row["outcome_unit"]))
    estimate = s.number(row["row_id"], decimals=places, flipped=down)
    interval = s.number(row["row_id"], what="interval", decimals=places, flipped=down)
    return f"{estimate}{' ' + unit(row) if with_unit and unit(row) else ''} ({interval})"


def movement(s: Section, a: Answer) -> str:
    """Who moved: the effects on the rates of the reference group and of the compared groups, with intervals."""
    if a.reference is None or a.rate is None or not a.ok:
        return ""
    return (
        f"against comparison {s.study.info.unit_label_plural}, the rate of {phrases.reference(s)} members"
        f" {moved(s, a.reference, shown=a.claimed)} and that of {members(s, a)} {moved(s, a.rate, shown=a.claimed)}"
    )


def verdict(s: Section, a: Answer) -> str:
    """The finding in a few words: narrows, widens, falls, rises, the data cannot tell, or no number."""
    if not a.ok:
        return "No answer"
    if not a.claimed:
        return "The data cannot tell"
    if a.main["outcome"] == "gap":
        if not a.baseline_gap:
            return "A change, where no gap was shown at baseline"
        return "The gap narrows" if a.main["estimate"] < 0 else "The gap widens"
    del s
    return "A fall" if a.main["estimate"] < 0 else "A rise"


def sentence(s: Section, a: Answer, subject: str) -> str:
    """Finding first, then the numbers: one paragraph for one question."""
    if not a.ok:
        return f"**{subject}.** {phrases.capital(without_number(s, a.main))}."
    limit = detectable(s, a) if not a.claimed else ""
    parts = [f"**{subject}.** {verdict(s, a)}: {evidence(s, a)}" + (f" ({limit})" if limit else "") + "."]
    if not a.claimed and a.adjusted_p is not None and excludes_zero(a.main):
        parts.append("The interval alone excludes zero, but the rule for claims is not met.")
    who = movement(s, a)
    if who:
        parts.append(phrases.capital(who) + ".")
    return " ".join(parts)


def excludes_zero(row: Row) -> bool:
    """Whether the row's interval lies on one side of zero."""
    low, high = row["conf_low"], row["conf_high"]
    return bool(row["status"] == "ok" and ((low is not None and low > 0) or (high is not None and high < 0)))
