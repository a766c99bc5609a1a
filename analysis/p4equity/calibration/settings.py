"""The settings under which a question is simulated: the shocks' variance over its interval, and one departure at a time."""

from __future__ import annotations

from dataclasses import dataclass

ESTIMATE, LOW, HIGH = "shocks_estimate", "shocks_low", "shocks_high"
PLACEBO_CONTRACTS, PLACEBO_DATE = "placebo_contracts", "placebo_date"
VARYING = ("effects_vary_1", "effects_vary_2")


@dataclass(frozen=True)
class Setting:
    """One way the data might be made. Without further notice: normal shocks at the estimate, sampling variances as stated.

    shocks: which end of the interval. tails: normal or t3. growing: shocks grow with a system's size. shared: correlation of a
    system's shocks between measures. truth: true over stated sampling variance. effect_sd: spread of effects between contracted
    systems around zero, points. reassigned: contracts are drawn anew from the admissible assignments.
    """

    id: str
    shocks: str = "estimate"
    tails: str = "normal"
    growing: bool = False
    shared: float = 0.0
    truth: float = 1.0
    effect_sd: float = 0.0
    reassigned: bool = False

    @property
    def power(self) -> bool:
        """Whether power is asked for: along the shocks' interval."""
        return self.id in (ESTIMATE, LOW, HIGH)


def settings(pooled: bool) -> tuple[Setting, ...]:
    """All simulated settings of a question; shocks shared between measures only where there are several."""
    each = [
        Setting(ESTIMATE),
        Setting(LOW, shocks="low"),
        Setting(HIGH, shocks="high"),
        Setting("heavy_tails", shocks="high", tails="t3"),
        Setting("shocks_grow_with_size", shocks="high", growing=True),
        Setting("stated_half", truth=2.0),
        Setting("stated_twice", truth=0.5),
        Setting(PLACEBO_CONTRACTS, reassigned=True),
        Setting(VARYING[0], effect_sd=1.0),
        Setting(VARYING[1], effect_sd=2.0),
    ]
    shared = [Setting("shocks_shared", shocks="high", shared=0.6)] if pooled else []
    return (*each[:5], *shared, *each[5:])
