"""The section of `study.toml` on what a contract could reliably pay on: [precision]."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from p4equity.study.base import Block, Many

_Year = Annotated[int, Field(ge=1900, le=2200)]
_Share = Annotated[float, Field(gt=0, le=1)]
_Points = Annotated[float, Field(gt=0)]


class Precision(Block):
    """[precision]: what a system's measure and group must show, before any outcome under contract, to be paid on.

    The contract compares `baseline_years` with `performance_years`. Reliable: at least `reliability` of the variance of changes
    is between systems. Detectable: a change of `detectable_share` of the baseline gap is found with `power`. A system carries a
    measure when at least `minimum_groups` groups have `minimum_size` members and a baseline gap, and a change of their mean gap
    is detectable. `level_sd`, `change_sd`: standard deviation between systems of gaps and of their true changes, points;
    estimated from the baseline years where not given.
    """

    baseline_years: Annotated[Many[_Year], Field(min_length=1)]
    performance_years: Annotated[Many[_Year], Field(min_length=1)]
    reliability: _Share = 0.7
    power: Annotated[float, Field(gt=0.5, lt=1)] = 0.8
    detectable_share: _Share = 0.5
    minimum_size: Annotated[int, Field(ge=1)] = 30
    minimum_groups: Annotated[int, Field(ge=1)] = 2
    level_sd: _Points | None = None
    change_sd: _Points | None = None
