"""Members whose group is known to the simulation alone: probabilities from noisy signs of it, results over years."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from p4equity.disparity.imputation_model import NOT_REPORTED, Histories
from scipy import stats

Array = NDArray[np.float64]
GROUPS = 5
SHARES = np.array([0.70, 0.08, 0.09, 0.08, 0.05])
SIZES = (9000, 7000, 5000, 4000, 3000, 2500, 2000, 1500, 1200, 1000)
TREATED = 5
RATES = np.array([0.75, 0.65, 0.68, 0.76, 0.70])
EFFECT = 0.04  # gain of the three compared groups in contracted systems
REPORTED = 0.3
SIGN = 2.0  # standard deviations by which a sign of one's own group stands out
BANDS = (0.55, 0.75, 0.9, 0.98)


@dataclass(frozen=True)
class Made:
    """histories: what an evaluation sees. truth, weighted: (S, K, 4) totals by true group, and by probabilities as weights."""

    histories: Histories
    truth: Array
    weighted: Array


def made(rng: np.random.Generator, context: float) -> Made:
    """Members of ten systems. context: share of a result that follows what p predicts, instead of the member's own group."""
    system = np.repeat(np.arange(len(SIZES)), SIZES)
    n = len(system)
    group = rng.choice(GROUPS, n, p=SHARES)
    signs = rng.normal(size=(n, GROUPS)) + SIGN * np.eye(GROUPS)[group]
    p = SHARES * np.exp(SIGN * signs)
    p /= p.sum(axis=1, keepdims=True)
    before = RATES + rng.normal(0, 0.01, (len(SIZES), GROUPS))
    after = before - 0.02 + rng.normal(0, 0.005, (len(SIZES), GROUPS))
    after[:TREATED, 1:4] += EFFECT
    results = _results(rng, [_chance(r, system, group, p, context) for r in (before, after)])
    reported = np.where(rng.random(n) < REPORTED, group, NOT_REPORTED)
    truth, weighted = (np.zeros((len(SIZES), GROUPS, 4)) for _ in range(2))
    np.add.at(truth, (system, group), results)
    for k in range(GROUPS):
        np.add.at(weighted[:, k], system, p[:, [k]] * results)
    return Made(_counted(system, reported, p, results), truth, weighted)


def _chance(rates: Array, system: Array, group: Array, p: Array, context: float) -> Array:
    return np.asarray((1 - context) * rates[system, group] + context * np.einsum("nk,nk->n", p, rates[system]))


def _results(rng: np.random.Generator, chances: list[Array]) -> Array:
    """Three years before and after of members who come and go, and whose results are alike from year to year."""
    n = len(chances[0])
    own, come, go = rng.normal(size=n), rng.integers(0, 5, n), rng.integers(2, 7, n)
    out = []
    for start, chance in zip((0, 3), chances, strict=True):
        years = np.arange(start, start + 3)
        there = (years >= come[:, None]) & (years < go[:, None])
        met = stats.norm.cdf(np.sqrt(0.5) * (own[:, None] + rng.normal(size=(n, 3)))) < chance[:, None]
        out += [there.sum(axis=1), (there & met).sum(axis=1)]
    return np.column_stack(out).astype(float)


def _counted(system: Array, reported: Array, p: Array, results: Array) -> Histories:
    """Members with the same values counted together, probabilities as the means of their bins."""
    order = np.argsort(-p, axis=1)
    band = np.digitize(p.max(axis=1), BANDS)
    bins = order[:, 0] * 100 + np.where(band == len(BANDS), order[:, 0], order[:, 1]) * 10 + band
    known, at, size = np.unique(bins, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(at, p[:, k], len(known)) for k in range(GROUPS)], axis=1) / size[:, None]
    rows, first, members = np.unique(
        np.column_stack([system, reported, bins, results]), axis=0, return_index=True, return_counts=True
    )
    contracted = np.arange(len(SIZES)) < TREATED
    return Histories(
        rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64), means[at[first]], rows[:, 3:], members.astype(float), contracted
    )  # fmt: skip


def change_of_gaps(totals: Array, systems: slice) -> Array:
    """(..., 3) change of the gap of each compared group over some systems added up, in points."""
    whole = totals[..., systems, :, :].sum(axis=-3)
    rates = whole[..., 1::2] / whole[..., ::2]
    change = rates[..., 1] - rates[..., 0]
    return np.asarray(100 * (change[..., :1] - change[..., 1:4]))


def gaps_before(totals: Array) -> Array:
    """(..., 3) gaps before, all systems, in points."""
    whole = totals.sum(axis=-3)
    rates = whole[..., 1] / whole[..., 0]
    return np.asarray(100 * (rates[..., :1] - rates[..., 1:4]))
