"""The effects on both sides of a gap together: one law for reference and group, whose difference is the gap's own answer.

The averaged t test gives the gap a mixture: each pattern of variance its own weights over units and its own t, and the data weigh
the patterns. Both sides of the gap have these weights over units. Under a pattern, both sides' changes of a unit have one unknown
2 x 2 covariance times the pattern's variance of that unit, and the residual cross products of the two sides estimate it
(a multivariate regression with one row a unit). So each pattern gives both effects with one 2 x 2 covariance, Hotelling's law
with the gap's degrees of freedom holds for it exactly, and the difference of the two effects has exactly the gap's mixture.
What is assumed beyond the gap's test is that variances of the sides differ between units in the gap's proportions; the coverage
where they do not is measured (tests/recovery/joint_coverage.csv). Adding up variances that each side's own patterns give is no
joint law: their implied correlation was beyond one in up to a fifth of draws, and the region held both effects in as few as 85%.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from p4equity.errors import StudyError
from p4equity.inference.averaged_t import AveragedDesign, Mixture
from p4equity.symmetric import symmetric_root

Array = NDArray[np.float64]
CONTRASTS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])  # reference, group, gap
LEAST_DF = 2  # of Hotelling's law of two effects


@dataclass(frozen=True)
class TwoSides:
    """Effects on reference and group. estimate: (2,), covariance: (2, 2), df: of each side's t. `bounds`: see there.

    laws: the mixtures of reference, group and gap = reference - group. The effects, their covariance and the gap's mixture are
    those of the gap's own answer where that is averaged over patterns.
    """

    estimate: Array
    covariance: Array
    df: int
    laws: tuple[Mixture, Mixture, Mixture]

    def bounds(self, conf_level: float) -> Array:
        """(3, 2) limits of reference, group and gap that hold all three effects at once with probability `conf_level`."""
        tail = (1 - pointwise_level(conf_level)) / 2
        return np.stack([law.quantile(np.array([tail, 1 - tail])) for law in self.laws])

    def error(self, contrast: int) -> float:
        """Standard error of reference (0), group (1) or gap (2)."""
        return float(np.sqrt(CONTRASTS[contrast] @ self.covariance @ CONTRASTS[contrast]))


def two_sides(design: AveragedDesign, reference: Array, group: Array) -> TwoSides:
    """Both effects of one question. design: of the gap's answer. reference, group: (N,) changes of its cells on both sides.

    Raises StudyError when the gap's changes leave nothing to estimate a variance from, or one degree of freedom only.
    """
    gap = reference - group
    if design.residual < LEAST_DF or not all(design.varies(y) for y in (reference, group, gap)):
        raise StudyError(
            "no variation left to estimate the joint error of both sides from", expected="changes that differ within arms",
            found=f"{design.residual} degrees of freedom", fix="widen the comparison group",
        )  # fmt: skip
    own = design.mixture(gap[None, :])
    weights = own.weights[0]
    sides = np.stack([reference, group])
    centres = sides @ design.lines.T  # (2, K)
    rest = sides @ design.residuals
    products = np.einsum("ai,kij,bj->kab", rest, design.projections, rest, optimize=True)
    covariances = products * (design.unit / design.residual)[:, None, None]
    estimate = centres @ weights
    apart = centres - estimate[:, None]
    covariance = np.einsum("k,kab->ab", weights, covariances) + (weights * apart) @ apart.T
    laws = [
        Mixture((c @ centres)[None], np.sqrt(np.einsum("a,kab,b->k", c, covariances, c))[None], own.weights, design.residual)
        for c in CONTRASTS[:2]
    ]
    return TwoSides(estimate, covariance, design.residual, (laws[0], laws[1], own))


def pointwise_level(conf_level: float) -> float:
    """The level of each of three intervals (two effects and their difference) that hold together with `conf_level`.

    The normal value is that of the range of three equal means (Tukey): three contrasts of two effects leave the origin least
    often where they lie evenly around it, so that it holds all three whatever the correlation and the errors of the two effects.
    An estimated correlation would win 1 to 3% of the width. With t laws each limit takes the quantile of its own law
    at this level, as in `simultaneous_band`; with 5, 3 and 2 treated of 12, 10 and 9 systems the three limits held together
    in 94.8 to 98.8% of draws (tests/recovery/joint_coverage.csv).
    """
    return float(1 - 2 * stats.norm.sf(stats.studentized_range.ppf(conf_level, 3, np.inf) / np.sqrt(2)))


def squared_radius(df: float, conf_level: float) -> float:
    """Hotelling's bound of (estimate - effects)' covariance^-1 (estimate - effects), two effects: 2 df / (df - 1) F(2, df - 1).

    Exact for one pattern of variances; over the mixtures of 5, 3 and 2 treated systems it held both in 94.4 to 98.8% of draws
    (tests/recovery/joint_coverage.csv). Source: Hotelling (1931); Anderson (2003), An Introduction to Multivariate Statistical
    Analysis, theorem 5.2.2.
    """
    return float(2 * df / (df - 1) * stats.f.ppf(conf_level, 2, df - 1))


def ellipse(estimate: Array, covariance: Array, df: float, conf_level: float, points: int = 120) -> Array:
    """(points, 2) boundary of the joint confidence region of two effects, closed."""
    angle = np.linspace(0, 2 * np.pi, points)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    radius = np.sqrt(squared_radius(df, conf_level))
    return np.asarray((estimate[:, None] + radius * symmetric_root(covariance) @ circle).T)


def covariance_of(reference: float, group: float, gap: float) -> Array:
    """(2, 2) covariance of both sides from the three standard errors of one joint answer."""
    between = (reference**2 + group**2 - gap**2) / 2
    return np.array([[reference**2, between], [between, group**2]])
