"""Treated and comparison units as the data assign them, and why an arm has none left."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from p4equity.errors import StudyError
from p4equity.estimators.base import Array, Dropped, Request
from p4equity.estimators.values import Labels

LISTED = 3  # reasons named in a message
UNSAID = "no data that could serve"
NOT_AFTER = "no period from its first treated period on"
ROWS_LEFT = re.compile(r" in \d+ rows?$")


@dataclass(frozen=True)
class Assigned:
    """Units of all rows given, those left out among them: treated within the data, never, or from after the data on."""

    treated: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()


def assigned(unit: Labels, cohort: Array, last: float) -> Assigned:
    """The arms of units by the first treated period in their rows. last: from it on a start lies after the data."""
    at, units = pd.factorize(unit)  # -1: no unit
    start = np.full(len(units), np.nan)
    np.fmin.at(start, at[at >= 0], cohort[at >= 0])
    return Assigned(*(frozenset(units[flag]) for flag in (start <= last, np.isnan(start), start > last)))


def require_arms(
    treated: int, comparison: int, request: Request, arms: Assigned, dropped: Sequence[Dropped] = (), later: int = 0
) -> None:
    """Raise StudyError when no treated or no comparison unit is left, with what left it out.

    arms: units as the data assign them. dropped: units left out, in the order in which they were. later: units treated after
    the first cohort, which comparison='not_yet' would use.
    """
    if treated and comparison:
        return
    arm = "comparison" if treated else "treated"
    units = arms.never | arms.after if treated else arms.treated
    fix = "see that these units have data before and after treatment, or another unit does"
    if units:
        cause = f"{_units(len(units))} in the data, left out: {_reasons(units, dropped)}"
    elif arm == "treated" and arms.after:
        cause = f"the first treated period of {_units(len(arms.after))} lies after the data"
        fix = "check the cohort column and the periods of the data"
    else:
        column = f"column '{request.cohort}'"
        every = f"{column} holds a first treated period for every unit"
        cause = every if treated else f"{column} holds no first treated period"
        fix = "check the cohort column: null means never treated"
    if treated and request.comparison == "never" and later and request.estimator != "meta_regression":
        fix += f"; comparison='not_yet' compares with {later} units treated later"
    raise StudyError(
        f"no {arm} unit left: {cause}",
        where="fit",
        expected=f"at least one {arm} unit with data before and after",
        found="none",
        fix=fix,
    )


def _units(n: int) -> str:
    return "1 unit" if n == 1 else f"{n} units"


def _reasons(units: frozenset[str], dropped: Sequence[Dropped]) -> str:
    """What left these units out, the most frequent first: "2 for one period only, 1 for missing value"."""
    of: dict[str, list[str]] = {u: [] for u in sorted(units)}
    for d in dropped:
        reason = ROWS_LEFT.sub("", d.reason)
        if d.unit in of and reason not in of[d.unit]:
            of[d.unit].append(reason)
    counts = Counter(", then ".join(reasons) or UNSAID for reasons in of.values())
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    parts = [f"{n} for {text}" for text, n in ordered[:LISTED]] if len(ordered) > 1 else [text for text, _ in ordered]
    more = sum(n for _, n in ordered[LISTED:])
    return ", ".join(parts) + (f" and {more} for other reasons" if more else "")
