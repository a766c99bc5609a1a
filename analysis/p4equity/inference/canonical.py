"""An order of units that follows from their data: draws made in it depend neither on names nor on the order of rows."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
DIGITS = 9


def order_of_units(values: Array, strata: Codes | None = None) -> Codes:
    """(n,) positions of units in the order of their stratum, and within it of their values (n, k), NaN last.

    Units of equal values are exchangeable: whichever comes first, what is drawn for them is the same.
    """
    rows = [tuple(row) for row in _rounded(values).tolist()]
    return _ordered(_ranks(rows), strata)


def order_of_holders(values: Array, unit: Codes, holder: Codes, strata: Codes | None = None) -> Codes:
    """The same of holders (clusters) of units with several rows each; values: (N, k) of rows, unit and holder: (N,) codes.

    A unit is the set of its rows, a holder the set of its units, a stratum the set of its holders.
    """
    units = _ranks(_members([tuple(row) for row in _rounded(values).tolist()], unit))
    first = np.unique(unit, return_index=True)[1]
    return _ordered(_ranks(_members(units, holder[first])), strata)


def _rounded(values: Array) -> Array:
    """Values to DIGITS of the largest of their column, NaN as infinity: what differs by rounding alone is equal everywhere."""
    known = np.where(np.isfinite(values), values, 0.0)
    largest = np.abs(known).max(axis=0, initial=0.0)
    unit = np.where(largest > 0, largest, 1.0)
    return np.asarray(
        np.where(np.isnan(values), np.inf, np.where(np.isfinite(values), np.round(known / unit, DIGITS) * unit, values))
    )


def _members(items: Sequence[Any], owner: Codes) -> list[tuple[Any, ...]]:
    """The sorted items of each owner, in the order of the owners' codes."""
    out: dict[int, list[Any]] = {int(code): [] for code in np.unique(owner)}
    for item, code in zip(items, owner.tolist(), strict=True):
        out[code].append(item)
    return [tuple(sorted(found)) for found in out.values()]


def _ranks(keys: Sequence[Hashable]) -> list[int]:
    """Place of each key among the distinct ones."""
    place = {key: i for i, key in enumerate(sorted(set(keys)))}  # type: ignore[type-var]
    return [place[key] for key in keys]


def _ordered(ranks: list[int], strata: Codes | None) -> Codes:
    """Positions by stratum and rank; strata are in the order of what they hold, sizes first."""
    if strata is None:
        return np.argsort(ranks, kind="stable")
    held = _members(ranks, strata)
    place = dict(zip(np.unique(strata).tolist(), _ranks([(len(h), *h) for h in held]), strict=True))
    keys = [(place[s], s, rank) for s, rank in zip(strata.tolist(), ranks, strict=True)]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
