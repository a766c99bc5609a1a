"""Changes in rates and gaps from baseline to contract years, with their sampling covariance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

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

    def of_measure(self, measure: str) -> Changes:
        """The changes of one measure's series."""
        at = [j for j, (m, _) in enumerate(self.series) if m == measure]
        square = np.ix_(range(len(self.systems)), at, at)
        return replace(
            self,
            series=tuple(self.series[j] for j in at),
            gap=self.gap[:, at],
            reference=self.reference[:, at],
            group=self.group[:, at],
            gap_covariance=self.gap_covariance[square],
            reference_covariance=self.reference_covariance[square],
            group_covariance=self.group_covariance[square],
            contrasts=self.contrasts[:, at],
            dropped=tuple(d for d in self.dropped if d[1] == measure),
        )


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
    sides = [centred_change(side, contrasts, compared) for side in (ref_rate, grp_rate)]
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


def centred_change(rate: Array, contrasts: Array, compared: NDArray[np.bool_]) -> Array:
    """(S, J) changes of `rate` (S, J, T) minus the comparison systems' mean yearly rates under the same contrast.

    A comparison system counts in the years that enter its own change, so that no year below the minimum denominator does.
    """
    enters = compared[:, None, None] & (np.nan_to_num(contrasts) != 0)
    count = enters.sum(axis=0)
    year_mean = np.divide(np.where(enters, rate, 0.0).sum(axis=0), count, out=np.full(rate.shape[1:], np.nan), where=count > 0)
    used = np.where(contrasts == 0, 0.0, rate - year_mean[None])
    return np.asarray((contrasts * used).sum(axis=2))


def _change_covariances(
    panel: Panel, series: Sequence[tuple[str, str]], reference: str, contrasts: Array
) -> tuple[Array, Array, Array]:
    """Sampling covariances of the changes in gap, reference and group. Groups of classes share no members with each other."""
    S, J, _ = contrasts.shape
    c = np.nan_to_num(contrasts)
    ref, grp = np.zeros((S, J, J)), np.zeros((S, J, J))
    for s in range(S):
        for j, (m1, g1) in enumerate(series):
            for k, (m2, g2) in enumerate(series[: j + 1]):
                ref[s, j, k] = ref[s, k, j] = c[s, j] @ rate_covariance(panel, s, reference, m1, m2) @ c[s, k]
                if g1 == g2:
                    grp[s, j, k] = grp[s, k, j] = c[s, j] @ rate_covariance(panel, s, g1, m1, m2) @ c[s, k]
    apart, across = _shared_covariances(panel, series, reference, c)
    return ref + grp + apart - across, ref, grp + apart


def _shared_covariances(panel: Panel, series: Sequence[tuple[str, str]], reference: str, c: Array) -> tuple[Array, Array]:
    """What panels whose groups share members add: covariances of different groups, and of each side with the other."""
    S, J, _ = c.shape
    apart, across = np.zeros((S, J, J)), np.zeros((S, J, J))
    for j, (m1, g1) in enumerate(series):
        for k, (m2, g2) in enumerate(series):
            groups = panel.between(g1, g2, m1, m2) if g1 != g2 else None
            if groups is not None:
                apart[:, j, k] = np.einsum("st,stu,su->s", c[:, j], groups, c[:, k])
            sides = panel.between(reference, g2, m1, m2)
            if sides is not None:
                found = np.einsum("st,stu,su->s", c[:, j], sides, c[:, k])
                across[:, j, k] += found
                across[:, k, j] += found
    return apart, across


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
    lines = np.nan_to_num(contrasts)
    for j, first in enumerate(measures):
        for k, second in enumerate(measures[: j + 1]):
            for s in range(S):
                covariance[s, j, k] = covariance[s, k, j] = (
                    lines[s, j] @ rate_covariance(panel, s, ALL, first, second) @ lines[s, k]
                )
    change = centred_change(rate, contrasts, np.isin(panel.systems, list(comparison)))
    empty = np.full_like(change, np.nan)
    series = tuple((m, ALL) for m in measures)
    none = np.zeros_like(covariance)
    return Changes(panel.systems, series, change, empty, empty, covariance, none, none, contrasts, tuple(dropped))


def mean_contrasts(changes: Changes, weights: Mapping[int, float], measures: Sequence[str]) -> Array:
    """(S, M, T) weights of the years in each system's change of a measure: the mean over its series by registered weights."""
    member = np.array([[m == measure for m, _ in changes.series] for measure in measures], float)
    share = member.reshape(len(measures), -1) * np.array([weights[j] for j in range(len(changes.series))])
    return np.asarray(np.einsum("mj,sjt->smt", share / share.sum(axis=1, keepdims=True), np.nan_to_num(changes.contrasts)))


def used_cells(changes: Changes, panel: Panel, system: str, sides: Sequence[str]) -> tuple[float, int, set[int]]:
    """Members and cells behind one system's changes, and their years: the years that enter them, each group counted once.

    sides: reference groups that enter every series beside its own group.
    """
    s, years = panel.systems.index(system), np.asarray(panel.years)
    cells: set[tuple[str, str, int]] = set()
    for j, (measure, group) in enumerate(changes.series):
        entering = np.nan_to_num(changes.contrasts[s, j]) != 0
        cells |= {(measure, g, int(t)) for g in (group, *sides) for t in years[entering]}
    members = sum(float(panel.den[s, panel.index(m, g), panel.years.index(t)]) for m, g, t in cells)
    return members, len(cells), {t for _, _, t in cells}


def combine(changes: Changes, weights: Mapping[int, float], side: str) -> tuple[Array, Array]:
    """Weighted mean over several series of each system's change: values (S,), variances (S,); NaN and 0 where one is missing.

    weights: position of a series -> registered weight. A system must have all series: a mean over those it happens to have would
    compare different groups. side: gap, reference, group.
    """
    values: Array = getattr(changes, side)
    covariance: Array = getattr(changes, f"{side}_covariance")
    index = np.array(sorted(weights))
    w = np.array([weights[i] for i in index])
    have = np.isfinite(values[:, index]).all(axis=1) & (w.sum() > 0)
    share = have[:, None] * (w / w.sum() if w.sum() > 0 else w)
    mean = np.where(have, (share * np.nan_to_num(values[:, index])).sum(axis=1), np.nan)
    block = covariance[:, index[:, None], index[None, :]]
    return mean, np.einsum("sj,sjk,sk->s", share, block, share)
