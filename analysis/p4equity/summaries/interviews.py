"""Interviews counted: who was interviewed, what was coded with which valence, and how far two coders agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import pandas as pd

EVERY, OUTSIDE, WITHDRAWN = "all", "outside", "none"
KEY = ["interview_id", "segment"]


def interview_rows(interview: pd.DataFrame, codes: pd.DataFrame | None, arms: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    """Rows of section `interviews`: interviews by arm and role, segments and mean valence by code, agreement of coders.

    Interviews with withdrawn consent count nowhere. A person outside the systems has no system. A segment coded by several
    coders counts once, with the mean of their valences.
    """
    held = interview[interview["consent"] != WITHDRAWN]
    arm = held["system_id"].map(arms).fillna(OUTSIDE)
    groups = [(EVERY, held), *((name, held[arm == name]) for name in ("participating", "comparison", OUTSIDE))]
    for name, rows in groups:
        yield _row("interviews", name, EVERY, len(rows), float(rows["minutes"].mean()) if len(rows) else None, "minutes")
        for role, part in rows.groupby("role", sort=True):
            yield _row("interviews", name, str(role), len(part), float(part["minutes"].mean()), "minutes")
    if codes is None or codes.empty:
        return
    used = codes[codes["interview_id"].isin(held["interview_id"])]
    once = used.groupby([*KEY, "code"], sort=True)["valence"].mean().reset_index()
    for code, part in once.groupby("code", sort=True):
        yield _row("segments", EVERY, str(code), len(part), float(part["valence"].mean()), "mean valence, from -2 to 2")
    yield from _agreement(used)


def _agreement(codes: pd.DataFrame) -> Iterable[dict[str, Any]]:
    """Cohen's kappa of every code over segments that two coders read, and kappa pooled over codes."""
    first, second = double_coded(codes)
    if not len(first):
        return
    names = sorted(codes["code"].unique())
    for j, code in enumerate(names):
        kappa = pooled_kappa(first[:, [j]], second[:, [j]])
        if kappa is not None:
            yield _row("kappa", EVERY, str(code), len(first), kappa, "Cohen's kappa")
    yield _row("kappa", EVERY, EVERY, len(first), pooled_kappa(first, second), "Cohen's kappa, pooled over codes")


def double_coded(codes: pd.DataFrame) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], np.ndarray[Any, np.dtype[np.bool_]]]:
    """Two (n, codes) arrays, code applied or not, one row a segment and pair of coders who both coded in it; codes sorted."""
    names = sorted(codes["code"].unique())
    first, second = [], []
    for _, segment in codes.groupby(KEY, sort=True):
        applied = {coder: np.isin(names, part["code"]) for coder, part in segment.groupby("coder", sort=True)}
        for a, b in combinations(sorted(applied), 2):
            first.append(applied[a])
            second.append(applied[b])
    shape = (len(first), len(names))
    return np.array(first, bool).reshape(shape), np.array(second, bool).reshape(shape)


def pooled_kappa(first: ArrayLike, second: ArrayLike) -> float | None:
    """Cohen's kappa of two coders' binary decisions, (n, codes), pooled over codes; null when chance alone agrees fully.

    Observed and chance agreement are averaged over codes before kappa is formed (De Vries et al. 2008, Field Methods 20:272);
    with one code this is Cohen's (1960) kappa.
    """
    a, b = np.asarray(first, bool), np.asarray(second, bool)
    observed = float((a == b).mean())
    pa, pb = a.mean(axis=0), b.mean(axis=0)
    chance = float((pa * pb + (1 - pa) * (1 - pb)).mean())
    return (observed - chance) / (1 - chance) if chance < 1 else None


def _row(indicator: str, arm: str, item: str, n: int, value: float | None, unit: str) -> dict[str, Any]:
    return {"section": "interviews", "indicator": indicator, "arm": arm, "item": item, "n": int(n), "value": value, "unit": unit}
