"""What a change of specification does to a gap by itself: the series as specified beside its twin of constant definition."""

from __future__ import annotations

import numpy as np

from p4equity.disparity.panel import Array


def mechanical_change(den: Array, num: Array, twin_den: Array, twin_num: Array) -> tuple[Array, Array]:
    """Rate as specified minus the twin's rate in the same year, and its sampling variance; NaN where either has no members.

    The twin's members are part of those specified: with a share s of members beyond it the difference is s (r_new - r_twin). Its
    variance is s^2 (p_new q_new / n_new + p_twin q_twin / n_twin) + (r_new - r_twin)^2 s (1 - s) / n: the share is sampled too.
    """
    n, beyond = np.asarray(den, float), np.asarray(den, float) - twin_den
    new, old = _rate(np.asarray(num, float) - twin_num, beyond), _rate(np.asarray(twin_num, float), np.asarray(twin_den, float))
    s = np.divide(beyond, n, out=np.zeros(n.shape), where=n > 0)
    change = np.where(beyond > 0, s * (new - old), 0.0)
    spread = new * (1 - new) / np.maximum(beyond, 1) + old * (1 - old) / np.maximum(twin_den, 1)
    variance = np.where(beyond > 0, s**2 * spread + (new - old) ** 2 * s * (1 - s) / np.maximum(n, 1), 0.0)
    known = (n > 0) & (np.asarray(twin_den) > 0)
    return np.where(known, change, np.nan), np.where(known, variance, np.nan)


def _rate(num: Array, den: Array) -> Array:
    return np.divide(num, den, out=np.zeros(np.shape(den)), where=den > 0)
