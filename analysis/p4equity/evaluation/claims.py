"""Claims: a question is answered yes only when both primary inferences reject, in the registered order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from p4equity.evaluation.context import Context

CLAIM = "claim"


def claim_rows(context: Context, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a primary question: p is the larger of the primary inferences' p values, adjusted by the registered hierarchy.

    Gatekept: the pooled claim at its own level; measures by Holm, and never below the pooled p; groups by Holm within a measure,
    and never below their measure's adjusted p. A row is not estimable when one of the primary inferences is.
    """
    primary = set(context.study.inference.primary)
    if len(primary) < 2:
        return []
    found: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["outcome"] == "gap" and row["inference"] in primary and row["sample"] != "raw":
            found.setdefault((row["analysis_id"], row["measure_id"], row["group"]), []).append(row)
    both = {key: group for key, group in found.items() if {r["inference"] for r in group} == primary}
    raw = {key: max((r.get("p_value") or 0.0) if r["status"] == "ok" else np.nan for r in group) for key, group in both.items()}
    pooled = next((p for key, p in raw.items() if key[1] == "pooled" and np.isfinite(p)), 0.0)
    first = next((key[0] for key in raw if key[1] != "pooled" and key[2] == "pooled"), "")  # the analysis that gates groups
    adjusted: dict[tuple[str, str, str], float] = {}
    for level in ("pooled", "measure", "group"):
        for family in _families(raw, level):
            floor = 0.0 if level == "pooled" else pooled
            if level == "group":
                measure = family[0][1]
                floor = max([floor, *(p for key, p in adjusted.items() if key == (first, measure, "pooled"))])
            for key, p in zip(family, _holm([raw[k] for k in family]), strict=True):
                adjusted[key] = max(p, floor)
    return [_claim(both[key], adjusted.get(key, np.nan)) for key in both]


def _families(raw: dict[tuple[str, str, str], float], level: str) -> list[list[tuple[str, str, str]]]:
    """Keys that are adjusted together: pooled alone; measures of one analysis; groups of one analysis and measure."""
    kept = [k for k, p in raw.items() if np.isfinite(p)]
    if level == "pooled":
        return [[k] for k in kept if k[1] == "pooled"]
    chosen = [k for k in kept if k[1] != "pooled" and (k[2] == "pooled") == (level == "measure")]
    families: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for key in chosen:
        families.setdefault((key[0], "" if level == "measure" else key[1]), []).append(key)
    return list(families.values())


def _holm(p: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjusted p values."""
    from p4equity.inference.multiplicity import holm

    return [float(value) for value in holm(np.asarray(p, float))]


def _claim(group: Sequence[dict[str, Any]], p: float) -> dict[str, Any]:
    first = next((r for r in group if r["inference"] == "knapp_hartung"), group[0])
    failed = next((r for r in group if r["status"] != "ok"), None)
    empty = dict.fromkeys(("std_error", "statistic", "conf_low", "conf_high", "df"))
    attainable = max((r.get("p_attainable") or 0.0 for r in group), default=0.0)
    row = {**first, **empty, "inference": CLAIM, "p_value": p, "p_attainable": attainable or None}
    if failed is not None:
        return {**row, "status": "not_estimable", "reason": f"{failed['inference']}: {failed['reason']}"}
    return {**row, "reason": "larger p of both primary inferences, adjusted by the registered hierarchy"}
