"""Members with calibrated race and ethnicity probabilities of a chosen strength: of those with probability p a share p is of it.

One normal signal a group, shifted by `strength` for the member's own; the posterior under the true mix is the probability. What
the notes leave free is chosen here: the commercial mix of their section 2.5 (75, 5, 7, 8 and 5 percent), rates that put Black 8.5
points below White members, and the shape of the probabilities (this posterior); `strength` is set by the wanted corr(p, Black).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
MIX = np.array([0.75, 0.05, 0.07, 0.08, 0.05])  # White, Black, Hispanic, Asian, other
RATES = np.array([0.747, 0.662, 0.690, 0.742, 0.720])
WHITE, BLACK = 0, 1


@dataclass(frozen=True)
class Members:
    """Groups (n,) and probabilities (n, G)."""

    group: NDArray[np.int64]
    p: Array

    def results(self, rates: Array, own: float, rng: np.random.Generator | None) -> Array:
        """Results that follow the own group with weight `own` and the context (what p predicts) with the rest; expected ones
        without random numbers."""
        expected = own * rates[self.group] + (1 - own) * (self.p @ rates)
        return expected if rng is None else (rng.random(len(expected)) < expected).astype(float)


def members(n: int, strength: float, rng: np.random.Generator, mix: Array = MIX) -> Members:
    """A draw of n members."""
    group = rng.choice(len(mix), n, p=mix)
    signal = rng.standard_normal((n, len(mix)))
    signal[np.arange(n), group] += strength
    score = np.log(mix) + strength * signal
    score -= score.max(axis=1, keepdims=True)
    p = np.exp(score)
    return Members(group, p / p.sum(axis=1, keepdims=True))


def strength_for(correlation: float, n: int = 200_000, seed: int = 1) -> float:
    """The strength at which corr(p, Black) has this value, by bisection on the same random numbers."""
    low, high = 0.5, 6.0
    for _ in range(12):
        middle = (low + high) / 2
        found = members(n, middle, np.random.default_rng(seed))
        below = np.corrcoef(found.p[:, BLACK], found.group == BLACK)[0, 1] < correlation
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2
