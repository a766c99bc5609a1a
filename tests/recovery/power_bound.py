"""What no test can surpass on the decision grid: the power bound of Elliott, Müller and Watson (2015, Econometrica 83:771).

Their Lemma 1: a test that rejects at most `level` in every setting without an effect does so in any mixture of them; against
one alternative it finds no more than the likelihood ratio test against that mixture. The densities used know each setting
exactly, so the bound holds for every test that sees changes and stated variances, even for one that is told the list of
settings. The mixture is searched for on half of the draws (any mixture gives a bound, a good one a low bound) and the bound is
computed on the other half.
"""

from __future__ import annotations

import numpy as np
from decision_grid import Draws, Setting, draws, variances
from numpy.typing import NDArray
from scipy.special import logsumexp

Array = NDArray[np.float64]
STEPS = 300


def power_bounds(settings: list[Setting], level: float, multiple: float, count: int, seed: int) -> Array:
    """(J,) largest power at an effect of `multiple` oracle errors in each setting, for tests of size `level` in all of them.

    settings: J with normal tails, of one number of systems and treated. count: draws a setting.
    """
    null = [draws(s, count, seed + j) for j, s in enumerate(settings)]
    moved = [draws(s, count, seed + 1000 + j).moved(multiple) for j, s in enumerate(settings)]
    without = [_logs(settings, d) for d in null]
    found = []
    for k, s in enumerate(settings):
        ratio = [_effect_log(s, d, multiple) for d in null]
        mixture = _least_favorable(ratio, without, level)
        half = count // 2
        excess = [r[half:] - logsumexp(f[:, half:] + mixture[:, None], axis=0) for r, f in zip(ratio, without, strict=True)]
        share = np.repeat(np.exp(mixture - logsumexp(mixture)), count - half)
        bar = _critical(np.concatenate(excess), share / share.sum(), level)
        own = _effect_log(s, moved[k], multiple) - logsumexp(_logs(settings, moved[k]) + mixture[:, None], axis=0)
        found.append(float((own > bar).mean()))
    return np.array(found)


def _least_favorable(ratio: list[Array], without: list[Array], level: float) -> Array:
    """(J,) log weights of settings, up to a constant, under which the test has its level where a weight counts."""
    half = len(ratio[0]) // 2
    weights = np.zeros(len(ratio))
    for step in range(STEPS):
        pace = 1.0 if step < STEPS // 4 else 0.3
        rejected = [
            (r[:half] > logsumexp(f[:, :half] + weights[:, None], axis=0)).mean() for r, f in zip(ratio, without, strict=True)
        ]
        weights = np.maximum(weights + pace * (np.array(rejected) - level) / level, -25.0)
    return weights


def _critical(values: Array, weights: Array, level: float) -> float:
    """The value that a share `level` of the weighted draws exceeds."""
    order = np.argsort(-values)
    return float(values[order][np.searchsorted(np.cumsum(weights[order]), level)])


def _log_density(y: Array, w: Array) -> Array:
    """(R,) log density of changes up to their common location; w: precisions."""
    total = w.sum(1)
    centre = (w * y).sum(1) / total
    return np.asarray((np.log(w).sum(1) - np.log(total) - (w * (y - centre[:, None]) ** 2).sum(1)) / 2)


def _logs(settings: list[Setting], d: Draws) -> Array:
    """(J, R) log densities of draws without an effect, were each setting true."""
    return np.stack([_log_density(d.y, 1 / variances(s, d.v, d.arm)) for s in settings])


def _effect_log(s: Setting, d: Draws, multiple: float) -> Array:
    """(R,) log density with the effect up or down, equally likely, in one setting."""
    w = 1 / variances(s, d.v, d.arm)
    effect = multiple * np.sqrt(1 / (w * d.arm).sum(1) + 1 / (w * ~d.arm).sum(1))
    return np.asarray(np.logaddexp(*(_log_density(d.y - sign * effect[:, None] * d.arm, w) for sign in (1, -1))) - np.log(2))
