"""Side effects in words: paid against unpaid measures, readings or control, and whom systems came to care for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.section import phrases
from p4equity.section.answers import Row, excludes_zero, figures, without_number

if TYPE_CHECKING:
    from p4equity.section.section import Section


def side_effects(s: Section) -> str:
    """A paragraph of up to three findings."""
    return " ".join(part for part in (_paid(s), _documentation(s), _shares(s)) if part)


def _first(s: Section, estimator: str) -> list[Row]:
    """Rows of the first inference of the first analysis with this estimator."""
    for analysis in s.study.analyses:
        if analysis.estimator == estimator:
            rows = s.run.rows({"analysis_id": analysis.id, "inference": analysis.inference[0]}).to_dict("records")
            return [{str(k): v for k, v in row.items()} for row in rows]
    return []


def _paid(s: Section) -> str:
    """Whether gaps moved more where a contract pays."""
    for row in _first(s, "paid_contrast"):
        head = "**Paid against unpaid measures.** Inside the same systems, "
        if row["status"] != "ok":
            return f"{head}the difference has no answer: {without_number(s, row)}."
        said = f"gaps in paid measures changed by {figures(s, row)} beyond gaps in unpaid ones"
        if not excludes_zero(row):
            return f"{head}{said}: the data cannot tell them apart."
        more = "narrowed more where a contract pays" if row["estimate"] < 0 else "narrowed less where a contract pays"
        return f"{head}{said}: they {more}."
    return ""


def _documentation(s: Section) -> str:
    """What of the change in gaps comes from readings."""
    parts = []
    rows = {(r["measure_id"], r["outcome"]): r for r in _first(s, "documentation") if r["status"] == "ok"}
    for measure in dict.fromkeys(m for m, _ in rows):
        pair = [rows.get((measure, f"gap_from_{part}")) for part in ("readings", "control")]
        if pair[0] and pair[1]:
            first, second = (figures(s, row, level=False) for row in pair if row)
            parts.append(f"{phrases.measure(s, measure)}: {first} from readings, {second} from control")
    return f"**Readings or control.** The change in gaps splits into two parts. {'; '.join(parts)}." if parts else ""


def _shares(s: Section) -> str:
    """Whether any group's share of attributed members changed."""
    rows = [r for r in _first(s, "attributed_share") if r["status"] == "ok"]
    if not rows:
        return ""
    moved = [r for r in rows if excludes_zero(r)]
    head = "**Whom systems care for.**"
    if not moved:
        largest = max(rows, key=lambda r: max(abs(r["conf_low"]), abs(r["conf_high"])))
        return (
            f"{head} No group's share of attributed members is shown to have changed; the widest interval is that of"
            f" {phrases.group(s, largest['group'])} members, {figures(s, largest)}."
        )
    said = [f"{phrases.group(s, r['group'])} members {figures(s, r)}" for r in moved]
    return f"{head} Shares of attributed members changed: {'; '.join(said)}."
