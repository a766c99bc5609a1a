"""Care or documentation: the change of a rate split into more readings and better control among those with a reading."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from p4equity.disparity.panel import Array, Panel

PARTS = ("readings", "control")


def split_change(change: float | Array, crossed: float | Array) -> tuple[float | Array, float | Array]:
    """(from readings, from control): two parts that add up to the change of a rate, the product of both factors.

    Each part is the change of one factor at the mean of the other: Kitagawa (1955), JASA 50:1168. With several years a window it
    is the mean over all pairs of a year before and a year after, which is (change +- crossed) / 2. crossed: `crossed_means`.
    """
    return (change + crossed) / 2, (change - crossed) / 2


def crossed_means(reading: Array, control: Array, line: Array) -> float:
    """Mean reading after times mean control before, less mean reading before times mean control after.

    reading: (T,) shares with a reading. control: (T,) shares controlled among those. line: (T,) contrast of years, negative
    before, positive after. NaN where a year of a window has nobody with a reading.
    """
    (r0, r1), (c0, c1) = ((x[line < 0].mean(), x[line > 0].mean()) for x in (reading, control))
    return float(r1 * c0 - r0 * c1)


def split_variance(den: Array, tested: Array, num: Array, line: Array) -> Array:
    """(2,) sampling variances of the two parts, with all years taken as independent samples of members.

    den, tested, num: (T,) counts. Linearization: the mean of the other factor is taken as known. Members recur with results that
    persist, which makes changes more precise than stated here: an upper limit, whose ratios between systems are what inference
    uses.
    """
    used = line != 0
    weights, n, t, x = (line**2)[used], den[used], tested[used], num[used]
    reading, control = t / n, x / t
    windows = line[used] < 0, line[used] > 0
    r, c = (sum(factor[w].mean() for w in windows) / 2 for factor in (reading, control))
    spread = (weights * reading * (1 - reading) / n).sum(), (weights * control * (1 - control) / t).sum()
    return np.array([c**2 * spread[0], r**2 * spread[1]])


def reading_crosses(panel: Panel, measure: str, group: str, contrasts: Array, comparison: Sequence[str]) -> tuple[Array, Array]:
    """(S,) `crossed_means` of each system beyond the comparison systems' mean over the same years, and variances (S, 2) of parts.

    contrasts: (S, T) of the change that is split, NaN where a system has none. NaN where a year that enters has no reading. A
    comparison system counts with the years that enter its own change.
    """
    column = panel.index(measure, group)
    assert panel.with_reading is not None
    den, tested, num = panel.den[:, column], panel.with_reading[:, column], panel.num[:, column]
    reading = np.divide(tested, den, out=np.full_like(den, np.nan), where=den > 0)
    control = np.divide(num, tested, out=np.full_like(num, np.nan), where=tested > 0)
    crossed, variances = np.full(len(panel.systems), np.nan), np.zeros((len(panel.systems), 2))
    compared = [c for c, system in enumerate(panel.systems) if system in set(comparison)]
    for s in range(len(panel.systems)):
        line = np.nan_to_num(contrasts[s])
        if not line.any() or (tested[s, line != 0] <= 0).any():
            continue
        lines = [np.where(np.nan_to_num(contrasts[c]) != 0, line, 0.0) for c in compared]
        pairs = [(c, own) for c, own in zip(compared, lines, strict=True) if (own < 0).any() and (own > 0).any()]
        others = [crossed_means(reading[c], control[c], own) for c, own in pairs]
        known = [x for x in others if np.isfinite(x)]
        crossed[s] = crossed_means(reading[s], control[s], line) - (np.mean(known) if known else np.nan)
        variances[s] = split_variance(den[s], tested[s], num[s], line)
    return crossed, variances
