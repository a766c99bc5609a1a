"""T8: what each contracted system would earn under the formula, and how much of it chance alone would earn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING, Exhibit
from p4equity.exhibits.select import OK
from p4equity.exhibits.tabular import Block, capital, spec, with_labels

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "T8", "table"
COLUMNS = (
    "Measure, group",
    "Narrowing (SE)",
    "Conditions met",
    "Score",
    "Shrunken",
    "By chance",
    "Earned / maximum",
    "By chance",
)
SPANNERS = (("", 3), ("Share of the maximum, %", 3), ("Thousand USD", 2))
AMOUNTS = ("max_possible", "earned", "earned_by_chance")
SCORES = ("score", "shrunken_score", "expected_by_chance")


def build(results: Results) -> Exhibit | None:
    """One row a system, measure and group, totals by system and measure; systems under their labels."""
    paid = payments(results)
    if paid.empty:
        results.skip(ID, "the study has no payment formula")
        return None
    order = {m: i for i, m in enumerate(results.study.measure_ids("contracted"))}
    groups = {g: i for i, g in enumerate(results.study.group_ids)}
    paid = paid.assign(
        label=paid["system_id"].map(results.label), place=paid["measure_id"].map(order), rank=paid["group"].map(groups)
    ).sort_values(["label", "place", "rank"], ignore_index=True)
    blocks = [Block(str(label), (*_lines(results, own), _total("Total", own))) for label, own in paid.groupby("label")]
    by_measure = [_total(text.measure_name(results, str(m)), own) for m, own in paid.groupby("measure_id", sort=False)]
    everyone = f"All {results.study.info.unit_label_plural}"
    blocks.append(Block(everyone, (*by_measure, _total("Total", paid))))
    table = spec(COLUMNS, blocks, align="l" + "r" * (len(COLUMNS) - 1), spanners=SPANNERS)
    data = paid.drop(columns=["place", "rank", "system_id"])
    data.insert(0, "system", data.pop("label"))
    note = (
        "Narrowing: points, with its sampling standard error (SE). Conditions met: no rate fell too far, as said below. "
        f"{formula_note(results, paid)}"
    )
    title = f"Payments under the {'illustrative ' if _plan(results).illustrative else ''}formula, and the part expected by chance"
    return Exhibit(ID, "table", title, _alt(results, paid), note, (), data, table=table)


def payments(results: Results) -> pd.DataFrame:
    """The payment rows, numbers as floats; empty when the study pays nothing."""
    paid = results.table("payment_result")
    if paid.empty or results.study.payment is None:
        return pd.DataFrame()
    numbers = [*SCORES, *AMOUNTS, "narrowing", "se_narrowing", "gap_base", "overall_change"]
    return paid.assign(**{c: pd.to_numeric(paid[c]) for c in numbers}, gate_met=[_yes(v) for v in paid["gate_met"]])


def shares(ok: pd.DataFrame) -> dict[str, float]:
    """Percent of the maximum earned, earned after shrinkage, and expected by chance; by amount at stake where it is known."""
    weight = ok["max_possible"] if ok["max_possible"].notna().all() else pd.Series(1.0, index=ok.index)
    total = float(weight.sum())
    return {c: 100 * float((ok[c] * weight).sum()) / total if total else float("nan") for c in SCORES}


def _yes(value: object) -> bool | None:
    return None if text.is_missing(value) else str(value).lower() == "true"


def _plan(results: Results) -> Any:
    assert results.study.payment is not None
    return results.study.payment


def _lines(results: Results, rows: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    return tuple(_line(results, row) for row in rows.to_dict("records"))


def _line(results: Results, row: Mapping[str, Any]) -> tuple[str, ...]:
    name = f"{text.measure_name(results, str(row['measure_id']))}, {text.group_name(results, str(row['group']))}"
    if row["status"] != OK:
        return (name, text.STATUS.get(str(row["status"]), str(row["status"])), *[MISSING] * 6)
    return (
        name,
        f"{text.number(row['narrowing'])} ({text.number(row['se_narrowing'])})",
        "yes" if row["gate_met"] else "no",
        *(text.number(100 * row[c], 0) for c in SCORES),
        *_amounts(row),
    )


def _total(label: str, rows: pd.DataFrame) -> tuple[str, ...]:
    """Sums of amounts, and the shares of the maximum that they are."""
    ok = rows[rows["status"] == OK]
    if ok.empty:
        return (label, *[MISSING] * 7)
    part = shares(ok)
    amounts = {c: float(ok[c].sum()) if ok[c].notna().all() else None for c in AMOUNTS}
    held = f"{int(ok['gate_met'].astype(bool).sum())} of {len(ok)}"
    return (label, "", held, *(text.number(part[c], 0) for c in SCORES), *_amounts(amounts))


def _amounts(row: Mapping[str, Any]) -> tuple[str, str]:
    top, earned, chance = (_thousands(row[c]) for c in AMOUNTS)
    return (MISSING if text.is_missing(row["max_possible"]) else f"{earned} / {top}", chance)


def _thousands(amount: Any) -> str:
    return MISSING if text.is_missing(amount) else text.number(float(amount) / 1e3, 0)


def _alt(results: Results, paid: pd.DataFrame) -> str:
    """Shares of the maximum in all, and how many narrowings are larger than their sampling error explains."""
    ok = paid[paid["status"] == OK]
    if ok.empty:
        return "No payment could be computed."
    part = shares(ok)
    beyond = int((ok["narrowing"] > 1.96 * ok["se_narrowing"]).sum())
    return (
        f"{capital(results.study.info.unit_label_plural)} would earn {text.number(part['score'], 0)}% of the maximum; if no "
        "gap had changed, chance "
        f"alone would be expected to earn {text.number(part['expected_by_chance'], 0)}%, and after shrinkage for reliability "
        "they would earn "
        f"{text.number(part['shrunken_score'], 0)}%. {beyond} of {len(ok)} narrowings exceed 1.96 standard errors."
    )


def own_years(paid: pd.DataFrame, years: Sequence[int]) -> dict[str, list[int]]:
    """Years paid for of each system that has fewer than the formula's: its contract began later, or it left."""
    found = {}
    known = paid.dropna(subset=["first_year", "last_year"]) if {"first_year", "last_year"} <= set(paid.columns) else paid[:0]
    for system, rows in known.groupby("system_id"):
        own = [y for y in years if int(rows["first_year"].min()) <= y <= int(rows["last_year"].max())]
        if 0 < len(own) < len(years):
            found[str(system)] = own
    return found


def _guards(results: Results) -> str:
    """What else must hold: the reference group does not fall, the group gains."""
    plan, parts = _plan(results), []
    if plan.reference_margin is not None:
        name = text.group_name(results, str(results.study.groups.reference))
        parts.append(f"when that of {name} members falls by more than {text.number(abs(plan.reference_margin))}")
    if plan.group_gain is not None:
        parts.append(
            "when the group’s own does not rise" + (f" by more than {text.number(plan.group_gain)}" if plan.group_gain else "")
        )
    return "".join(f", or {part}" for part in parts)


def _zero(plan: Any) -> str:
    return (
        ""
        if plan.past_zero
        else "Of a gap that turns round the part down to zero is paid for; nothing where the baseline shows no gap. "
    )


def formula_note(results: Results, paid: pd.DataFrame) -> str:
    """The formula in words, and that it is a stand-in."""
    plan, info = _plan(results), results.study.info
    base, after = (f"{min(y)}–{max(y)}" for y in (plan.baseline_years, plan.performance_years))
    fewer = own_years(paid, plan.performance_years) if "system_id" in paid else {}
    named = ", ".join(f"{results.label(x)} {y[0]}" + (f"–{y[-1]}" if len(y) > 1 else "") for x, y in fewer.items())
    after += f" ({named})" if named else ""
    ok = paid[paid["status"] == OK]
    mark = f"Illustrative formula: the terms of the {info.treatment_label}s are not public. " if plan.illustrative else ""
    return (
        f"{mark}{text.plural(len(ok), 'gap')} of {paid['system_id'].nunique()} {info.unit_label_plural} at stake, "
        f"{int((ok['score'] > 0).sum())} earn something. Paid: the narrowing of a {info.unit_label}’s own gap from {base} to "
        f"the years under the {info.treatment_label}, {after}, "
        f"{text.number(100 * plan.slope, 0)}% of the maximum a point beyond {text.number(plan.threshold)} points, up to "
        f"{text.number(100 * plan.cap, 0)}%; nothing when the rate of all members falls by more than "
        f"{text.number(abs(plan.gate_margin))} points{_guards(results)}. "
        f"Maximum: {text.number(plan.pmpm_maximum, 2)} USD per member-month and "
        "measure, "
        f"shared equally by its groups. {_zero(plan)}By chance: expected when no rate truly changed and every cell has its own "
        f"sampling errors ({plan.draws:,} draws), the condition on all members included. Shrunken: the formula applied to "
        f"empirical-Bayes narrowings. Own changes of the {info.unit_label_plural}, no effects."
        f"{with_labels(results, text.missing_note(paid))}{text.synthetic_note(results)}"
    )
