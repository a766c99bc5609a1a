"""T18: several payment formulas on the same data: what they pay, what for noise, and what shrinkage and a guard change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING, Exhibit
from p4equity.exhibits.select import OK
from p4equity.exhibits.tabular import Block, capital, spec

if TYPE_CHECKING:
    from p4equity.results import Results

Row = Mapping[str, Any]
ID, KIND = "T18", "table"
SHOWN = ("score", "by_simulation", "by_comparison", "by_permutation", "as_much_by_permutation")
NUMBERS = (*SHOWN, "shrunken_score", "max_possible", "earned", "earned_per_month")
UNITS = ("units_stopped", "units_unpaid", "units_added", "units_moved")
ALL = "all"


def build(results: Results) -> Exhibit | None:
    """One row a formula; systems and the whole curve in the data."""
    formulas, curve = tables(results)
    if formulas.empty:
        results.skip(ID, "the study has no payment formula")
        return None
    points = sorted(set(curve["true_narrowing"]) - {0.0})  # at 0 the simulated share stands there already
    ahead = tuple(text.number(p, 0) for p in points)
    columns = (
        "Paid on", "Paid", "Earned, %", "Noise", "Others", "Mean", "As much", *ahead, "Guard", "Unpaid", "New", "Moved",
    )  # fmt: skip
    spanners = (
        ("", 3), (f"Without a {results.study.info.treatment_label}, %", 2), ("Dealt anew, %", 2),
        ("If truly narrowed by, %", len(points)), ("Units: stopped; by shrinkage", 4),
    )  # fmt: skip
    whole = formulas[formulas["system_id"] == ALL]
    lines = tuple(_line(row, curve, points) for row in whole.to_dict("records"))
    table = spec(columns, [Block("", lines)], align="l" + "r" * (len(columns) - 1), spanners=spanners)
    data = formulas.assign(system=[s if s == ALL else results.label(str(s)) for s in formulas["system_id"]])
    data = data.drop(columns=["system_id"]).merge(_wide(curve), on="formula_id", how="left")
    data.loc[data["system"] != ALL, [c for c in data.columns if c.startswith("expected_at_")]] = None
    plan = results.study.payment
    mark = "Illustrative payment formulas" if plan is None or plan.illustrative else "Payment formulas"
    title = f"{mark} side by side: what they pay on the same data, and what they pay for noise"
    return Exhibit(ID, "table", title, _alt(results, whole), _note(results, whole), (), data, table=table)


def tables(results: Results) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(formulas, curve) with numbers as floats; empty when the study pays nothing."""
    formulas, curve = results.table("payment_formula"), results.table("payment_curve")
    if formulas.empty or results.study.payment is None:
        return pd.DataFrame(), pd.DataFrame()
    return formulas.assign(**{c: pd.to_numeric(formulas[c]) for c in NUMBERS}), curve


def _wide(curve: pd.DataFrame) -> pd.DataFrame:
    wide = curve.pivot_table(index="formula_id", columns="true_narrowing", values="score", aggfunc="first")
    return wide.rename(columns=lambda p: f"expected_at_{p:g}").reset_index()


def _line(row: Row, curve: pd.DataFrame, points: list[float]) -> tuple[str, ...]:
    name = str(row["label"])
    if row["status"] != OK:
        return (name, text.STATUS.get(str(row["status"]), str(row["status"])), *[MISSING] * (len(points) + 9))
    own = curve[curve["formula_id"] == row["formula_id"]].set_index("true_narrowing")["score"]
    return (
        name, f"{row['units_paid']} of {row['n_cells']}", *(_percent(row[c]) for c in SHOWN),
        *(_percent(own.get(p)) for p in points), *(str(row[c]) for c in UNITS),
    )  # fmt: skip


def _percent(share: Any) -> str:
    return MISSING if text.is_missing(share) else text.number(100 * float(share), 0)


def _alt(results: Results, whole: pd.DataFrame) -> str:
    ok = whole[whole["status"] == OK]
    if ok.empty:
        return "No formula could be computed."
    part = ok["by_simulation"] / ok["score"].where(ok["score"] > 0)
    earned, chance, others, dealt = (text.span(100 * ok[c]) for c in SHOWN[:4])
    return (
        f"{text.plural(len(ok), 'formula')} would pay {earned}% of the maximum on the same data; without any true change "
        f"{chance}% would be expected, which is {text.span(100 * part)}% of what is paid; {others}% would go to comparison "
        f"{results.study.info.unit_label_plural}, {dealt}% with contracts dealt anew."
    )


def _note(results: Results, whole: pd.DataFrame) -> str:
    plan, info = results.study.payment, results.study.info
    assert plan is not None
    mark = f"Illustrative: the terms of the {info.treatment_label}s are not public. " if plan.illustrative else ""
    return (
        f"{mark}Formulas stand in the plan; maximum and windows as above unless they say otherwise. Paid: units (a "
        f"{info.unit_label}, measure and group; or all groups together) that earn something. Guard: units unpaid by it alone; it "
        "asks that the reference group does not fall beyond a margin and that the paid group gains. Noise: expected when no rate "
        f"truly changed and every cell has its own sampling errors ({plan.draws:,} draws), gates included. Others: what "
        f"comparison {info.unit_label_plural} would earn on the same measures. Dealt anew: the same {info.treatment_label}s "
        f"given at random to {info.unit_label_plural} of the stratum, each paid for its own change; their holders are dealt some "
        "back, so that the mean holds part of the effect; as much: share of deals that earn what was earned. If truly narrowed: "
        "expected "
        "where compared groups rise by so many points. Unpaid, new, moved: units that pay on empirical-Bayes improvements would "
        "leave unpaid, newly pay, or move by a quarter of the maximum. "
        f"{capital(info.unit_label_plural)} one by one are in the data."
        f"{text.missing_note(whole)}{text.synthetic_note(results)}"
    )
