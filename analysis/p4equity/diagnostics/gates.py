"""Verdicts: findings against the registered limits, and what a failure governs unless a deviation is logged."""

from __future__ import annotations

from typing import Any

import pandas as pd

from p4equity.diagnostics.findings import GAUGES, Finding, value_completeness
from p4equity.dictionary import load_dictionary
from p4equity.evaluation.context import Context, alone
from p4equity.study import Gate

PASS, FAIL, NOT_EVALUATED = "PASS", "FAIL", "NOT EVALUATED"


def diagnose(context: Context, profile: pd.DataFrame) -> pd.DataFrame:
    """The diagnostics table: one row a gate and measure, with value, limit and verdict."""
    rows = []
    for gate in context.study.gates:
        gauge = GAUGES[gate.id]
        if context.study.data.kind == "value" and gate.id == "completeness":
            gauge = value_completeness
        rows += [_row(context, gate, finding) for finding in gauge(context, profile)]
    names = load_dictionary().tables["diagnostic"].names
    return pd.DataFrame(rows).reindex(columns=list(names))


def _row(context: Context, gate: Gate, finding: Finding) -> dict[str, Any]:
    logged = context.study.deviations
    logged = logged[logged["item_id"] == gate.id]
    status, reason = NOT_EVALUATED, finding.reason
    if finding.value is not None:
        passes = finding.value >= gate.limit if gate.direction == "at_least" else finding.value <= gate.limit
        status = PASS if passes else FAIL
        reason = None if passes else f"{finding.value:.2f} {finding.unit}, limit {gate.limit:g}"
    return {
        "row_id": f"gate.{gate.id}.{finding.measure_id}",
        "gate_id": gate.id,
        "gating": True,
        "question": gate.question,
        "governs": _scope(gate, finding),
        "measure_id": finding.measure_id,
        "group": "all",
        "system_id": "all",
        "finding": finding.value,
        "finding_unit": finding.unit,
        "limit": gate.limit,
        "direction": gate.direction,
        "status": status,
        "reason": reason,
        "deviation_id": logged["deviation_id"].iloc[0] if status == FAIL and len(logged) else None,
    }


def _scope(gate: Gate, finding: Finding) -> str:
    if gate.governs == "measure_alone":
        return alone(finding.measure_id)
    return finding.measure_id if gate.governs == "measure" else gate.governs


def failed_gates(diagnostics: pd.DataFrame) -> dict[str, dict[str, str]]:
    """What failed gates govern: {scope: {gate: reason}}. A logged deviation lets the rows stand."""
    failed = diagnostics[(diagnostics["status"] == FAIL) & diagnostics["deviation_id"].isna()]
    out: dict[str, dict[str, str]] = {}
    for row in failed.to_dict("records"):
        out.setdefault(str(row["governs"]), {})[str(row["gate_id"])] = str(row["reason"])
    return out
