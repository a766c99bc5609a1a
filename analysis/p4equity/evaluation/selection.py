"""Selection and regression to the mean: how far gaps narrow because measures were chosen by a noisy baseline, and without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from p4equity.errors import P4Error
from p4equity.evaluation.context import Context, base_row, failed_rows
from p4equity.evaluation.selection_cells import SelectionCells, selection_cells
from p4equity.evaluation.two_stage import NO_VARIATION, fit_columns
from p4equity.inference.averaged_t import AveragedFit, averaged_t, stacked_averaged_t
from p4equity.inference.stacked import Stacked
from p4equity.study import Analysis

POOLED = "pooled"
LEAST_KNOWN = 0.5  # of the weight of contracted cells: below it an expectation would speak for the others
EXPECTED, REPLAYED = "expected_spurious_change", "replayed_spurious_change"
AGAINST, SHRUNKEN = "gap_selected_against_selected", "gap_shrunken_baseline"
ESTIMANDS = {
    EXPECTED: "change of the gap expected from the selection rule alone",
    REPLAYED: "change beyond others of comparison cells that the selection rule would have picked",
    AGAINST: "average effect on contracted systems, against comparison cells picked by the same rule",
    SHRUNKEN: "average effect on contracted systems, baseline gaps drawn toward the mean for their reliability",
}


def numbers_of_rows(context: Context, analysis: Analysis) -> dict[str, int]:
    """Four answers a measure and over all of them; each contracted cell's expected change is counted with its measure's."""
    return dict.fromkeys((*context.study.measure_ids(analysis.measures), POOLED), len(ESTIMANDS))


def rows(context: Context, analysis: Analysis, measure: str) -> list[dict[str, Any]]:
    """Expected and replayed spurious change, and the estimates free of it, of one measure or (`POOLED`) of all."""
    try:
        cells = context.once(("selection", analysis.id), lambda: selection_cells(context, analysis))
        if measure != POOLED and measure not in cells.measures:
            return _failed(context, analysis, measure, "no group has a baseline gap above zero")
        return _answers(context, analysis, measure, cells)
    except (P4Error, np.linalg.LinAlgError) as error:
        return _failed(context, analysis, measure, error.problem if isinstance(error, P4Error) else "too few systems")


def _answers(context: Context, analysis: Analysis, measure: str, cells: SelectionCells) -> list[dict[str, Any]]:
    plan = context.study.inference
    contracted = cells.columns(context.study.measure_ids(analysis.measures) if measure == POOLED else (measure,))
    primary, mask = _fit(cells.part(contracted), plan.conf_level)
    weights = np.zeros_like(cells.changes)
    weights[:, contracted] = np.where(mask, primary.weights, 0.0)
    treated = cells.contracts & (weights != 0)
    common = base_row(
        context, analysis, measure_id=measure, group="pooled", reference_group=context.study.groups.reference,
        outcome_unit="percentage points", n_clusters=int((weights != 0).any(axis=1).sum()),
        n_treated_clusters=int(treated.any(axis=1).sum()),
    )  # fmt: skip
    found = [_expected(common, cells, np.where(treated, weights, 0.0))]
    replayed, error = cells.replayed(np.where(treated, weights, 0.0))
    if np.isfinite(replayed):
        # The replay's weights on comparison cells sum to zero within a measure, so that the two errors are independent.
        wide = (primary.conf_high - primary.conf_low) / 2 / primary.std_error if primary.std_error > NO_VARIATION else np.nan
        found.append(_row(common, REPLAYED, "sampling", replayed, error, wide * error))
        both = float(np.hypot(primary.std_error, error))
        found.append(_row(common, AGAINST, "averaged_t", primary.estimate - replayed, both, wide * both))
    else:
        reason = "the rule would pick no comparison cell with a change"
        found += [_none(common, name, method, reason) for name, method in ((REPLAYED, "sampling"), (AGAINST, "averaged_t"))]
    shrunken, _ = _fit(cells.shrunken(contracted), plan.conf_level)
    found.append({**common, **_named(SHRUNKEN, "averaged_t"), **fit_columns(shrunken, "averaged_t")})
    return found + ([] if measure == POOLED else _by_system(common, cells, contracted[0]))


def _fit(data: Stacked, conf_level: float) -> tuple[AveragedFit, np.ndarray[Any, Any]]:
    """The primary answer to these changes, its weights (S, columns), and which cells it uses."""
    mask = data.included(data.contracts)
    if data.y.shape[1] > 1:
        return stacked_averaged_t(data, conf_level), mask
    used = mask[:, 0]
    fit = averaged_t(data.y[used, 0], data.contracts[used, 0], data.covariance[used, 0, 0], conf_level=conf_level)
    weights = np.zeros(mask.shape)
    weights[used, 0] = fit.weights
    return replace(fit, weights=weights), mask


def _expected(common: dict[str, Any], cells: SelectionCells, weights: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Expected spurious change under the weights of the estimate it stands beside, over the cells where it is known."""
    used = weights != 0
    known = used & np.isfinite(cells.expected)
    share = weights[known].sum() / weights[used].sum() if known.any() else 0.0
    if share < LEAST_KNOWN:
        return _none(common, EXPECTED, "sampling", "too few contracted cells have a gap of the selection years to be picked by")
    value = float((weights[known] * cells.expected[known]).sum() / weights[known].sum()) * float(weights[used].sum())
    row = {**common, **_named(EXPECTED, "sampling"), "estimate": value}
    if known.sum() < used.sum():
        row["reason"] = f"over {int(known.sum())} of {int(used.sum())} contracted cells; the others are too small for the rule"
    return row


def _by_system(common: dict[str, Any], cells: SelectionCells, column: int) -> list[dict[str, Any]]:
    """Expected spurious change of each contracted cell of a measure."""
    out = []
    for s in np.flatnonzero(cells.contracts[:, column]):
        row = {**common, "system_id": cells.systems[s], "n_treated_clusters": 1}
        value, often = cells.expected[s, column], cells.often[s, column]
        if np.isfinite(value):
            reason = f"the rule picks {cells.picks[s]} of {cells.candidates[s]} measures, this one in {100 * often:.0f}% of draws"
            out.append({**row, **_named(EXPECTED, "sampling"), "estimate": float(value), "reason": reason})
        else:
            out.append(_none(row, EXPECTED, "sampling", "no gap of the selection years to pick it by, or hardly ever picked"))
    return out


def _row(common: dict[str, Any], name: str, method: str, value: float, error: float, half: float) -> dict[str, Any]:
    row = {**common, **_named(name, method), "estimate": value, "std_error": error}
    return row | ({"conf_low": value - half, "conf_high": value + half} if np.isfinite(half) else {})


def _named(name: str, method: str) -> dict[str, Any]:
    return {"outcome": name, "estimand": ESTIMANDS[name], "inference": method}


def _none(common: dict[str, Any], name: str, method: str, reason: str) -> dict[str, Any]:
    return {**common, **_named(name, method), "status": "not_estimable", "reason": reason}


def _failed(context: Context, analysis: Analysis, measure: str, reason: str) -> list[dict[str, Any]]:
    return [
        row for name, words in ESTIMANDS.items()
        for row in failed_rows(context, analysis, reason, measure_id=measure, outcome=name, estimand=words, group="pooled")
    ]  # fmt: skip
