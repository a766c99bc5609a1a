"""Numbers and dates as a reader sees them: rounding, true minus signs, intervals, units."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping

COUNTS = frozenset({"n_clusters", "n_treated_clusters", "n_members", "n_cells"})
YEARS = frozenset({"first_year", "last_year", "event_time", "cohort"})
P_VALUES = frozenset({"p_value", "p_attainable"})
# How outcomes begin or end whose answers are numbers or tests alone: "unbounded" would say of them what they never had.
WITHOUT_INTERVAL = (("probability_", "expected_", "pretrend_"), ("_breakdown", "_turning", "_power"))

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def date(day: dt.date) -> str:
    """The one style of dates, the same in every locale: "December 31, 2022"."""
    return f"{MONTHS[day.month - 1]} {day.day}, {day.year}"


def number(value: float, decimals: int = 1, *, signed: bool = False) -> str:
    """`value` with fixed decimals, a true minus sign, thousands separators, a plus sign on request; never "−0.0"."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{abs(value):,.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return ("−" if value < 0 else "+" if signed else "") + text


def p_value(value: float) -> str:
    """Three decimals, "<0.001" below that, two where no more are known: disclosure control leaves two of some."""
    return "<0.001" if value < 0.001 else f"{value:.{2 if value == round(value, 2) else 3}f}"


def interval(low: float | None, high: float | None, decimals: int = 1, *, signed: bool = False) -> str:
    """ "−4.1 to −0.6"; an open end is named, and an interval without ends is called unbounded."""
    low = None if low is None or math.isinf(low) else low
    high = None if high is None or math.isinf(high) else high
    if low is None and high is None:
        return "unbounded"
    if low is None and high is not None:
        return f"up to {number(high, decimals, signed=signed)}"
    if high is None and low is not None:
        return f"{number(low, decimals, signed=signed)} and above"
    assert low is not None
    assert high is not None
    return f"{number(low, decimals, signed=signed)} to {number(high, decimals, signed=signed)}"


def has_interval(row: Mapping[str, object]) -> bool:
    """Whether answers of this kind come with an interval, bounded or not."""
    outcome, (first, last) = str(row["outcome"]), WITHOUT_INTERVAL
    return row["inference"] not in ("none", "claim") and not outcome.startswith(first) and not outcome.endswith(last)


def unit(row: Mapping[str, object]) -> str:
    """The row's outcome unit in words."""
    return str(row.get("outcome_unit") or "").replace("_", " ")


def say(row: Mapping[str, object], what: str, decimals: int, *, signed: bool) -> str:
    """The words for one part (`what`) of an estimates row that is ok."""
    low, high = _float(row.get("conf_low")), _float(row.get("conf_high"))
    if what == "interval":
        return interval(low, high, decimals, signed=signed)
    if what == "estimate_interval":
        estimate = _float(row.get("estimate"))
        level = round(100 * (_float(row.get("conf_level")) or 0.95))
        head = number(estimate, decimals, signed=signed) if estimate is not None else "no point estimate"
        tail = unit(row)
        return f"{head}{' ' + tail if tail else ''} ({level}% interval {interval(low, high, decimals, signed=signed)})"
    value = row.get(what)
    as_float = _float(value)
    if as_float is None:
        return str(value) if isinstance(value, str) and value else "not available"
    if what in P_VALUES:
        return p_value(as_float)
    if what in YEARS:
        return f"{as_float:.0f}".replace("-", "−")
    return number(as_float, 0 if what in COUNTS else decimals, signed=signed)


def _float(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return float(value)
    return None
