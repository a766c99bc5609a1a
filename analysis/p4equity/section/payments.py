"""Payments under the illustrative formula: who would earn what, and how much of it by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from p4equity.exhibits.t8_payments import own_years
from p4equity.section import phrases

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.section.section import Section


LARGE = 0.25  # a change of the score that a system would feel: a quarter of the maximum


def payments(s: Section, system_id: str | None = None) -> pd.DataFrame | None:
    """Rows of the payment table, for all systems or one; None when the study has no payments."""
    if not s.study.payment or not (s.run_dir / "results" / "payment_result.csv").is_file():
        return None
    table = s.results("payment_result")
    if system_id is not None:
        table = table[table["system_id"] == system_id]
    return table


def formulas(s: Section) -> pd.DataFrame:
    """The registered formulas over all contracted systems, the plan's own first; empty where none could be computed."""
    import pandas as pd

    if not s.study.payment or not (s.run_dir / "results" / "payment_formula.csv").is_file():
        return pd.DataFrame()
    table = s.results("payment_formula")
    return table[(table["system_id"] == "all") & (table["status"] == "ok")]


def totals(s: Section, *, brief: bool = False) -> str:
    """One finding: earned in all, of what maximum, and what would be earned without a contract: by sampling error, by others."""
    table = payments(s)
    if table is None:
        return ""
    rows = table[table["status"] == "ok"]
    earned, top, chance = (float(rows[c].sum()) for c in ("earned", "max_possible", "earned_by_chance"))
    if not top:
        return ("" if brief else "**Payments: no answer.** ") + "No cell has an amount under the payment formula."
    found = formulas(s)
    share = float(found["by_comparison"].iloc[0]) if len(found) else float("nan")
    units, label = s.study.info.unit_label_plural, s.study.info.treatment_label
    without_any = "" if brief else f", which have no {label},"
    others = f", and changes like those of comparison {units}{without_any} {phrases.money(share * top)}"
    without = (
        f"{'S' if brief else 'Had no gap changed, s'}ampling error alone would earn {phrases.money(chance)}"
        f"{'' if brief else ' on average'}{others if share == share else ''}."
    )
    if brief:
        each = _per_month(s)
        return (
            f"Payments come on top: an illustrative formula would pay {phrases.against(earned, top, 'of at most')}"
            f"{f' ({each})' if each else ''}. {without}"
        )
    if not earned:
        head = "Nothing would be paid"
    else:
        head = f"Payments would be {'largely' if chance > earned / 2 else 'partly'} a matter of chance"
    return f"**{head}.** Under an illustrative formula payments come to {phrases.against(earned, top, 'of at most')}. {without}"


def per_month(s: Section, narrowing: float | None) -> str:
    """What payments come to for each member-month, and for each of so many points narrowed; empty where it is not known."""
    amount = _per_month(s, narrowing)
    return f"Payments are no part of it; under an illustrative formula they come to {amount}." if amount else ""


def _per_month(s: Section, narrowing: float | None = None) -> str:
    found = formulas(s)
    paid = float(found["earned_per_month"].iloc[0]) if len(found) else float("nan")
    if paid != paid:
        return ""
    each = f", or {phrases.plain(paid / narrowing, 2)} for each point of the estimate" if narrowing else ""
    return f"{phrases.plain(paid, 2)} USD a member-month{each}"


def interval(s: Section, rows: pd.DataFrame) -> tuple[pd.Series[float], pd.Series[float]]:
    """Bounds of each narrowing by its sampling error."""
    error = phrases.critical(s) * rows["se_narrowing"].astype(float)
    return rows["narrowing"].astype(float) - error, rows["narrowing"].astype(float) + error


def formula(s: Section) -> str:
    """The formula in words, every figure from the plan."""
    plan = s.study.payment
    say = phrases.plain
    return (
        f"**The formula.** A {s.study.info.unit_label} is paid for each contracted measure and group by how far the gap to"
        f" {phrases.reference(s)} members narrows from {phrases.years(plan.baseline_years)} to"
        f" the years under the {s.study.info.treatment_label}, {phrases.years(plan.performance_years)}{_fewer(s)}."
        f" Nothing is paid for the first {say(plan.threshold)} points; then"
        f" {say(100 * plan.slope, 0)}% of the maximum a point, up to {say(100 * plan.cap, 0)}%. Nothing is paid when the rate"
        f" of all members falls by more than {say(abs(plan.gate_margin))} points{_guards(s)}. {_past_zero(s)} The maximum is"
        f" {say(plan.pmpm_maximum, 2)} USD per member-month for each measure, shared by its groups."
    )


def _fewer(s: Section) -> str:
    """Units with fewer years under a contract: it began later, or they left."""
    table = payments(s)
    named = own_years(table, s.study.payment.performance_years) if table is not None else {}
    said = phrases.join(f"{s.label(x)} {phrases.years(years)}" for x, years in named.items())
    return f" ({said})" if said else ""


def _guards(s: Section) -> str:
    """What else must hold, so that a gap that closes because the reference group falls is not paid for."""
    plan, parts = s.study.payment, []
    if plan.reference_margin is not None:
        parts.append(
            f"when that of {phrases.reference(s)} members falls by more than {phrases.plain(abs(plan.reference_margin))}"
        )
    if plan.group_gain is not None:
        least = f" by more than {phrases.plain(plan.group_gain)}" if plan.group_gain else ""
        parts.append(f"when the group's own rate does not rise{least}")
    return f", {phrases.join(parts, 'or')}" if parts else ""


def _past_zero(s: Section) -> str:
    """Whether a gap that turns round is paid for, and what would be earned if it were the other way."""
    plan, found = s.study.payment, formulas(s)
    text = "A gap that turns round is paid for beyond zero too" if plan.past_zero else "Pay ends where the gap is closed"
    ids = [f.id for f in plan.formula if f.model_fields_set == {"id", "label", "past_zero"} and f.past_zero != plan.past_zero]
    other = found[found["formula_id"].isin(ids)] if len(found) else found
    if other.empty or other["earned"].isna().any():
        return f"{text}."
    changed, own = float(other["earned"].iloc[0]), float(found["earned"].iloc[0])
    earned = (
        f"{phrases.against(changed, own, 'instead of')} would be earned" if round(changed - own) else "as much would be earned"
    )
    return f"{text}; {'ending there' if plan.past_zero else 'paid beyond it'}, {earned}."


def reliability(s: Section) -> str:
    """How payments would change if each narrowing were first shrunk for its reliability."""
    table = payments(s)
    assert table is not None
    ok = table[table["status"] == "ok"]
    if ok.empty:
        return "No cell has a number."
    earns = ok[ok["earned"].astype(float) > 0]
    low, high = interval(s, earns)
    zero = int(((low <= 0) & (high >= 0)).sum())
    closed = int((ok["gate_met"].astype(str).str.lower() != "true").sum())
    moved = int(((ok["score"].astype(float) - ok["shrunken_score"].astype(float)).abs() >= LARGE).sum())
    cells = f"{phrases.count(len(ok))} cells of one {s.study.info.unit_label}, measure and group"
    text = f"**Of {cells}, {phrases.count(len(earns)) if len(earns) else 'none'} earn{'s' if len(earns) < 2 else ''} something.**"
    if len(earns):
        text += (
            f" In {phrases.count(zero) if zero else 'none'} of these {phrases.count(len(earns))}, the interval of the narrowing"
            " that is paid for includes zero."
        )
    if closed:
        text += (
            f" {phrases.capital(phrases.plural(closed, 'cell'))} {'earns' if closed == 1 else 'earn'} nothing because its gate is"
            " not met: the rate of all members or of the reference group fell by more than the formula allows, or the group did"
            " not gain."
        )
    return (
        text + " Paying on the narrowing shrunk for its reliability [@morris_1983] would move the payment of"
        f" {phrases.plural(moved, 'cell') if moved else 'no cell'} by at least a quarter of the maximum."
    )


def by_chance(s: Section) -> str:
    """The share of payments that chance would have earned, by simulation and under other contracts; what formulas change."""
    if not s.study.payment or not (s.run_dir / "results" / "payment_formula.csv").is_file():
        return ""
    rows = formulas(s)
    if rows.empty:
        return "**What share of payments is chance cannot be told.** No formula could be computed."
    first, others = rows.iloc[0], rows.iloc[1:]
    part = float(first["by_simulation"]) / float(first["score"]) if float(first["score"]) > 0 else None
    said = (
        f"would be {phrases.percent(part, 1)} of what is paid" if part is not None and part <= 1 else "would exceed what is paid"
    )
    return phrases.paragraphs(
        f"**What chance earns {said}.** Had no rate truly changed, sampling error would be expected to earn"
        f" {_share(first['by_simulation'])} of the maximum under the formula above, its gate included;"
        f" {_share(first['score'])} is earned. {_without(s, first)} {_dealt(s, first)} {_curve(s, str(first['formula_id']))}",
        _others(s, first, others),
    )


def _share(value: object) -> str:
    return f"{phrases.plain(100 * float(str(value)), 0)}%"


def _without(s: Section, row: pd.Series[object]) -> str:
    """What sampling error leaves out, and what comparison units would earn, whose gaps change for every other reason."""
    if row["by_comparison"] is None or row["by_comparison"] != row["by_comparison"]:
        return ""
    units, chosen = s.study.info.unit_label_plural, set(s.study.baseline.selection_years) & set(s.study.payment.baseline_years)
    wide = (
        f" and the return of gaps that were chosen when wide, as the baseline holds {phrases.years(sorted(chosen))}"
        if chosen
        else ""
    )
    return (
        f"That leaves out shocks of whole {units}{wide}. Comparison {units}, which have no {s.study.info.treatment_label}, would"
        f" earn {_share(row['by_comparison'])} on the same measures."
    )


def _dealt(s: Section, row: pd.Series[object]) -> str:
    if row["by_permutation"] is None or row["by_permutation"] != row["by_permutation"]:
        return ""
    units, label = s.study.info.unit_label_plural, s.study.info.treatment_label
    return (
        f"The same {label}s dealt at random among eligible {units} would have earned {_share(row['by_permutation'])} on average;"
        " that holds part of the effect, since their holders are dealt some of them back."
    )


def _curve(s: Section, formula: str) -> str:
    """What the formula pays for a true narrowing of the size the plan shows last but one."""
    curve = s.results("payment_curve")
    own = curve[(curve["formula_id"] == formula) & (curve["true_narrowing"].astype(float) > 0)]
    if own.empty:
        return ""
    at = own.sort_values("true_narrowing").iloc[max(len(own) - 2, 0)]
    points = phrases.plain(at["true_narrowing"], 0)
    return f"A true narrowing of every gap by {points} points would be expected to earn {_share(at['score'])}."


def _others(s: Section, first: pd.Series[object], others: pd.DataFrame) -> str:
    """The range of the share by chance over the other formulas, and what a guard against leveling down changes."""
    if others.empty:
        return ""
    chance, earned = (100 * others[c].astype(float) for c in ("by_simulation", "score"))
    shown = phrases.exhibit_ref(s, "T18", "payments")
    text = (
        f"**{phrases.capital(phrases.plural(len(others), 'other formula'))} on the same data would earn"
        f" {phrases.plain(earned.min(), 0)} to {phrases.plain(earned.max(), 0)}%, {phrases.plain(chance.min(), 0)} to"
        f" {phrases.plain(chance.max(), 0)}% by chance{f' ({shown})' if shown else ''}.**"
    )
    free = others[others["formula_id"].isin([f.id for f in s.study.payment.formula if not f.guarded])]
    if len(free) and (stopped := int(first["units_stopped"])):
        text += (
            f" Asking that the reference group holds and the group gains leaves {phrases.plural(stopped, 'unit')} unpaid; without"
            f" it {_share(free['score'].iloc[0])} would be earned instead of {_share(first['score'])}, and"
            f" {_share(free['by_simulation'].iloc[0])} instead of {_share(first['by_simulation'])} by chance."
        )
    return text
