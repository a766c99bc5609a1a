"""Coverage of the joint answer on both sides of a gap where variances of the sides do not follow the gap's proportions.

The reference group is large (small sampling error), the compared group small; shocks of a system's level move both sides alike,
shocks of the gap the group alone. No effect; systems' sizes are log-normal (0.9), drawn once a setting. Both bounds and region
are those of `two_sides`, for many draws at once. `python tests/recovery/joint_coverage.py` writes the table.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from p4equity.inference.averaged_t import Mixture, single_design
from p4equity.inference.two_sides import pointwise_level, squared_radius

TABLE = Path(__file__).parent / "joint_coverage.csv"
SIZES = ((5, 7), (3, 7), (2, 7))
WHICH = ("largest", "mixed", "smallest")
SHOCKS = ((0.0, 0.0), (1.0, 0.5), (1.0, 1.0), (2.0, 0.5))  # of levels, of gaps: points
ERRORS = (0.4, 1.2)  # points: sampling error of a change in a system of median size, reference and group


def treated(n: int, n1: int, which: str) -> np.ndarray:
    """Who is treated of n systems in falling order of size."""
    spread = np.linspace(0, n - 1, n1 + 2)[1:-1].round().astype(int)
    arm = np.zeros(n, bool)
    arm[{"largest": np.arange(n1), "smallest": np.arange(n - n1, n), "mixed": spread}[which]] = True
    return arm


def coverage(n1: int, n0: int, which: str, level_sd: float, gap_sd: float, draws: int) -> dict[str, object]:
    """Shares of draws in which each effect's plain interval, the three bounds together, and the region hold no effect."""
    rng, n = np.random.default_rng([n1, n0, WHICH.index(which)]), n1 + n0
    size = np.sort(np.exp(0.9 * rng.standard_normal(n)))[::-1]
    arm, (v_reference, v_group) = treated(n, n1, which), (e**2 / size for e in ERRORS)
    shared = level_sd * rng.standard_normal((draws, n))
    reference = shared + np.sqrt(v_reference) * rng.standard_normal((draws, n))
    group = shared + np.sqrt(gap_sd**2 + v_group) * rng.standard_normal((draws, n))
    design = single_design(v_reference + v_group, arm)
    weights = design.mixture(reference - group).weights
    laws = [
        Mixture(y @ design.lines.T, np.sqrt(design._squares(y) / design.residual * design.unit), weights, design.residual)
        for y in (reference, group, reference - group)
    ]
    estimates = [(weights * law.estimates).sum(axis=1) for law in laws]
    V = [(weights * (x.errors**2 + (x.estimates - e[:, None]) ** 2)).sum(axis=1) for x, e in zip(laws, estimates, strict=True)]
    below = [law.below(0.0) for law in laws]

    def held(level: float) -> list[np.ndarray]:
        tail = (1 - level) / 2
        return [(tail <= b) & (b <= 1 - tail) for b in below]

    between = (V[0] + V[1] - V[2]) / 2
    a, b = estimates[:2]
    T2 = (V[1] * a**2 - 2 * between * a * b + V[0] * b**2) / (V[0] * V[1] - between**2)
    return {
        "treated": n1, "comparison": n0, "which": which, "level_sd": level_sd, "gap_sd": gap_sd, "draws": draws,
        **dict(zip(("reference", "group", "gap"), (float(x.mean()) for x in held(0.95)), strict=True)),
        "together": float(np.all(held(pointwise_level(0.95)), axis=0).mean()),
        "region": float((squared_radius(design.residual, 0.95) >= T2).mean()),
    }  # fmt: skip


def table(draws: int) -> pd.DataFrame:
    """One row a setting."""
    return pd.DataFrame([coverage(*size, which, *shock, draws) for size in SIZES for which in WHICH for shock in SHOCKS])


if __name__ == "__main__":
    table(4_000).round(4).to_csv(TABLE, index=False)
