"""Estimates after disclosure control: on few members, or of one system with hidden cells behind them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from p4equity.disclosure.marks import COMPLEMENT, SMALL, Flags, small
from p4equity.estimates import ANSWER, SUPPRESSED
from p4equity.evaluation.baseline_level import LEVELS as BASELINE
from p4equity.evaluation.scale_level import LEVELS
from p4equity.study.vocabulary import ESTIMATORS, MEMBERS_WEIGHTS, OWN_WEIGHTS

COARSE = {"estimate": 1, "std_error": 1, "conf_low": 1, "conf_high": 1, "statistic": 1, "p_value": 2, "df": 1}  # decimals
# Anyone can repeat them from cells: their weights are no secret.
FROM_CELLS = sorted((set(ESTIMATORS) - set(OWN_WEIGHTS)) | set(MEMBERS_WEIGHTS))
LEAST_P = 0.01  # a p that rounds to less says no more than this
ALL = "all"
SIDES = {"gap": "gap", "reference_rate": "reference", "group_rate": "group"}
IDENTITY = ["analysis_id", "measure_id", "group", "event_time", "inference", "interval", "sample", "system_id"]


def protect_estimates(estimates: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """Estimates based on fewer members than the threshold become suppressed."""
    return _emptied(estimates, small(estimates["n_members"].astype("float64"), threshold), SMALL)


def protect_systems(estimates: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Estimates of one system: hidden where exactly one of the cells behind them is, because they would then tell its rate.

    Where two or more are hidden, the ten digits of a number would tell which of the few possible counts they are: such rows are
    given to one decimal. cells: the protected cells of the groups and years that enter estimates, with `status`.
    """
    hidden = cells[cells["status"] == SUPPRESSED].groupby(["system_id", "measure_id"]).size()
    behind = [hidden.get(pair, 0) for pair in zip(estimates["system_id"], estimates["measure_id"], strict=True)]
    out = _emptied(estimates, np.array([n == 1 for n in behind], bool), COMPLEMENT)
    return _coarse(out, np.array([n > 1 for n in behind], bool))


def protect_pooled(estimates: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Regressions over systems with hidden cells behind them, to one decimal; the members of any answer on them, rounded.

    With ten digits a coefficient is an equation in the two hidden cells of a year, of which only the true pair solves it; and the
    exact number of members, beside the totals of the arms, counts those of a cell too small to enter. Other estimators with
    weights of their own (OWN_WEIGHTS), on whatever scale, rest on weights that are not published, unless the plan registers other
    weights for them: then anyone can form the same sums over all groups of a measure, or over measures. cells: the protected
    cells of the study's groups, with `status`.
    """
    hidden = cells[cells["status"] == SUPPRESSED]
    pairs = set(zip(hidden["measure_id"], hidden["group"], strict=True))
    known, touched = set(cells["measure_id"]), set(hidden["measure_id"])
    names = estimates[["measure_id", "group", "reference_group"]].itertuples(index=False, name=None)
    reads = np.array([m in touched if g == ALL else bool({(m, g), (m, r)} & pairs) for m, g, r in names], bool)
    near = np.array([m in touched or (m not in known and bool(touched)) for m in estimates["measure_id"]], bool)
    registered = (estimates["estimator"].isin(OWN_WEIGHTS) & estimates["weighting"].isin(["patient", "system"])).to_numpy(bool)
    summed = estimates["estimator"].isin(FROM_CELLS) | (estimates["analysis_id"] == BASELINE)
    out = _coarse(estimates, (reads & summed.to_numpy(bool)) | (near & registered))
    members = out["n_members"].astype("Float64")
    rounded = members.round(-2).where(members >= 1000, members.round(-1))
    out["n_members"] = members.mask(near, rounded).astype(estimates["n_members"].dtype)
    return out


def protect_levels(estimates: pd.DataFrame, rates: pd.DataFrame) -> pd.DataFrame:
    """Levels of the contracted arm's disparities, which follow from its rates: hidden where one of a measure's is.

    rates: the protected rates of that arm, of the study's groups in the baseline years, with `status`.
    """
    hidden = rates[rates["status"] == SUPPRESSED]
    levels = estimates["analysis_id"].isin([LEVELS]) & estimates["measure_id"].isin(hidden["measure_id"])
    return _emptied(estimates, levels.to_numpy(bool), COMPLEMENT)


def _coarse(estimates: pd.DataFrame, flags: Flags) -> pd.DataFrame:
    """The flagged rows in the few digits of COARSE; a gap remains the difference of its two sides, as the reference follows."""
    out = estimates.copy()
    if flags.any():
        for name, decimals in COARSE.items():
            # First to nine: degrees of freedom can be 8.45 but for rounding, which differs between processors.
            out.loc[flags, name] = pd.to_numeric(out.loc[flags, name]).astype("float64").round(9).round(decimals)
        out.loc[flags, "p_value"] = pd.to_numeric(out.loc[flags, "p_value"]).clip(lower=LEAST_P)
        sides = out[flags & out["outcome"].isin(list(SIDES)).to_numpy()].assign(side=lambda f: f["outcome"].map(SIDES))
        sides = sides.reset_index().pivot_table(
            index=IDENTITY, columns="side", values=["index", "estimate"], dropna=False, observed=True, aggfunc="first"
        )
        whole = sides.dropna() if len(sides) and sides.shape[1] == 6 else sides.iloc[:0]
        if len(whole):
            reference = (whole["estimate"]["gap"] + whole["estimate"]["group"]).astype(float)
            out.loc[whole["index"]["reference"].astype(int), "estimate"] = reference.to_numpy()
    return out


def _emptied(estimates: pd.DataFrame, flags: Flags, reason: str) -> pd.DataFrame:
    out = estimates.copy()
    if flags.any():
        out.loc[flags, [*ANSWER, "n_members", "n_cells"]] = None
        out.loc[flags, "status"], out.loc[flags, "reason"] = SUPPRESSED, reason
    return out
