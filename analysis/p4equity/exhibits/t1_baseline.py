"""T1: who is compared: members by arm at baseline with standardized differences."""

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
RACE, CATEGORY = "race_ethnicity", "race_category"
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
    "race_category": ("race_ethnicity", "race_eth"),
}
LEVELS = {"self_report": "Self-reported", "imputed": "Imputed"}
LARGE = 0.1  # a standardized difference often called small up to here


def build(results: Results) -> Exhibit | None:
    """Blocks of characteristics: n and percent by arm, and the standardized difference."""
    profile = results.table("profile")
    if profile.empty:
        results.skip(ID, "the study has no member characteristics")
        return None
    year = max(results.study.baseline.pre_years)
    table = TableBuilder(("", "Participating", "Comparison", "Standardized difference"), ("l", "r", "r", "r"))
    for name in _order(profile):
        own = profile[profile["characteristic"] == name]
        if own["level"].nunique() < 2:
            continue
        table.group(_heading(results, name) + ", n (%)")
        for level in _levels(results, own):
            rows = {a: own[(own["level"].astype(str) == level) & (own["arm"] == a)] for a in ARMS}
            cells = [_count(rows[a]) for a in ARMS]
            smd = [v for a in ARMS for v in rows[a]["smd"] if not text.is_missing(v)]
            table.row(_level(results, name, level), *cells, text.number(smd[0] if smd else None, 2), **_data(name, level, rows))
    large = profile[profile["smd"].abs() > LARGE]["smd"].abs()
    worst = text.number(float(profile["smd"].abs().max()), 2)
    alt = f"The largest standardized difference between arms is {worst}; {text.plural(large.nunique(), 'level')} above {LARGE}."
    note = (
        f"Members of the {results.study.info.unit_label_plural} of each arm in {year}, practices placed by the primary map. "
        "Standardized "
        f"difference: difference in shares over the pooled standard deviation of a share; up to {LARGE} is often called small."
        f"{_race_note(results, profile)}{_hidden(profile)}{text.synthetic_note(results)}"
    )
    return table.exhibit(ID, f"Members by arm in {year}, before the first {results.study.info.treatment_label}", alt, note)


def _order(profile: pd.DataFrame) -> list[str]:
    """Characteristics as they come, recorded categories of race and ethnicity behind the groups they were pooled to."""
    names = [str(n) for n in profile["characteristic"].drop_duplicates()]
    if {RACE, CATEGORY} <= set(names):
        names.remove(CATEGORY)
        names.insert(names.index(RACE) + 1, CATEGORY)
    return names


def _heading(results: Results, name: str) -> str:
    if name == CATEGORY and results.study.scheme:
        pooled = [g.label for g in results.study.scheme.groups if len(g.categories) > 1]
        return f"{text.listing(pooled)}, by recorded category"
    return NAMES.get(name, name.replace("_", " ").capitalize())


def _race_note(results: Results, profile: pd.DataFrame) -> str:
    """Which version of the race and ethnicity data is counted here, since another table shows the version of each year."""
    if results.study.race is None or "race_source" not in set(profile["characteristic"]):
        return ""
    fixed = results.study.race.primary == "frozen"
    version = "back-cast version of the primary analysis, one for all years" if fixed else "version in use that year"
    return f" Race and ethnicity and their source: {version}."


def _levels(results: Results, own: pd.DataFrame) -> list[str]:
    found = [str(v) for v in own["level"].drop_duplicates()]
    groups = results.study.scheme.groups if results.study.scheme else ()
    order = [*(g.id for g in groups), *(category for g in groups for category in g.categories)]
    return sorted(found, key=lambda v: (order.index(v) if v in order else len(order), 0))


def _level(results: Results, name: str, level: str) -> str:
    groups = {g.id for g in results.study.scheme.groups} if results.study.scheme else set()
    if name == RACE and level in groups:
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


def _hidden(profile: pd.DataFrame) -> str:
    return " Suppressed counts are small, not zero." if (profile["status"] != "ok").any() else ""
