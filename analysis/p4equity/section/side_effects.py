"""Side effects in words: paid against unpaid measures, readings or control, and whom systems came to care for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.evaluation.announcements import announced
from p4equity.section import phrases
from p4equity.section.answers import Row, figures, p_value, without_number
from p4equity.section.heads import familywise

if TYPE_CHECKING:
    from p4equity.section.section import Section


def side_effects(s: Section) -> str:
    """A paragraph of up to four findings."""
    return " ".join(part for part in (_paid(s), _held(s), _documentation(s), _shares(s)) if part)


def _first(s: Section, estimator: str) -> list[Row]:
    """Rows of the first inference of the first analysis with this estimator."""
    for analysis in s.study.analyses:
        if analysis.estimator == estimator:
            rows = s.run.rows({"analysis_id": analysis.id, "inference": analysis.inference[0]}).to_dict("records")
            return [{str(k): v for k, v in row.items()} for row in rows]
    return []


def _paid(s: Section) -> str:
    """By how much gaps moved more where a contract pays: a number, announced by no rule."""
    for row in _first(s, "paid_contrast"):
        head = "**Paid against unpaid measures.** Inside the same systems, "
        if row["status"] != "ok":
            return f"{head}the difference has no answer: {without_number(s, row)}."
        said = f"gaps in paid measures changed by {figures(s, row)} beyond gaps in unpaid ones"
        tested = f", {p_value(s, row)}" if row["p_value"] is not None and row["p_value"] == row["p_value"] else ""
        return f"{head}{said}{tested}. This is secondary and unadjusted, not a claim."
    return ""


def _held(s: Section) -> str:
    """The same among contracted measures: those that a contract names against those that it leaves out."""
    for analysis in s.study.analyses:
        if analysis.estimator == "paid_contrast" and set(s.study.measure_ids(analysis.unpaid)) & set(
            s.study.measure_sets.contracted
        ):
            row = s.row(analysis_id=analysis.id, inference=analysis.inference[0])
            said = figures(s, row) if row["status"] == "ok" else without_number(s, row)
            return (
                f"Among contracted measures alone, those that a {s.study.info.unit_label}'s {s.study.info.treatment_label} names"
                f" against those it leaves out: {said}, secondary and unadjusted."
            )
    return ""


def _documentation(s: Section) -> str:
    """What of the change in gaps comes from readings, and the effect on measures that need none."""
    parts = []
    rows = {(r["measure_id"], r["outcome"]): r for r in _first(s, "documentation") if r["status"] == "ok"}
    for measure in dict.fromkeys(m for m, _ in rows):
        pair = [rows.get((measure, f"gap_from_{part}")) for part in ("readings", "control")]
        if pair[0] and pair[1]:
            first, second = (figures(s, row, level=False) for row in pair if row)
            parts.append(f"{phrases.measure(s, measure)}: {first} from readings, {second} from control")
    if not parts:
        return ""
    return f"**Readings or control.** The effect on gaps is the sum of two parts. {'; '.join(parts)}.{_without_readings(s)}"


def _without_readings(s: Section) -> str:
    """The pooled effect on contracted measures that claims alone decide: no reading can change it."""
    contracted = s.study.measure_ids("contracted")
    bare = {m for m in contracted if not s.study.measure(m).has_reading}
    for analysis in s.study.analyses:
        asked = set(s.study.measure_ids(analysis.measures))
        if analysis.pooled and analysis.outcome == "gap" and asked == bare and len(bare) < len(contracted):
            row = s.row(analysis_id=analysis.id, inference=analysis.inference[0], outcome="gap")
            said = figures(s, row) if row["status"] == "ok" else without_number(s, row)
            names = phrases.measures(s, [m for m in contracted if m in bare])
            return f" On {names}, which need no reading, the pooled effect is {said}{_sides(s, analysis.id)}."
    return ""


def _sides(s: Section, analysis_id: str) -> str:
    """The effects on both sides of a pooled gap, where they have a number."""
    rows = {o: s.run.rows({"analysis_id": analysis_id, "outcome": o, "status": "ok"}) for o in ("reference_rate", "group_rate")}
    if any(len(found) != 1 for found in rows.values()):
        return ""
    said = [figures(s, found.to_dict("records")[0], level=False, with_unit=False) for found in rows.values()]
    return f" (rate of {phrases.reference(s)} members {said[0]}, of the groups compared {said[1]})"


def _shares(s: Section) -> str:
    """Which groups' shares of attributed members changed, by Holm's rule over all groups."""
    rows = [r for r in _first(s, "attributed_share") if r["status"] == "ok"]
    if not rows:
        return ""
    moved = announced(rows, s.study.inference.alpha)
    head, by = f"**Whom {s.study.info.unit_label_plural} care for.**", familywise(s, rows)
    if not moved:
        largest = max(rows, key=lambda r: max(abs(r["conf_low"]), abs(r["conf_high"])))
        return (
            f"{head} Whether any group's share of attributed members changed, the data cannot tell ({by}); the widest interval"
            f" is that of {phrases.group(s, largest['group'])} members, {figures(s, largest)}."
        )
    said = [f"{phrases.group(s, r['group'])} members {figures(s, r)}" for r in moved]
    return f"{head} Shares of attributed members changed ({by}): {'; '.join(said)}."
