"""Kitagawa's decomposition of a network's gap: gaps within systems, and where members of the groups are treated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from p4equity.disparity.panel import Array


@dataclass(frozen=True)
class GapParts:
    """A network gap (reference less group) as the sum of its two parts, in units of the rate.

    within: the gap inside systems, each weighted by the mean of its shares of both groups; what a system can act on.
    between: groups are treated in systems of different overall rates; moves when members or systems come and go.
    """

    within: Array
    between: Array

    @property
    def total(self) -> Array:
        """The gap of the network."""
        return self.within + self.between


@dataclass(frozen=True)
class ChangeParts:
    """A change of a network gap as the sum of four parts: what rates did at mean shares, and what shares did at mean rates.

    within_rates: gaps inside systems changed. within_shares: members moved to systems with other gaps. between_rates: overall
    rates of systems changed. between_shares: the groups' shares of systems moved apart or together.
    """

    within_rates: Array
    within_shares: Array
    between_rates: Array
    between_shares: Array

    @property
    def within(self) -> Array:
        """Change of the within part."""
        return self.within_rates + self.within_shares

    @property
    def between(self) -> Array:
        """Change of the between part."""
        return self.between_rates + self.between_shares

    @property
    def total(self) -> Array:
        """The change of the gap."""
        return self.within + self.between


@dataclass(frozen=True)
class Coefficients:
    """What rates count for in the parts of the gap, (..., S): the within part by difference, the between part by sum."""

    within: Array
    between: Array


def coefficients(reference_share: ArrayLike, group_share: ArrayLike) -> Coefficients:
    """Given the shares both parts are linear in rates: `within` multiplies r_ref - r_g, `between` multiplies r_ref + r_g."""
    a, b = np.asarray(reference_share, float), np.asarray(group_share, float)
    return Coefficients((a + b) / 2, (a - b) / 2)


def kitagawa(reference_rate: ArrayLike, group_rate: ArrayLike, reference_share: ArrayLike, group_share: ArrayLike) -> GapParts:
    """gap = sum_s wbar_s (r_ref,s - r_g,s) + sum_s (w_ref,s - w_g,s) rbar_s, bars the means of both groups; exact.

    All (..., S): rates of the groups in each system, and each system's share of all members of the group (sum 1). A system
    without members of one group has no rate of it, hence no gap and no parts: NaN there gives NaN. Leave such systems out of
    both groups, as the table of gaps within and between systems does.
    Source: Kitagawa (1955), Journal of the American Statistical Association 50:1168, the two-component form.
    """
    r, g = np.asarray(reference_rate, float), np.asarray(group_rate, float)
    counts = coefficients(reference_share, group_share)
    within = (counts.within * (r - g)).sum(axis=-1)
    return GapParts(np.asarray(within), np.asarray((counts.between * (r + g)).sum(axis=-1)))


def kitagawa_change(before: tuple[ArrayLike, ...], after: tuple[ArrayLike, ...]) -> ChangeParts:
    """The change of both parts of the gap, each split once more the same way; the four sum to the change of the gap.

    before, after: reference_rate, group_rate, reference_share, group_share, each (..., S), as for `kitagawa`.
    """
    r0, g0, a0, b0 = (np.asarray(x, float) for x in before)
    r1, g1, a1, b1 = (np.asarray(x, float) for x in after)
    old, new = coefficients(a0, b0), coefficients(a1, b1)
    rates, shares = _product(old.within, new.within, r0 - g0, r1 - g1)
    moved, allocated = _product(old.between, new.between, r0 + g0, r1 + g1)
    return ChangeParts(rates, shares, moved, allocated)


def _product(w0: Array, w1: Array, x0: Array, x1: Array) -> tuple[Array, Array]:
    """Change of sum w x: changes of x at mean w, and changes of w at mean x."""
    of_x = ((w0 + w1) / 2 * (x1 - x0)).sum(axis=-1)
    of_w = ((w1 - w0) * (x0 + x1) / 2).sum(axis=-1)
    return np.asarray(of_x), np.asarray(of_w)
