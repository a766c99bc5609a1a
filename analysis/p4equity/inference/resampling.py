"""Errors of an estimate without a variance formula: placebo assignments, resampled and left-out units, ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from p4equity.inference.permutation import TIE

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Labels = NDArray[np.int64]
ATTEMPTS = 100  # rounds of drawing after which too few usable samples are accepted


@dataclass(frozen=True)
class Placements:
    """Placebo assignments: labels (B, n), 0 = comparison, k = k-th cohort; total: all distinct ones; sampled: drawn, not all."""

    labels: Labels
    total: int
    sampled: bool


def count_placements(n: int, sizes: tuple[int, ...]) -> int:
    """Ways to give sizes[k] of n units the label k + 1."""
    total = 1
    for size in sizes:
        total, n = total * comb(n, size), n - size
    return total


def placements(n: int, sizes: tuple[int, ...], most: int, draws: int, seed: int) -> Placements:
    """All assignments of cohorts of these sizes to n units where there are at most `most`, else `draws` random ones."""
    total = count_placements(n, sizes)
    if total > most:
        labels = np.repeat(np.arange(len(sizes) + 1), [n - sum(sizes), *sizes])
        order = np.argsort(np.random.default_rng(seed).random((draws, n)), axis=1)
        return Placements(labels[order], total, True)
    rows = np.zeros((1, n), np.int64)
    for label, size in enumerate(sizes, start=1):
        picks = np.array(list(combinations(range(n - sum(sizes[: label - 1])), size)))
        free = np.stack([np.flatnonzero(row == 0) for row in rows])
        chosen = free[:, picks].reshape(-1, size)
        rows = np.repeat(rows, len(picks), axis=0)
        rows[np.arange(len(rows))[:, None], chosen] = label
    return Placements(rows, total, False)


def resamples(n: int, draws: int, seed: int, usable: Callable[[Array], Flags]) -> Array:
    """(draws or fewer, n) how often each unit stands in a sample of n drawn with replacement; unusable samples are drawn again.

    usable: (B, n) counts -> (B,) flags. Fewer come back where hardly any sample is usable.
    """
    rng, parts, found = np.random.default_rng(seed), [], 0
    for _ in range(ATTEMPTS):
        drawn = rng.integers(0, n, size=(draws, n))
        counts = np.stack([np.bincount(row, minlength=n) for row in drawn]).astype(float)
        parts.append(counts[usable(counts)])
        found += len(parts[-1])
        if found >= draws:
            break
    return np.concatenate(parts)[:draws]


def spread(values: Array) -> float:
    """Standard deviation of placebo or resampled estimates (B,) about their mean, divided by B."""
    return float(np.std(values))


def spread_error(values: Array) -> float:
    """Standard error, by the delta method, of the standard deviation of B independent draws."""
    centered = values - values.mean()
    second, fourth = float(np.mean(centered**2)), float(np.mean(centered**4))
    return float(np.sqrt(max(fourth - second**2, 0.0) / len(values) / (4 * second))) if second > 0 else 0.0


def jackknife_error(values: Array) -> float:
    """Standard error from the n estimates that leave out one unit each."""
    n = len(values)
    return float(np.sqrt((n - 1) / n * np.sum((values - values.mean()) ** 2)))


@dataclass(frozen=True)
class Rank:
    """p_value of an estimate among placebo estimates, the smallest it could be, and half the width of the interval."""

    p_value: float
    p_attainable: float
    half_width: float


def placebo_rank(estimate: float, placebo: Array, conf_level: float) -> Rank:
    """Two-sided rank of an estimate among B placebo estimates and itself: p = (1 + number at least as large in size) / (B + 1).

    The interval holds the constant effects whose removal leaves p above 1 - conf_level; its half width is infinite where even
    the smallest p is above.
    """
    sizes = np.sort(np.abs(placebo))[::-1]
    n = len(sizes) + 1
    larger = int((sizes >= abs(estimate) * (1 - TIE)).sum())
    needed = int(np.floor((1 - conf_level) * n * (1 + TIE)))  # placebo estimates this large leave p just above the level
    half = float("inf") if needed == 0 else float(sizes[needed - 1])
    return Rank((1 + larger) / n, 1 / n, half)
