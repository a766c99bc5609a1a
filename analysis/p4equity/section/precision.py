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
    if own.empty or single.empty:
        return ""
    payable = _of(single["payable"])
    every = s.results("precision")
    unseen = int((_yes(every["contracted"]) & (every["group"] != phrases.POOLED) & (every["status"] != "ok")).sum())
    small = f" {phrases.capital(phrases.count(unseen))} more have too few members, or are suppressed." if unseen else ""
    share, asked = phrases.plain(100 * plan.detectable_share, 0), phrases.plain(plan.reliability)
    change, level = (phrases.plain(single[name].median(), 2) for name in ("reliability_change", "reliability_level"))
    text = (
        f"**{phrases.capital(payable)} gaps under {noun} could reliably be paid on** ([@fig:F10]).{small} From members, overlap"
        f" and baseline years alone, a {s.study.info.unit_label}’s own change would show the closing of {share}% of its baseline"
        f" gap in {_of(single['detectable'])}. The median reliability is {change} for the change, where {asked} is"
        f" asked, and {level} for the gap itself. Averaged over groups, {_of(own['payable'])} measures under {noun} could be"
        f" paid on. The stated rule, measures on which an improvement can be detected, would have given {_of(own['would_carry'])}"
    )
    more = means[_yes(means["would_carry"]) & ~_yes(means["contracted"])]
    if more.empty:
        return f"{text}, and no other."
    named = phrases.measures(s, list(dict.fromkeys(more["measure_id"])))
    return f"{text}, and {phrases.count(len(more))} that {units} do not have ({named})."


def _of(flags: pd.Series) -> str:
    """ "none of twelve", "two of twelve", "all twelve"."""
    yes, total = int(_yes(flags).sum()), len(flags)
    if yes == total:
        return f"all {phrases.count(total)}"
    return f"{phrases.count(yes) if yes else 'none'} of {phrases.count(total)}"


def _yes(values: pd.Series) -> pd.Series:
    """A column of booleans as read from CSV; missing is no."""
    return values.astype("string").fillna("").str.lower() == "true"
