"""What each system could be paid on, before any outcome, and which measures it should carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.section import phrases

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section


def table(s: Section) -> pd.DataFrame | None:
    """Rows with numbers of the precision table; None when the plan has no [precision] or nothing could be computed."""
    if not s.study.precision or not (s.run_dir / "results" / "precision.csv").is_file():
        return None
    rows = s.results("precision")
    rows = rows[rows["status"] == "ok"]
    return None if rows.empty else rows


def summary(s: Section) -> str:
    """How many contracted gaps could reliably be paid on, and which measures the selection rule would have given."""
    rows, plan = table(s), s.study.precision
    if rows is None or plan is None:
        return ""
    noun, units = s.study.info.treatment_label, s.study.info.unit_label_plural
    single = rows[(rows["group"] != phrases.POOLED) & _yes(rows["contracted"]) & _yes(rows["has_gap"])]
    means = rows[rows["group"] == phrases.POOLED]
    own = means[_yes(means["contracted"])]
    if own.empty:
        return ""
    payable, found = int(_yes(single["payable"]).sum()), int(_yes(single["detectable"]).sum())
    head = (
        f"{phrases.capital(phrases.count(payable))} of {phrases.count(len(single))} gaps under {noun} could reliably be paid on"
    )
    share = phrases.plain(100 * plan.detectable_share, 0)
    text = (
        f"**{head}** ([@fig:F10]). From members, overlap and baseline years alone, a {s.study.info.unit_label}’s own change would"
        f" show the closing of {share}% of its baseline gap in {phrases.count(found)} of them, and its reliability runs from"
        f" {phrases.plain(single['reliability_change'].min(), 2)} to {phrases.plain(single['reliability_change'].max(), 2)}"
        f" where {phrases.plain(plan.reliability, 1)} is asked; that of the gap itself is higher"
        f" ({phrases.plain(single['reliability_level'].median(), 2)} against"
        f" {phrases.plain(single['reliability_change'].median(), 2)} at the median)."
        f" Averaged over groups, {phrases.count(int(_yes(own['payable']).sum()))} of {phrases.count(len(own))} could be paid on."
    )
    kept, more = int(_yes(own["would_carry"]).sum()), means[_yes(means["would_carry"]) & ~_yes(means["contracted"])]
    text += (
        f" The stated rule, measures on which an improvement can be detected, would have given {phrases.count(kept)} of the"
        f" {phrases.count(len(own))} measures under {noun}"
    )
    if more.empty:
        return f"{text}, and no other."
    named = phrases.measures(s, list(dict.fromkeys(more["measure_id"])))
    return f"{text}, and {phrases.count(len(more))} that {units} do not have ({named})."


def _yes(values: pd.Series) -> pd.Series:
    """A column of booleans as read from CSV; missing is no."""
    return values.astype("string").fillna("").str.lower() == "true"
