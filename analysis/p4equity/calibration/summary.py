"""A calibration in one row a question and method: at the estimate, in the worst case, with varying effects, and on real data."""

from __future__ import annotations

from typing import Any

import pandas as pd

from p4equity.calibration.settings import ESTIMATE, PLACEBO_DATE, VARYING
from p4equity.estimates import OK

KEYS = ["analysis_id", "measure_id", "inference"]
CLEAR = 3.0  # Monte Carlo errors above alpha from which an excess is no chance: the worst of several settings is looked at
LIBERAL = 1.5  # times alpha: what a robust test may reject at most (Bradley 1978, Br J Math Stat Psychol 31:144)
COLUMNS = (
    *KEYS, "n_clusters", "n_treated_clusters", "at_estimate", "at_estimate_error", "worst", "worst_error", "worst_setting",
    "varying", "varying_error", "varying_setting", "placebo_date", "coverage", "coverage_varying", "bias", "power", "effect",
    "too_often", "status", "reason",
)  # fmt: skip


def calibration_summary(table: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """One row a question and method, in the table's order.

    worst: highest rejection rate over the settings without any effect, so placebo dates (one data set) and varying effects
    (another null) stand apart. coverage: lowest over settings with constant effects; coverage_varying with varying ones. bias:
    the largest in size. too_often: `worst` is above alpha by more than CLEAR Monte Carlo errors and above LIBERAL times alpha,
    for with many draws an excess that matters to nobody is no chance either.
    """
    rows = [_row(part, alpha) for _, part in table.groupby(KEYS, sort=False)] if len(table) else []
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(part: pd.DataFrame, alpha: float) -> dict[str, Any]:
    first = part.iloc[0]
    row = {name: first[name] for name in (*KEYS, "n_clusters", "n_treated_clusters")}
    ok = part[part["status"] == OK]
    simulated = ok[ok["setting"] != PLACEBO_DATE]
    constant, varying = simulated[~simulated["setting"].isin(VARYING)], simulated[simulated["setting"].isin(VARYING)]
    if constant.empty:
        return {**row, "too_often": False, "status": first["status"], "reason": first["reason"]}
    usual, worst = constant[constant["setting"] == ESTIMATE], constant.loc[constant["rejection"].idxmax()]
    error = max(float(worst["rejection_error"]), 1e-12)
    row |= {"worst": worst["rejection"], "worst_error": worst["rejection_error"], "worst_setting": worst["setting"]}
    bias = simulated["bias"].dropna()  # a question without an effect to plant has none
    row |= {"coverage": constant["coverage"].min(), "bias": bias.loc[bias.abs().idxmax()] if len(bias) else None}
    rate = float(worst["rejection"])
    row |= {"too_often": rate > max(alpha + CLEAR * error, LIBERAL * alpha), "status": OK, "reason": first["reason"]}
    if len(usual):
        own = usual.iloc[0]
        row |= {"at_estimate": own["rejection"], "at_estimate_error": own["rejection_error"]}
        row |= {"power": own["power"], "effect": own["effect"]}
    if len(varying):
        most = varying.loc[varying["rejection"].idxmax()]
        row |= {"varying": most["rejection"], "varying_error": most["rejection_error"], "varying_setting": most["setting"]}
        row["coverage_varying"] = varying["coverage"].min()
    date = ok[ok["setting"] == PLACEBO_DATE]
    return {**row, "placebo_date": date["rejection"].iloc[0] if len(date) else None}
