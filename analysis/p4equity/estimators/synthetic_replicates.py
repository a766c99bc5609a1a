"""Effect curves of a balanced panel under other arms: the panel's own, placebo ones, resampled ones, units left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from p4equity.estimators.base import Array, Flags
from p4equity.estimators.synthetic_panel import Balanced, Block, Codes
from p4equity.inference.resampling import Placements, placements, resamples
from p4equity.inference.synthetic_weights import effect_curves, normalized, synthetic_weights

MOST = (
    5000  # placebo assignments that are all taken; with more, or with more than UNITS in units times assignments, some are drawn
)
UNITS = 300_000
FEWEST, DRAWS, DRAWN_UNITS = 200, 1000, 20_000  # assignments or samples drawn: between these, about this many units in all


@dataclass(frozen=True)
class Replicates:
    """Effect curves by block, (B, m, periods after), and treated units behind them, (B,), 0 where a block has an empty arm."""

    source: Balanced
    curves: tuple[Array, ...]
    treated: tuple[Array, ...]

    def value(self, cohort: float | None, event: float | None) -> Array:
        """(B, m) mean effect over treated unit-periods, of one cohort or all, one event time or all; NaN where there are none."""
        source = self.source
        total = np.zeros((len(self.treated[0]), len(source.Y)))
        number = np.zeros((len(total), 1))
        for block, curve, n in zip(estimable(source), self.curves, self.treated, strict=True):
            here = in_selection(source, block, cohort, event)
            total += n[:, None] * curve[:, :, here].sum(axis=2)
            number += n[:, None] * here.sum()
        return np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)


def estimable(source: Balanced) -> tuple[Block, ...]:
    """Blocks with weights."""
    return tuple(b for b in source.blocks if not b.reason)


def in_selection(source: Balanced, block: Block, cohort: float | None, event: float | None) -> Flags:
    """(periods after,) which periods of a block belong to a cohort (None: any) and an event time (None: any)."""
    start = source.starts[block.code - 1]
    since = source.times[block.columns[block.n_before :]] - start
    mine = cohort is None or start == cohort
    return np.asarray((since == event) if event is not None else np.ones(len(since), bool)) & mine


def actual(source: Balanced) -> Replicates:
    """The panel's own arms, one replicate."""
    counts = np.ones((1, len(source.codes)))
    return _replicate(source, counts, source.codes[None], "", fixed=True)


def placebo(source: Balanced, method: str, seed: int, draws: int | None, limit: int | None) -> tuple[Replicates, Placements]:
    """Cohorts of the panel's sizes and dates given to never treated units instead (Arkhangelsky et al. 2021, Algorithm 4)."""
    never = np.flatnonzero(source.codes == 0)
    sizes = tuple(int((source.codes == b.code).sum()) for b in estimable(source))
    most = min(MOST, UNITS // len(never)) if limit is None else limit
    drawn = placements(len(never), sizes, most, _draws(source, draws), seed)
    codes = np.zeros((len(drawn.labels), len(source.codes)), np.int64)
    codes[:, never] = np.array([0, *(b.code for b in estimable(source))])[drawn.labels]
    counts = np.zeros(codes.shape)
    counts[:, never] = 1.0
    return _replicate(source, counts, codes, method), drawn


def bootstrap(source: Balanced, method: str, seed: int, draws: int | None) -> Replicates:
    """Units drawn with replacement, samples without an arm drawn again (Arkhangelsky et al. 2021, Algorithm 2)."""
    mine = np.flatnonzero(members(source, None, None))

    def arms(counts: Array) -> Flags:
        pairs = [b.arms(counts, source.codes[mine]) for b in estimable(source)]
        return np.asarray(np.any([(c.sum(axis=1) > 0) & (d.sum(axis=1) > 0) for c, d in pairs], axis=0))

    drawn = resamples(len(mine), _draws(source, draws), seed, arms)
    counts = np.zeros((len(drawn), len(source.codes)))
    counts[:, mine] = drawn
    return _replicate(source, counts, np.broadcast_to(source.codes, counts.shape), method)


def _draws(source: Balanced, draws: int | None) -> int:
    """Draws asked for, or about as many as keep the work small."""
    return min(max(DRAWN_UNITS // len(source.units), FEWEST), DRAWS) if draws is None else draws


def jackknife(source: Balanced) -> Replicates:
    """One unit left out each, weights fixed but made to sum to 1 (Arkhangelsky et al. 2021, Algorithm 3)."""
    counts = 1.0 - np.eye(len(source.codes))
    return _replicate(source, counts, np.broadcast_to(source.codes, counts.shape), "", fixed=True)


def members(source: Balanced, cohort: float | None, event: float | None) -> Flags:
    """(N,) units in either arm of the blocks selected."""
    blocks = [b for b in estimable(source) if in_selection(source, b, cohort, event).any()]
    return np.asarray(np.any([(source.codes == b.code) | np.isin(source.codes, b.others) for b in blocks], axis=0))


def _replicate(source: Balanced, counts: Array, codes: Codes, method: str, fixed: bool = False) -> Replicates:
    """Effect curves with these arms; fixed: with the panel's own weights, else fitted from them with the panel's penalties."""
    curves, sizes = [], []
    for block in estimable(source):
        controls, treated = block.arms(counts, codes)
        usable = (controls.sum(axis=1) > 0) & (treated.sum(axis=1) > 0)
        curve = np.zeros((len(counts), len(source.Y), len(block.columns) - block.n_before))
        curves.append(curve)
        sizes.append(np.where(usable, treated.sum(axis=1), 0.0))
        if not usable.any():
            continue
        here = np.any((controls + treated) > 0, axis=0)
        c, d, Y = controls[usable][:, here], treated[usable][:, here], source.Y[:, here][:, :, block.columns]
        if fixed:
            units, times = normalized(block.unit[here] * c, c), np.tile(block.time, (len(c), 1))
        else:
            units, times = synthetic_weights(Y[0], block.n_before, c, d, block.penalty, method, (block.unit[here], block.time))
        curve[usable] = effect_curves(Y, block.n_before, units, times, d)
    return Replicates(source, tuple(curves), tuple(sizes))
