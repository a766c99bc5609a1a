"""The sections of `study.toml` on how contracts chose their measures and what they pay: [selection] and [payment]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from p4equity.study.base import Block, Many, Share, Year
from p4equity.study.vocabulary import PaymentStatistic


class Selection(Block):
    """[selection]: the rule by which measures are taken to have been chosen; it looks at `baseline.selection_years`.

    Each system's `worst` measures by the gap of those years, of the candidates in `measures` (sets or ids) whose reference and
    compared groups have `minimum_size` members; `as_contracted` picks as many as its contract has. `autocorrelation`: of passing
    bumps in a gap from year to year. `draws`: simulated baselines a system.
    """

    worst: Literal["as_contracted"] | Annotated[int, Field(ge=1)] = "as_contracted"
    measures: Annotated[Many[str], Field(min_length=1)]
    minimum_size: Annotated[int, Field(ge=1)]
    autocorrelation: Annotated[float, Field(ge=0, lt=1)]
    draws: Annotated[int, Field(ge=1000)] = 20_000


class PaymentFormula(Block):
    """[[payment.formula]]: another formula on the same data; what a key leaves out is as in [payment].

    `statistic` may be any of PAYMENT_STATISTICS; thresholds and slopes are in its units (points; squared points for a variance).
    `guarded = false` pays without the guards of [payment]. `shrinkage` pays on empirical-Bayes
    narrowings, `per_year` on the narrowing a year that passed, `past_zero` also on what lies beyond a gap of zero,
    `efficiency_share` of the maximum on spending that rose by no more than `efficiency_margin` USD per member-month beyond
    comparison systems. `pmpm_share`: the maximum as a share of spending.
    """

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    label: str
    statistic: PaymentStatistic | None = None
    baseline_years: Many[Year] = ()
    performance_years: Many[Year] = ()
    threshold: float | None = None
    slope: Annotated[float, Field(ge=0)] | None = None
    cap: Share | None = None
    gate_margin: float | None = None
    reference_margin: float | None = None
    group_gain: float | None = None
    guarded: bool = True
    shrinkage: Literal["none", "empirical_bayes"] = "none"
    per_year: bool = False
    past_zero: bool | None = None
    efficiency_share: Share = 0.0
    efficiency_margin: float = 0.0
    pmpm_maximum: Annotated[float, Field(ge=0)] | None = None
    pmpm_share: Share | None = None


class Payment(Block):
    """[payment]: the incentive formula of the payment exhibits, and others beside it under [[payment.formula]].

    `draws`: simulations without a true change, and permutations of contracts, behind the shares earned by chance. `narrowing`:
    true narrowings, points, at which the expected payment is shown. This one is paid by group: its statistic is the gap of each.
    Guards against leveling down, without which a gap that closes because the reference group falls would be paid for:
    `reference_margin`, points by which the reference group's rate may change (negative: a fall that is tolerated), and
    `group_gain`, points by which a compared group's rate must rise. `past_zero`: a gap that turns round is paid for beyond zero
    too; without it, payment ends where the group is no longer behind.
    """

    statistic: Literal["pairwise_gap"]
    baseline_years: Annotated[Many[Year], Field(min_length=1)]
    performance_years: Annotated[Many[Year], Field(min_length=1)]
    threshold: float
    slope: Annotated[float, Field(ge=0)]
    cap: Share
    gate_margin: float
    reference_margin: float | None = None
    group_gain: float | None = None
    pmpm_maximum: Annotated[float, Field(ge=0)]
    past_zero: bool = False
    illustrative: bool
    label: str = "The formula above"
    draws: Annotated[int, Field(ge=100)] = 2_000
    narrowing: Many[Annotated[float, Field(ge=0)]] = (0.0, 1.0, 2.0, 4.0)
    formula: Many[PaymentFormula] = ()
