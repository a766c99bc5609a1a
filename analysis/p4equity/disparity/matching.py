"""Systems with a counterpart: those of each arm whose baseline gap lies near one of the other arm."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.panel import Array, Panel


def baseline_gaps(panel: Panel, measure: str, groups: Sequence[str], reference: str, years: Collection[int]) -> Array:
    """(S,) mean of the yearly gaps (reference less the mean of the groups, shares); NaN where a group or year has no member."""
    at = np.isin(panel.years, list(years))
    rate = panel.rate[:, :, at]
    behind = np.mean([rate[:, panel.index(measure, g)] for g in groups], axis=0)
    return np.asarray((rate[:, panel.index(measure, reference)] - behind).mean(axis=1))


def with_counterpart(gaps: Array, treated: NDArray[np.bool_], comparison: NDArray[np.bool_], caliper: float) -> NDArray[np.bool_]:
    """(S,) systems of either arm with one of the other arm at most `caliper` away. gaps: (S,), in the caliper's unit."""
    near = np.abs(gaps[:, None] - gaps[None, :]) <= caliper  # never where a gap is NaN
    return np.asarray((treated & (near & comparison).any(axis=1)) | (comparison & (near & treated).any(axis=1)))


def without(panel: Panel, measure: str, systems: NDArray[np.bool_]) -> Panel:
    """The panel with no members of these systems (S,) in one measure."""
    own = np.array([m == measure for m, _ in panel.series])
    gone = systems[:, None, None] & own[None, :, None]
    at = np.zeros(len(panel.measures) * len(panel.years), bool)
    at[panel.at(measure)] = True
    lost = systems[:, None, None] & (at[:, None] | at[None, :])
    den, num = (np.where(gone, 0.0, x) for x in (panel.den, panel.num))
    return replace(panel, den=den, num=num, overlap={g: np.where(lost, 0.0, x) for g, x in panel.overlap.items()})
