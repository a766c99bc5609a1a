"""The broken series behind a measure of constant definition: where its gap lies from the break on, and the jump in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import marks, text
from p4equity.exhibits.select import OK, rows_of

if TYPE_CHECKING:
    from p4equity.results import Results

LABEL = "as specified"


def broken_of(results: Results, measure: str) -> str | None:
    """The broken series counted from the same events as a measure of constant definition; None without one."""
    study = results.study
    own = study.measures.get(measure)
    if own is None or not own.constant_definition:
        return None
    return next((m for m in study.measure_sets.broken_series if study.measure(m).events == own.events), None)


def jumps(results: Results, measure: str) -> pd.DataFrame:
    """The mechanical change of each group's gap in the broken series of a measure."""
    broken = broken_of(results, measure)
    asked = next((a for a in results.study.analyses if a.estimator == "specification_break"), None)
    if broken is None or asked is None:
        return results.estimates.iloc[:0]
    return rows_of(results, asked, measure_id=broken, status=OK)


def from_break(results: Results, measure: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the broken series from the year on in which its ages changed."""
    years = jumps(results, measure)["first_year"]
    if years.empty or rows.empty:
        return rows.iloc[:0]
    return rows[(rows["year"] >= int(years.min())) & (rows["status"] == OK)]


def draw_broken(ax: Any, rows: pd.DataFrame, looks: dict[str, tuple[str, str]]) -> None:
    """Small open marks, not joined: another definition is no continuation of the line."""
    for arm, (color, marker) in looks.items():
        own = rows[rows["arm"] == arm]
        if len(own):
            ax.plot(own["year"], own["rate"], color=color, marker=marker, ms=3.0, mfc="white", mew=0.8, ls="none", zorder=2)


def broken_key() -> Any:
    """Its entry in the legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=marks.BREAK, marker="o", ms=3.4, mfc="white", mew=0.8, ls="none", label=LABEL)


def broken_note(results: Results, measures: list[str]) -> str:
    """One sentence a broken series: by how much the change of definition alone moves each group's gap."""
    said = []
    for measure in measures:
        rows = jumps(results, measure)
        if len(rows):
            parts = [f"{text.group_name(results, str(r['group']))} {text.estimate(r)}" for r in rows.to_dict("records")]
            name = text.measure_name(results, str(rows["measure_id"].iloc[0]))
            said.append(
                f" Open marks: {name}, whose change of ages in {int(rows['first_year'].iloc[0])} alone moves the gap by"
                f" {'; '.join(parts)} points; the line keeps its ages."
            )
    return "".join(said)
