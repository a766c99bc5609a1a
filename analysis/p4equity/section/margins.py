"""What the tests against a margin could show: their power where there is no effect, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.evaluation.margins import MARGIN_POWER
from p4equity.section import phrases
from p4equity.section.answers import unit

if TYPE_CHECKING:
    from p4equity.section.section import Section

LOW = 0.8  # the usual power: below it a test that shows nothing was likely to show nothing


def power(s: Section) -> str:
    """The power of each question with a margin where nothing changed: range over measures, and all measures together."""
    parts, weak = [], False
    for analysis in s.study.analyses:
        if analysis.margin is None:
            continue
        rows = s.rows(analysis_id=analysis.id, outcome=f"{analysis.outcome}{MARGIN_POWER}", inference=analysis.inference[0])
        rows = rows[rows["status"] == "ok"]
        single, pooled = rows[rows["measure_id"] != phrases.POOLED], rows[rows["measure_id"] == phrases.POOLED]
        if single.empty:
            continue
        weak |= bool((rows["estimate"] < LOW).any())
        ends = [s.number(str(single.loc[single["estimate"].agg(f), "row_id"]), decimals=2) for f in ("idxmin", "idxmax")]
        said = f"{ends[0]} to {ends[1]} for single measures" if len(single) > 1 else ends[0]
        said += f" and {s.number(str(pooled['row_id'].iloc[0]), decimals=2)} for all together" if len(pooled) else ""
        main = s.rows(analysis_id=analysis.id, outcome=analysis.outcome, inference=analysis.inference[0]).iloc[0].to_dict()
        limit = f"{phrases.plain(abs(analysis.margin), 0 if analysis.outcome == 'spending' else 1)} {unit(main)}"
        what = "spending" if analysis.outcome == "spending" else "overall quality"
        parts.append(f"{what} (margin {limit}): {said}")
    if not parts:
        return ""
    tail = " Where it is low, “the data cannot tell” is the likely answer, whatever is true." if weak else ""
    return (
        "**What these tests could show.** Chance that the first inference would exclude the margin if nothing had changed at"
        f" all, with the errors found here: {'; '.join(parts)}.{tail}"
    )
