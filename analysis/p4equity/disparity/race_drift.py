"""What errors of race and ethnicity data do to gaps, to their trends and to comparisons of arms."""

from __future__ import annotations


def observed_share(self_report: float, squared_correlation: float) -> float:
    """Observed gap over true gap: s + (1 - s) corr^2, with s the share of members who reported themselves.

    Assumes self-report at random, imputed probabilities that are calibrated, and results that follow one's own group.
    """
    return self_report + (1 - self_report) * squared_correlation


def drift(gap: float, before: float, after: float) -> float:
    """Change of the observed gap when the true gap stays and observed / true goes from `before` to `after`."""
    return gap * (after - before)


def spurious_drift(gap: float, participating: tuple[float, float], comparison: tuple[float, float]) -> float:
    """Effect that a difference-in-differences finds when no true gap moves: observed / true (before, after) of each arm."""
    return drift(gap, *participating) - drift(gap, *comparison)


def spurious_difference(change: float, participating: float, comparison: float) -> float:
    """Effect found when the true gap changes alike in both arms and observed / true is constant, but not the same in both."""
    return change * (participating - comparison)
