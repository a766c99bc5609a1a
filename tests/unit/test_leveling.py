"""The kind of change by bounds that hold together: every verdict, what remains open, and the default."""

from __future__ import annotations

import math

import numpy as np
import pytest
from p4equity.disparity.leveling import (
    Bounds,
    bounds,
    known,
    left_open,
    movement,
    reference_falls,
    regions,
    share_from_reference,
    verdict,
)
from p4equity.exhibits.figure_plane import outline

NARROWS, WIDENS, OPEN, TIGHT = Bounds(-3, -5, -1), Bounds(3, 1, 5), Bounds(-1, -3, 1), Bounds(0.0, -0.3, 0.3)
GAINS, FALLS, WIDE = Bounds(3, 1, 5), Bounds(-3, -5, -1), Bounds(0.2, -2, 2)
SLIGHTLY = Bounds(-0.2, -0.3, -0.1)  # falls, within the margin
STAYS, SMALL = Bounds(0.1, -0.4, 0.6), Bounds(0.2, -0.1, 0.4)  # does not fall by the margin; gains less than the margin
UNKNOWN = Bounds(-3, -math.inf, math.inf)

CASES = [
    (NARROWS, STAYS, GAINS, "leveling up", ()),
    (NARROWS, GAINS, GAINS, "leveling up", ()),
    (NARROWS, FALLS, SMALL, "leveling down", ()),
    (NARROWS, FALLS, FALLS, "leveling down", ()),
    (NARROWS, FALLS, GAINS, "mixed", ()),
    (NARROWS, SLIGHTLY, GAINS, "leveling up", ()),
    (NARROWS, SLIGHTLY, SMALL, "leveling down", ()),
    (NARROWS, SLIGHTLY, WIDE, "cannot tell", ("leveling down", "leveling up")),
    (NARROWS, Bounds(-1.5, -3, -0.2), GAINS, "cannot tell", ("mixed", "leveling up")),
    (NARROWS, FALLS, WIDE, "cannot tell", ("leveling down", "mixed")),
    (NARROWS, WIDE, GAINS, "cannot tell", ("mixed", "leveling up")),
    (NARROWS, WIDE, WIDE, "cannot tell", ("leveling down", "mixed", "leveling up")),
    (NARROWS, STAYS, SMALL, "cannot tell", ("leveling down",)),
    (NARROWS, Bounds(0.2, 0.0, 0.4), SMALL, "cannot tell", ()),
    (WIDENS, GAINS, GAINS, "outpaced", ()),
    (WIDENS, WIDE, FALLS, "group loses", ()),
    (WIDENS, GAINS, WIDE, "cannot tell", ()),
    (TIGHT, GAINS, GAINS, "equal lift", ()),
    (OPEN, STAYS, GAINS, "cannot tell", ()),
    (OPEN, FALLS, SMALL, "cannot tell", ()),
    (UNKNOWN, FALLS, SMALL, "cannot tell", ()),
]


@pytest.mark.parametrize(("gap", "reference", "group", "expected", "left"), CASES)
def test_verdict(gap: Bounds, reference: Bounds, group: Bounds, expected: str, left: tuple[str, ...]) -> None:
    assert verdict(gap, reference, group, margin=0.5) == expected
    assert left_open(gap, reference, group, margin=0.5) == left


def test_a_gain_must_reach_the_margin_by_its_lower_bound() -> None:
    assert verdict(NARROWS, STAYS, Bounds(3, 0.4, 5.6), margin=0.5) == "cannot tell"
    assert verdict(NARROWS, STAYS, Bounds(3, 0.5, 5.5), margin=0.5) == "leveling up"


def test_leveling_down_needs_the_upper_bound_of_the_group_below_the_margin() -> None:
    assert verdict(NARROWS, FALLS, Bounds(0.0, -0.5, 0.5), margin=0.5) == "cannot tell"
    assert verdict(NARROWS, FALLS, Bounds(0.0, -0.5, 0.49), margin=0.5) == "leveling down"


def test_the_verdict_on_known_effects_follows_the_table() -> None:
    """Every pair on a grid has the kind of the table when its bounds are the effects themselves."""
    for r in (-4.0, -1.0, -0.2, 0.0, 0.3, 2.0):
        for g in (-3.0, -0.5, 0.2, 0.5, 1.0, 3.0):
            kind = verdict(known(r - g), known(r), known(g), 0.5)
            if r < g:
                down, up = r < 0 and g < 0.5, g >= 0.5 and r >= -0.5
                assert kind == ("leveling down" if down else "leveling up" if up else "mixed" if g >= 0.5 else "cannot tell")
            elif r > g:
                assert kind in ("outpaced", "group loses", "cannot tell", "equal lift")


def test_known_effects_fall_into_one_region_at_most_and_the_figure_shades_that_one() -> None:
    """Every pair on a grid, edges included: one kind of narrowing, none only for 0 <= reference < group < margin; one shade."""
    from matplotlib.path import Path

    margin, steps = 0.5, np.arange(-3.0, 3.01, 0.25)
    shades = {kind: Path(outline(region, 10.0)) for kind, region in regions(margin).items()}
    for r in steps:
        for g in steps[steps > r]:
            held = [k for k, x in regions(margin).items() if x.reference.holds(known(r)) and x.group.holds(known(g))]
            assert len(held) == (0 if 0 <= r < g < margin else 1)
            assert held == [k for k, x in regions(margin).items() if x.reference.meets(known(r)) and x.group.meets(known(g))]
            assert verdict(known(r - g), known(r), known(g), margin) == (held or ["cannot tell"])[0]
            inside = (r + 1e-3, g + 2e-3)  # off the edges, to the side that belongs to the region
            assert [k for k, shade in shades.items() if shade.contains_point(inside)] == held


def test_a_fall_is_shown_whatever_its_size_and_ruled_out_beyond_the_margin() -> None:
    assert reference_falls(SLIGHTLY, 0.5) is True
    assert reference_falls(STAYS, 0.5) is False
    assert reference_falls(WIDE, 0.5) is None


def test_share_from_the_reference_side() -> None:
    assert share_from_reference(-2.0, 2.0) == 0.5
    assert share_from_reference(1.0, 3.0) == -0.5
    assert share_from_reference(-2.0, -1.0) == 2.0
    assert share_from_reference(2.0, 1.0) is None


def test_changes_of_two_rates_by_hand() -> None:
    found = movement((70.0, 66.0), (60.0, 61.0))
    assert (found.reference, found.group, found.gap_before, found.gap_after, found.gap) == (-4.0, 1.0, 10.0, 5.0, -5.0)
    turned = movement((30.0, 34.0), (40.0, 39.0), higher_is_better=False)
    assert turned == found


def test_a_missing_end_is_open() -> None:
    assert bounds(1.0, None, 2.0) == Bounds(1.0, -math.inf, 2.0)
