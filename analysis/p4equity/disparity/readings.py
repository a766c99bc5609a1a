"""Care or documentation: the change of a rate split into more readings and better control among those with a reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from p4equity.disparity.changes import contrast
from p4equity.disparity.panel import Array, Panel

PARTS = ("readings", "control")
Windows = Mapping[str, tuple[Sequence[int], Sequence[int]]]


def split_change(den: Array, tested: Array, num: Array) -> tuple[float, float]:
    """(from readings, from control): two parts that add up to the change of num / den from the first window to the second.

    den, tested, num: (2,) counts before and after; a rate is the share with a reading times the share controlled among those.
    Each part is the change of one factor at the mean of the other: Kitagawa (1955), JASA 50:1168.
    """
    reading, control = tested / den, num / tested
    return float((reading[1] - reading[0]) * control.mean()), float((control[1] - control[0]) * reading.mean())


def split_variance(den: Array, tested: Array, num: Array) -> Array:
    """(2,) sampling variances of the two parts, with the windows taken as independent samples of members.

    Linearization: the mean of the other factor is taken as known. Members are in both windows with results that persist, which
    makes changes more precise than stated here: an upper limit, whose ratios between systems are what inference uses.
    """
    reading, control = tested / den, num / tested
    spread = (reading * (1 - reading) / den).sum(), (control * (1 - control) / tested).sum()
    return np.array([control.mean() ** 2 * spread[0], reading.mean() ** 2 * spread[1]])


def reading_changes(
    panel: Panel, measure: str, group: str, windows: Windows, comparison: Sequence[str], minimum: float
) -> tuple[Array, Array]:
    """(S, 2) parts of each system's change, centred on the comparison systems' mean over the same windows, and variances (S, 2).

    Counts are summed over the years of a window, so that the parts add up exactly to the change of the window's rate. A year
    counts with `minimum` members in the denominator. NaN where a window is empty or nobody has a reading.
    """
    column = panel.index(measure, group)
    assert panel.with_reading is not None
    counts = np.stack([panel.den[:, column], panel.with_reading[:, column], panel.num[:, column]], axis=1)  # (S, 3, T)
    parts, variances = np.full((len(panel.systems), 2), np.nan), np.zeros((len(panel.systems), 2))
    compared = [panel.systems.index(s) for s in comparison if s in panel.systems]
    for s, system in enumerate(panel.systems):
        line = contrast(panel.years, *windows[system], panel.den[s, column] >= max(minimum, 1))
        own = None if line is None else _windows(counts[s], line)
        if line is None or own is None:
            continue
        others = [pair for c in compared if (pair := _windows(counts[c], line)) is not None]
        centre = np.mean([split_change(*pair) for pair in others], axis=0) if others else np.full(2, np.nan)
        parts[s], variances[s] = np.array(split_change(*own)) - centre, split_variance(*own)
    return parts, variances


def _windows(counts: Array, line: Array) -> tuple[Array, Array, Array] | None:
    """Denominator, readings and numerator (2,) summed over the years before and after; None where one has no reading."""
    before, after = counts[:, line < 0].sum(axis=1), counts[:, line > 0].sum(axis=1)
    pair = np.stack([before, after], axis=1)
    return None if (pair[1] <= 0).any() else (pair[0], pair[1], pair[2])
