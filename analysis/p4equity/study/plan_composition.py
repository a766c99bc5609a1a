"""The section of `study.toml` on who the members are: [composition]."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from p4equity.study.base import Block, Many


class Composition(Block):
    """[composition]: bands of age for standardized rates, closed cohorts and weights for attrition, by which cells are counted.

    `age_bands`: first age of each band, ascending from 0. The standard mix of a measure is that of all members, groups and
    systems together, in the years of `baseline.weights_years`. A member who stayed was with one practice, with the minimum
    months, in every year from the last baseline year on.
    """

    age_bands: Annotated[Many[Annotated[int, Field(ge=0, le=110)]], Field(min_length=2)]
