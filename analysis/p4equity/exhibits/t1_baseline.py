"""T1: who is compared: members by arm at baseline with standardized differences, and rates by arm and group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from p4equity.dictionary import load_dictionary
from p4equity.exhibits import text
from p4equity.exhibits.builder import TableBuilder

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.exhibits.base import Exhibit
    from p4equity.results import Results

ID, KIND = "T1", "table"
ARMS = ("participating", "comparison")
NAMES = {
    "race_ethnicity": "Race and ethnicity", "age_band": "Age", "sex": "Sex", "product": "Product", "market": "Market",
    "language": "Preferred language", "adi_quintile": "Area deprivation, quintile", "race_source": "Source of race and "
    "ethnicity",
}  # fmt: skip
FIELDS = {
    "sex": ("member", "sex"),
    "language": ("member", "language_pref"),
    "product": ("enrollment_span", "product"),
    "market": ("enrollment_span", "market"),
}
LEVELS = {"self_report": "Self-reported", "imputed": "Imputed"}
LARGE = 0.1  # a standardized difference often called small up to here


def build(results: Results) -> Exhibit | None:
    """Blocks of characteristics: n and percent by arm, standardized difference; then rates of contracted measures by group."""
    profile = results.table("profile")
    if profile.empty:
        results.skip(ID, "the study has no member characteristics")
        return None
    year = max(results.study.baseline.pre_years)
    table = TableBuilder(("", "Participating", "Comparison", "Standardized difference"), ("l", "r", "r", "r"))
    for name in profile["characteristic"].drop_duplicates():
        own = profile[profile["characteristic"] == name]
        if own["level"].nunique() < 2:
            continue
        table.group(NAMES.get(name, str(name).replace("_", " ").capitalize()) + ", n (%)")
        for level in _levels(results, own):
            rows = {a: own[(own["level"].astype(str) == level) & (own["arm"] == a)] for a in ARMS}
            cells = [_count(rows[a]) for a in ARMS]
            smd = [v for a in ARMS for v in rows[a]["smd"] if not text.is_missing(v)]
            table.row(_level(results, name, level), *cells, text.number(smd[0] if smd else None, 2), **_data(name, level, rows))
    _rates(results, table, year)
    large = profile[profile["smd"].abs() > LARGE]["smd"].abs()
    worst = text.number(float(profile["smd"].abs().max()), 2)
    alt = f"The largest standardized difference between arms is {worst}; {text.plural(large.nunique(), 'level')} above {LARGE}."
    note = (
        f"Members of the systems of each arm in {year}, in the systems of the primary map. Standardized difference: "
        "difference in shares "
        f"over the pooled standard deviation of a share; {LARGE} is often called small. Rates: members of contracted and of "
        "comparison "
        f"systems for that measure, raw.{_hidden(profile)}{text.synthetic_note(results)}"
    )
    return table.exhibit(ID, f"Members and quality by arm in {year}, before the first contract", alt, note)


def _levels(results: Results, own: pd.DataFrame) -> list[str]:
    found = [str(v) for v in own["level"].drop_duplicates()]
    order = [g.id for g in results.study.scheme.groups] if results.study.scheme else []
    return sorted(found, key=lambda v: (order.index(v) if v in order else len(order), 0))


def _level(results: Results, name: str, level: str) -> str:
    groups = {g.id for g in results.study.scheme.groups} if results.study.scheme else set()
    if name == "race_ethnicity" and level in groups:
        return text.group_name(results, level)
    if name in FIELDS:
        return load_dictionary().table(FIELDS[name][0]).field(FIELDS[name][1]).label(level)
    return LEVELS.get(level, level.replace("_plus", " and over").replace("_", " to " if level[:1].isdigit() else " "))


def _count(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "0"
    row = rows.iloc[0]
    if row["status"] != "ok":
        return "suppressed"
    return f"{text.number(row['n'], 0)} ({text.number(100 * row['share'])})"


def _data(name: str, level: str, rows: dict[str, pd.DataFrame]) -> dict[str, Any]:
    out: dict[str, Any] = {"characteristic": name, "level": level}
    for arm, part in rows.items():
        record = part.iloc[0].to_dict() if len(part) else {}
        out |= {
            f"n_{arm}": record.get("n"),
            f"share_{arm}": record.get("share"),
            "smd": record.get("smd"),
            "status": record.get("status"),
        }
    return out


def _rates(results: Results, table: TableBuilder, year: int) -> None:
    """Rates of the last baseline year by contracted measure and group, in place of the participating arm the contracted one."""
    rate = results.table("rate")
    for measure in results.study.measure_ids("contracted"):
        own = rate[(rate["measure_id"] == measure) & (rate["year"] == year)] if len(rate) else rate
        if own.empty:
            continue
        table.group(f"{text.measure_name(results, measure)}, rate in % (denominator)")
        for group in results.study.group_ids:
            cells: list[str] = []
            data: dict[str, Any] = {"characteristic": f"rate {measure}", "level": group}
            for arm, column in (("contracted", "participating"), ("comparison", "comparison")):
                found = own[(own["group"] == group) & (own["arm"] == arm)]
                ok = len(found) and found.iloc[0]["status"] == "ok"
                cells.append(
                    f"{text.number(found.iloc[0]['rate'])} ({text.number(found.iloc[0]['den'], 0)})" if ok else "suppressed"
                )
                data[f"n_{column}"] = found.iloc[0]["den"] if ok else None
                data[f"rate_{column}"] = found.iloc[0]["rate"] if ok else None
            table.row(text.group_name(results, group), *cells, "", **data)


def _hidden(profile: pd.DataFrame) -> str:
    return " Suppressed counts are small, not zero." if (profile["status"] != "ok").any() else ""
