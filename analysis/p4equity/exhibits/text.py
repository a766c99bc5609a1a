"""Words of the exhibits: names of measures and groups, estimates with intervals, and the footnote every estimate needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from p4equity import words
from p4equity.estimates import FEW, UNSURE
from p4equity.exhibits.base import MISSING as MISSING
from p4equity.exhibits.base import NULLS, SYNTHETIC
from p4equity.study.names import CLAIM, inference_name

if TYPE_CHECKING:
    import pandas as pd

    from p4equity.results import Results

STATUS = {"not_estimable": "not estimable", "suppressed": "suppressed"}
ARMS = {
    "contracted": "contracted",
    "comparison": "comparison",
    "participating": "participating",
    "participating_other": "contracted on other measures",
}


def measure_name(results: Results, measure: str) -> str:
    """Short title of what a measure's rates are shares of; what is pooled is called so."""
    if measure in ("pooled", "all"):
        return "All contracted measures"
    return str(results.study.measure(measure).shown_title) if measure in results.study.measures else measure


def group_name(results: Results, group: str) -> str:
    """Label of a group."""
    if group in ("pooled", "all"):
        return {"pooled": "Groups pooled", "all": "All members"}[group]
    return results.study.group(group).label


def method(inference: object) -> str:
    """Short name of an inference."""
    return inference_name(inference).short


def is_missing(value: object) -> bool:
    """Null in any of its forms."""
    return value is None or str(value) in NULLS


ONE_DECIMAL = (
    "percentage points", "percent", "USD per member-month", "USD per member-month and point", "percentage points squared",
)  # fmt: skip


def decimals(row: Mapping[str, Any]) -> int:
    """Decimals for a row's unit: one for points and dollars, two for points along something, three for logs and small units."""
    unit = str(row.get("outcome_unit") or "percentage points")
    return 1 if unit in ONE_DECIMAL else 2 if unit.startswith("percentage points ") else 3


def number(value: Any, places: int = 1, *, signed: bool = False) -> str:
    """One number, or the sign for a missing one."""
    return MISSING if is_missing(value) else words.number(float(value), places, signed=signed)


def p(value: Any) -> str:
    """A p value, or the sign for a missing one."""
    return MISSING if is_missing(value) else words.p_value(float(value))


def interval(row: Mapping[str, Any]) -> str:
    """ "−4.1 to −0.6", "unbounded", or the row's status."""
    if row.get("status", "ok") != "ok":
        return STATUS.get(str(row["status"]), str(row["status"]))
    low, high = (None if is_missing(row.get(k)) else float(row[k]) for k in ("conf_low", "conf_high"))
    return words.interval(low, high, decimals(row))


def estimate(row: Mapping[str, Any] | None) -> str:
    """ "−2.4 (−4.1 to −0.6)", or the row's status, or the sign for no such row."""
    if row is None:
        return MISSING
    if row.get("status", "ok") != "ok":
        return STATUS.get(str(row["status"]), str(row["status"]))
    return f"{number(row['estimate'], decimals(row))} ({interval(row)})"


def row_id(row: Mapping[str, Any] | None) -> str:
    """The row's id, "" without a row."""
    return "" if row is None else str(row["row_id"])


def listing(items: Sequence[str], last: str = "and") -> str:
    """ "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else "none"


def plural(n: int, one: str, many: str | None = None) -> str:
    """ "1 system", "3 systems"."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def span(values: Iterable[Any], places: int = 0) -> str:
    """ "5", "3 to 12", or the sign for nothing."""
    kept = sorted({round(float(v), places) for v in values if not is_missing(v)})
    if not kept:
        return MISSING
    low, high = words.number(kept[0], places), words.number(kept[-1], places)
    return low if low == high else f"{low} to {high}"


def base_note(rows: pd.DataFrame, results: Results) -> str:
    """Two short sentences on the rows of an exhibit: G, treated G, years; method, degrees of freedom, smallest attainable p."""
    ok = rows[rows["status"] == "ok"]
    info = results.study.info
    if ok.empty:
        return "No row could be estimated."
    with_it = f"{span(ok['n_treated_clusters'])} with {_article(info.treatment_label)}"
    base = f"{span(ok['n_clusters'])} {info.unit_label_plural}, {with_it}"
    if ok["first_year"].notna().any():
        base += f", {int(ok['first_year'].min())} to {int(ok['last_year'].max())}"
    methods = [inference_name(m).footnote for m in dict.fromkeys(ok["inference"]) if m != CLAIM]
    how = f"{span(100 * ok['conf_level'].astype(float))}% intervals by {listing(methods)}"
    facts = []
    if ok["df"].notna().any():
        facts.append(f"{span(ok['df'], 1)} degrees of freedom")
    if ok["p_attainable"].notna().any():
        ends = dict.fromkeys(p(ok["p_attainable"].agg(which)) for which in ("min", "max"))
        facts.append(f"smallest attainable p {' to '.join(ends)}")
    tail = f" ({'; '.join(facts)})" if facts else ""
    few = ok[(ok["n_treated_clusters"] <= FEW).fillna(False) & ok["inference"].isin(UNSURE)]
    with_few = f"{span(few['n_treated_clusters'])} {info.unit_label_plural} with {_article(info.treatment_label)}"
    warning = f" With {with_few} t and bootstrap tests can reject too often or too rarely." if len(few) else ""
    return f"Each row: {base}. {how[:1].upper()}{how[1:]}{tail}.{warning}"


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def missing_note(rows: pd.DataFrame) -> str:
    """Why rows have no number, each reason once; "" when all have one."""
    bad = rows[rows["status"] != "ok"]
    reasons = [str(r) for r in dict.fromkeys(bad["reason"]) if not is_missing(r)]
    return f" Without a number: {'; '.join(reasons)}." if reasons else ""


def synthetic_note(results: Results) -> str:
    """The warning on invented data, for the end of a footnote; the report itself says it in the banner of every page."""
    return f" {SYNTHETIC}" if results.synthetic else ""
