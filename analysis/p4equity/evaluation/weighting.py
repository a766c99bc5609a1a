"""Answers with registered weights instead of those of precision: each system's cell by its members, or all alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from p4equity.evaluation.context import Context
from p4equity.study import Analysis

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def members_of_cells(
    context: Context,
    variant: tuple[str, str],
    series: Sequence[tuple[str, str]],
    measures: Sequence[str],
    systems: Sequence[str],
) -> Array:
    """(S, M) members of the series' groups in the weights years, of each system and measure."""
    panel = context.panel(variant)
    at = [panel.systems.index(s) for s in systems]
    years = np.isin(panel.years, context.study.baseline.weights_years)
    members = np.zeros((len(at), len(measures)))
    for measure, group in series:
        members[:, measures.index(measure)] += panel.den[at, panel.index(measure, group)][:, years].sum(axis=1)
    return members


def weights_of_cells(
    context: Context,
    analysis: Analysis,
    series: Sequence[tuple[str, str]],
    measures: Sequence[str],
    systems: Sequence[str],
) -> Array:
    """(S, M) registered weights: members for `weighting = "patient"`, ones for "system"."""
    if analysis.weighting == "system":
        return np.ones((len(systems), len(measures)))
    return members_of_cells(context, context.variant(analysis), series, measures, systems)


def fixed_line(weights: Array, contracts: Flags, mask: Flags) -> Array:
    """(S, M) linear weights: the weighted mean of contracted cells less, in each measure, that of comparison cells.

    weights: (S, M). contracts: contracted cells. mask: cells that enter. A measure counts with its share of contracted cells'
    weights on both sides, so that what moves all systems in a measure alike drops out.
    """
    treated, compared = (np.where(mask & side, weights, 0.0) for side in (contracts, np.logical_not(contracts)))
    share = treated.sum(axis=0) / treated.sum()
    total = compared.sum(axis=0)
    return np.asarray(treated / treated.sum() - np.divide(compared, total, out=np.zeros_like(compared), where=total > 0) * share)
