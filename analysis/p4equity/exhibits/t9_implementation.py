"""T9: how the program was carried out: reach, adoption, coaching, grants, provider survey and interviews, by arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from p4equity.dictionary import load_dictionary
from p4equity.errors import P4Error
from p4equity.estimates import SUPPRESSED
from p4equity.exhibits import text
from p4equity.exhibits.base import MISSING, Exhibit
from p4equity.exhibits.select import OK
from p4equity.exhibits.tabular import Block, capital, spec

if TYPE_CHECKING:
    from p4equity.results import Results

ID, KIND = "T9", "table"
ARMS = ("all", "participating", "comparison", "outside")
HEADS = {"all": "All", "participating": "Participating", "comparison": "Comparison", "outside": "Outside"}
INDICATORS = {
    "systems_contracted": "{Units} under {label}",
    "practices_in_contracted_systems": "Practices in {units} under {label}",
    "denominator_under_contract": "Members under {label}",
    "reports_delivered": "Delivered, of those due",
    "reports_opened": "Opened, of those delivered",
    "users_per_opened_report": "Users per opened report",
    "systems_attending": "{Units} at sessions",
    "sessions": "Sessions attended, per {unit}",
    "attendances": "Attendances, per {unit}",
    "grants": "Grants (million USD)",
    "amount_per_system": "Million USD per {unit}",
    "amount_per_member": "USD per attributed member",
    "mean_amount_per_member": "USD per attributed member, mean of {units}",
    "grants_by_purpose": "Grants (million USD)",
    "respondents": "Respondents, last wave",
    "agree": "Agree that",
    "interviews": "Interviews (mean minutes)",
    "segments": "Coded segments",
    "kappa": "Agreement of coders (pooled kappa)",
}
PER_MEMBER = ("amount_per_member", "mean_amount_per_member")
# The value alone says it.
COUNTED = {"sessions", "attendances", "amount_per_system", *PER_MEMBER, "users_per_opened_report", "kappa"}
CODES = ("segments", "kappa")  # by code they are a table of their own
ITEMS = {"grants_by_purpose": ("grant", "purpose"), "interviews": ("interview", "role")}
Row = Mapping[str, Any]


def build(results: Results) -> Exhibit | None:
    """One row an indicator, one column an arm: count, with share, mean or amount."""
    table = results.table("implementation")
    if table.empty:
        results.skip(ID, "the extract holds nothing on how the program was carried out")
        return None
    by_code = table["indicator"].isin(CODES) & (table["item"] != "all")
    shown = table[~by_code & (table["indicator"] != "mean")]
    arms = [a for a in ARMS if (shown["arm"] == a).any()]
    labels = load_dictionary().table("implementation").field("section")
    blocks = []
    for section, part in shown.groupby("section", sort=False):
        blocks.append(Block(labels.label(str(section)), _lines(results, part, arms)))
    made = spec(("Indicator", *(HEADS[a] for a in arms)), blocks, align="l" + "r" * len(arms))
    title = "How the program was carried out: reach, adoption, coaching, grants, provider survey and interviews"
    data = table.reset_index(drop=True)
    return Exhibit(ID, "table", title, _alt(results, table), _note(results, table, arms), (), data, table=made)


def _lines(results: Results, part: pd.DataFrame, arms: list[str]) -> tuple[tuple[str, ...], ...]:
    """A line an indicator and item; items of one indicator without any number to show share one."""
    lines: list[tuple[str, ...]] = []
    hidden: dict[str, list[str]] = {}
    for (indicator, item), own in part.groupby(["indicator", "item"], sort=False):
        cells = {str(r["arm"]): _cell(r) for r in own.to_dict("records")}
        if item != "all" and (own["status"] == SUPPRESSED).all():
            hidden.setdefault(str(indicator), []).append(_item(results, str(indicator), str(item)))
        else:
            lines.append((_label(results, str(indicator), str(item)), *(cells.get(a, MISSING) for a in arms)))
    for indicator, items in hidden.items():
        label = f"{_indicator(results, indicator).split(' (')[0]}: {text.listing(items)}"
        lines.append((label, text.STATUS[SUPPRESSED], *[MISSING] * (len(arms) - 1)))
    return tuple(lines)


def _label(results: Results, indicator: str, item: str) -> str:
    """An indicator and its item in words."""
    name = _indicator(results, indicator)
    return name if item == "all" else f"{name.split(' (')[0]}: {_item(results, indicator, item)}"


def _indicator(results: Results, indicator: str) -> str:
    info = results.study.info
    many = info.unit_label_plural
    known = {"unit": info.unit_label, "units": many, "Units": capital(many), "label": info.treatment_label}
    return INDICATORS.get(indicator, capital(indicator.replace("_", " "))).format(**known)


def _item(results: Results, indicator: str, item: str) -> str:
    if item in results.study.measures:
        return text.measure_name(results, item)
    where = ITEMS.get(indicator)
    if where is None:
        return item.replace("_", " ")
    try:
        said = load_dictionary().table(where[0]).field(where[1]).label(item)
    except P4Error:
        said = item.replace("_", " ")
    return said[:1].lower() + said[1:]


def _cell(row: Row) -> str:
    """Count with what it comes to: "341 (76%)", "12 (16.50)", "4.9", or "48%" without its base; or why there is none."""
    if row["status"] != OK:
        return text.STATUS.get(str(row["status"]), str(row["status"]))
    count = MISSING if text.is_missing(row["n"]) else text.number(row["n"], 0)
    if text.is_missing(row["value"]):
        return count
    unit, value = str(row["unit"]), float(row["value"])
    if unit.startswith("percent"):
        said = f"{text.number(value, 0)}%"
    elif unit.startswith("USD") and row["indicator"] not in PER_MEMBER:
        said = text.number(value / 1e6, 2)
    elif unit == "minutes":
        said = text.number(value, 0)
    else:
        said = text.number(value, 2 if row["indicator"] == "kappa" else 1)
    return said if row["indicator"] in COUNTED or count == MISSING else f"{count} ({said})"


def _value(table: pd.DataFrame, indicator: str, arm: str) -> str | None:
    found = table[(table["indicator"] == indicator) & (table["arm"] == arm) & (table["item"] == "all") & (table["status"] == OK)]
    return _cell(found.iloc[0].to_dict()) if len(found) == 1 else None


def _alt(results: Results, table: pd.DataFrame) -> str:
    """Reports opened in both arms, and the survey statement on which the arms differ most."""
    opened = [(arm, _value(table, "reports_opened", arm)) for arm in ("participating", "comparison")]
    said = [f"{arm} {results.study.info.unit_label_plural} opened {value}" for arm, value in opened if value]
    parts = [f"Of the stratified reports delivered, {text.listing(said)}"] if said else []
    agree = table[(table["indicator"] == "agree") & (table["status"] == OK)]
    wide = agree.pivot_table(index="item", columns="arm", values="value", aggfunc="first")
    if {"participating", "comparison"} <= set(wide.columns):
        gap = (wide["participating"] - wide["comparison"]).dropna()
        if len(gap):
            item = str(gap.abs().idxmax())
            low = [f"{text.number(wide.loc[item, a], 0)}%" for a in ("participating", "comparison")]
            parts.append(
                f"answers of the arms differ most on “{item.replace('_', ' ')}” ({low[0]} agree in participating, {low[1]} "
                "in comparison "
                f"{results.study.info.unit_label_plural})"
            )
    hidden = int((table["status"] == "suppressed").sum())
    last = f"{text.plural(hidden, 'count')} {'is' if hidden == 1 else 'are'} suppressed" if hidden else "no count is suppressed"
    return capital("; ".join([*parts, last])) + "."


def _note(results: Results, table: pd.DataFrame, arms: list[str]) -> str:
    study = results.study
    units = study.info.unit_label_plural
    outside = "; outside: payer and external experts" if "outside" in arms else ""
    hidden = (
        f" Suppressed: a count of persons from 1 to {study.disclosure.threshold - 1}, or one that would reveal it."
        if (table["status"] == "suppressed").any()
        else ""
    )
    bare = (table["status"] == OK) & table["n"].isna() & table["unit"].astype(str).str.startswith("percent")
    if bare.any():
        hidden += " A share without a count: the count would tell how few did not answer."
    label = study.info.treatment_label
    return (
        f"Counts, in brackets their share or what the row names; {MISSING}: does not apply. Participating: {units} with any "
        f"{label}{outside}. Members under {label}: share of the denominator of the last baseline year. Attributed "
        "members: mean of the years of the weights. Survey: weighted share of "
        "answers 4 or 5 of 5 among those who answered, statements by short name; how many were invited was not handed over, "
        "so there "
        "is no response rate. Interviews: withdrawn consent left out. No inference: these numbers describe."
        f"{hidden}{text.missing_note(table[table['status'] == 'not_estimable'])}{text.synthetic_note(results)}"
    )
