"""What the statistics of a disparity are called where a reader meets them, and which way each of them is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScaleName:
    """short: in a table, with its unit. prose: in a sentence. falls, rises: what a fall and a rise of it mean."""

    short: str
    prose: str
    falls: str = "narrows"
    rises: str = "widens"


# Outcome of a row -> its name. On all but the last a fall is a smaller disparity.
SCALE_NAMES: dict[str, ScaleName] = {
    "gap": ScaleName("Absolute gap, points (primary)", "the absolute gap"),
    "success_ratio": ScaleName("Ratio of success rates, log", "the ratio of success rates"),
    "failure_ratio": ScaleName("Ratio of failure rates, log", "the ratio of failure rates"),
    "log_odds_gap": ScaleName("Log-odds gap", "the log-odds gap"),
    "weighted_mean_gap": ScaleName("Mean gap of all groups by members, points", "the mean gap of all groups by members"),
    "gap_to_best": ScaleName("Gap to the best group, points", "the gap to the best group"),
    "between_group_variance": ScaleName("Variance between groups, points squared", "the variance between groups"),
    "theil": ScaleName("Theil's index, thousandths", "Theil's index"),
    "worst_group_rate": ScaleName(
        "Rate of the worst-off group, points", "the rate of the worst-off group", falls="worse", rises="better"
    ),
}
