"""Changes in rates and gaps from baseline to contract years, with their sampling covariance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.panel import ALL, Array, Panel, rate_covariance


def contrast(years: Sequence[int], pre: Iterable[int], post: Iterable[int], usable: NDArray[np.bool_]) -> Array | None:
    """(T,) weights of mean(post) - mean(pre) over the usable years; None when no pre- or no post-year is usable."""
    position = np.asarray(years)
    before = np.isin(position, list(pre)) & usable
    after = np.isin(position, list(post)) & usable
    if not before.any() or not after.any():
        return None
    weights: Array = after / after.sum() - before / before.sum()
    return weights


@dataclass(frozen=True)
class Changes:
    """Changes of S systems in the gap of J series (measure and group against the reference), and their two sides.

    gap, reference, group: (S, J), NaN where there is none; gap = reference - group. Each is centred on the mean change of the
    comparison systems over the same years, so that a system with fewer years is compared with those years.
    gap_covariance, reference_covariance, group_covariance: (S, J, J) sampling covariances. contrasts: (S, J, T).
    dropped: system, measure, group and reason of each change that could not be formed.
    """

    systems: tuple[str, ...]
    series: tuple[tuple[str, str], ...]
    gap: Array
    reference: Array
    group: Array
    gap_covariance: Array
    reference_covariance: Array
    group_covariance: Array
    contrasts: Array
    dropped: tuple[tuple[str, str, str, str], ...]


def gap_changes(
    panel: Panel,
    series: Sequence[tuple[str, str]],
    reference: str,
    windows: Mapping[str, tuple[Sequence[int], Sequence[int]]],
    comparison: Sequence[str],
    minimum: float,
) -> Changes:
    """Change of every system's gap from its pre- to its post-years.

    windows: pre-years and post-years of each system. comparison: systems whose mean change centres the series.
    minimum: smallest denominator of reference and group for a year to count. Units: those of the rate (a share, or USD).
    """
    S, J, T = len(panel.systems), len(series), len(panel.years)
    contrasts = np.full((S, J, T), np.nan)
    dropped: list[tuple[str, str, str, str]] = []
    rate = panel.rate
    ref_rate, grp_rate = np.zeros((S, J, T)), np.zeros((S, J, T))
    for j, (measure, group) in enumerate(series):
        r, g = panel.index(measure, reference), panel.index(measure, group)
        ref_rate[:, j], grp_rate[:, j] = rate[:, r], rate[:, g]
        enough = (panel.den[:, r] >= max(minimum, 1)) & (panel.den[:, g] >= max(minimum, 1))
        for s, system in enumerate(panel.systems):
            pre, post = windows[system]
            weights = contrast(panel.years, pre, post, enough[s])
            if weights is None:
                dropped.append((system, measure, group, "no baseline or no contract year reaches the minimum denominator"))
            else:
                contrasts[s, j] = weights
    compared = np.isin(panel.systems, list(comparison))
    sides = [_centred_change(side, contrasts, compared) for side in (ref_rate, grp_rate)]
    covariances = _change_covariances(panel, series, reference, contrasts)
    gap = sides[0] - sides[1]
    return Changes(
        panel.systems,
        tuple(series),
        gap,
        sides[0],
        sides[1],
        covariances[0],
        covariances[1],
        covariances[2],
        contrasts,
        tuple(dropped),
    )


def _centred_change(rate: Array, contrasts: Array, compared: NDArray[np.bool_]) -> Array:
    """(S, J) changes of `rate` (S, J, T) minus the comparison systems' mean yearly rates under the same contrast."""
    complete = compared[:, None] & np.isfinite(contrasts).all(axis=2)
    masked = np.where(complete[:, :, None], rate, np.nan)
    with np.errstate(invalid="ignore"):
        count = np.isfinite(masked).sum(axis=0)
        year_mean = np.divide(np.nansum(masked, axis=0), count, out=np.zeros(rate.shape[1:]), where=count > 0)
    used = np.where(contrasts == 0, 0.0, rate - year_mean[None])
    return np.asarray((contrasts * used).sum(axis=2))


def _change_covariances(
    panel: Panel, series: Sequence[tuple[str, str]], reference: str, contrasts: Array
) -> tuple[Array, Array, Array]:
    """Sampling covariances of the changes in gap, reference and group; groups share no members with each other."""
    S, J, _ = contrasts.shape
    c = np.nan_to_num(contrasts)
    ref, grp = np.zeros((S, J, J)), np.zeros((S, J, J))
    for s in range(S):
        for j, (m1, g1) in enumerate(series):
            for k, (m2, g2) in enumerate(series[: j + 1]):
                ref[s, j, k] = ref[s, k, j] = c[s, j] @ rate_covariance(panel, s, reference, m1, m2) @ c[s, k]
                if g1 == g2:
                    grp[s, j, k] = grp[s, k, j] = c[s, j] @ rate_covariance(panel, s, g1, m1, m2) @ c[s, k]
    return ref + grp, ref, grp


def rate_changes(
    panel: Panel,
    measures: Sequence[str],
    windows: Mapping[str, tuple[Sequence[int], Sequence[int]]],
    comparison: Sequence[str],
    minimum: float,
) -> Changes:
    """Change of every system's overall rate (all members); `gap` holds the change, `reference` and `group` are empty.

    For guardrails and outcomes without a gap; units and centring as in `gap_changes`.
    """
    S, J, T = len(panel.systems), len(measures), len(panel.years)
    contrasts, rate = np.full((S, J, T), np.nan), np.zeros((S, J, T))
    dropped: list[tuple[str, str, str, str]] = []
    covariance = np.zeros((S, J, J))
    for j, measure in enumerate(measures):
        column = panel.index(measure, ALL)
        rate[:, j] = panel.rate[:, column]
        for s, system in enumerate(panel.systems):
            weights = contrast(panel.years, *windows[system], panel.den[s, column] >= max(minimum, 1))
            if weights is None:
                dropped.append((system, measure, ALL, "no baseline or no contract year reaches the minimum denominator"))
                continue
            contrasts[s, j] = weights
            covariance[s, j, j] = weights @ rate_covariance(panel, s, ALL, measure, measure) @ weights
    change = _centred_change(rate, contrasts, np.isin(panel.systems, list(comparison)))
    empty = np.full_like(change, np.nan)
    series = tuple((m, ALL) for m in measures)
    none = np.zeros_like(covariance)
    return Changes(panel.systems, series, change, empty, empty, covariance, none, none, contrasts, tuple(dropped))


def combine(changes: Changes, weights: Mapping[int, float], side: str) -> tuple[Array, Array]:
    """Weighted mean over several series of each system's change: values (S,), variances (S,).

    weights: position of a series -> registered weight; renormalized over the series a system has. side: gap, reference, group.
    """
    values: Array = getattr(changes, side)
    covariance: Array = getattr(changes, f"{side}_covariance")
    index = np.array(sorted(weights))
    w = np.array([weights[i] for i in index])
    have = np.isfinite(values[:, index])
    total = (have * w).sum(axis=1)
    share = np.divide(have * w, total[:, None], out=np.zeros(have.shape), where=total[:, None] > 0)
    mean = np.where(total > 0, (share * np.nan_to_num(values[:, index])).sum(axis=1), np.nan)
    block = covariance[:, index[:, None], index[None, :]]
    return mean, np.einsum("sj,sjk,sk->s", share, block, share)
