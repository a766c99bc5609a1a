"""How far trends may part before an average after the start is compatible with no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.section import phrases

if TYPE_CHECKING:
    from p4equity.section.section import Section


def trends(s: Section) -> str:
    """The breakdown values of the averages after the start; that of an average that never excludes zero is zero."""
    found = s.run.rows({"inference": "relative_magnitudes", "status": "ok"})
    found = found[found["outcome"].astype(str).str.endswith("breakdown")]
    found = found[~found["outcome"].astype(str).str.startswith(("reference", "group"))]
    if found.empty:
        return ""
    n, clear, cited = len(found), found[found["estimate"] > 0], " [@rambachan_roth_2023]"
    series = phrases.plural(n, "series", "series")
    named = phrases.measures(s, list(dict.fromkeys(found["measure_id"].astype(str))))
    if clear.empty:  # released values are rounded: below 0.05 is zero too
        return f"In none of {series} ({named}) does the average after the start exclude zero, even if trends hardly part{cited}."
    ends = [s.number(str(clear.loc[clear["estimate"].agg(f), "row_id"])) for f in ("idxmin", "idxmax")]
    times = f"{ends[0]} to {ends[1]} times" if len(clear) > 1 else f"{ends[0]} times"
    which = f"In {phrases.count(len(clear))} of {series}" if len(clear) < n else f"In {series}"
    rest = " In the others it never does." if len(clear) < n else ""
    return (
        f"{which} the average after the start excludes zero, but only while trends part by no more than {times} the largest"
        f" change between neighbouring years before it{cited}.{rest}"
    )
