"""Coverage of sensitivity sets and simultaneous bands with 12 clusters, whose covariance is CR2 and estimated from them."""

from __future__ import annotations

import os
from dataclasses import dataclass

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from p4equity.inference.cluster_robust import covariance, degrees_of_freedom
from p4equity.inference.moments import cluster_moments
from p4equity.inference.sensitivity.path import path
from p4equity.inference.sensitivity.sets import Sensitivity
from p4equity.inference.simultaneous import simultaneous_band

Array = NDArray[np.float64]
CLUSTERS, EVENT_TIMES = 12, np.array([-4.0, -3, -2, 0, 1, 2])  # three leads, reference -1, three periods after
TIMES = np.arange(-4.0, 3)
LARGE = 6.0  # a change before treatment that stands out, in standard errors of a change


@dataclass(frozen=True)
class Setting:
    """Treated clusters, autocorrelation of shocks, sizes: equal, or log-normal with the treated the largest and as weights."""

    treated: int
    autocorrelation: float
    sizes: str = "equal"


SETTINGS = (
    *(Setting(k, rho) for k in (5, 3) for rho in (0.5, 0.9)),
    Setting(5, 0.5, "unequal"),
    Setting(3, 0.5, "unequal"),
)


@dataclass(frozen=True)
class Draws:
    """Estimates (d, 6) around zero, covariances (d, 6, 6), degrees of freedom of each (6,) and of the average after treatment."""

    estimates: Array
    covariances: Array
    df: Array
    df_average: float


def draw(setting: Setting, draws: int, seed: int) -> Draws:
    """Event-study estimates of panels of 12 clusters and seven years without effect or violation."""
    rng = np.random.default_rng(seed)
    n, years = CLUSTERS, len(TIMES)
    size = np.ones(n) if setting.sizes == "equal" else np.sort(np.exp(0.9 * np.random.default_rng(7).standard_normal(n)))[::-1]
    rho = setting.autocorrelation
    shock = rng.standard_normal((draws, n, years))
    for t in range(1, years):
        shock[:, :, t] = rho * shock[:, :, t - 1] + np.sqrt(1 - rho**2) * shock[:, :, t]
    shock = shock if setting.sizes == "equal" else shock + rng.standard_normal(shock.shape) / np.sqrt(size)[:, None]
    cluster, time = np.repeat(np.arange(n), years), np.tile(TIMES, n)
    X = np.stack([(time == e) & (cluster < setting.treated) for e in EVENT_TIMES], axis=1).astype(float)
    Y = shock.reshape(draws, -1).T
    year = np.unique(time, return_inverse=True)[1]
    moments = cluster_moments(X, Y, cluster, weights=np.repeat(size, years), effects=[cluster, year])
    k, q = len(moments[0].design.names), len(EVENT_TIMES)
    rows = np.eye(q, k)
    average = np.where(np.arange(k) < q, np.r_[np.zeros(3), np.full(3, 1 / 3), np.zeros(k - q)], 0.0)
    design = moments[0].design
    whitened = np.stack([c for row in rows if (c := design.contrast(row)) is not None])
    found = [covariance(m, rows, "CR2") for m in moments]
    assert not any(reason for _, reason in found)
    return Draws(
        np.stack([whitened @ m.theta for m in moments]),
        np.stack([V for V, _ in found]),
        np.array([degrees_of_freedom(design, row, "CR2") for row in rows]),
        degrees_of_freedom(design, average, "CR2"),
    )


def parted(changes_before: tuple[float, float, float], change_after: float) -> Array:
    """(6,) difference in trends with these changes from period to period; zero in the reference period."""
    level = np.cumsum([0.0, *changes_before, change_after, change_after, change_after])
    return np.delete(level - level[3], 3)


def curved(before: float, after: float) -> Array:
    """(6,) difference in trends whose slope changes by `before` at the leads, and by `after` from the reference period on."""
    slope = np.cumsum([0.0, before, before, after, after, after])
    level = np.concatenate([[0.0], np.cumsum(slope)])
    return np.delete(level - level[3], 3)


def violations(step: float, unit: float) -> list[tuple[str, str, float, str, Array]]:
    """restriction, method, bound, name, difference in trends at the edge of what the bound allows (effects are zero)."""
    flat = np.zeros(6)
    out = [("relative_magnitudes", "hybrid", 0.0, "none", flat)]
    for m in (0.5, 1.0, 2.0):
        for name, before in (("last change large", (0, 0, 1)), ("first change large", (1, 0, 0))):
            out.append(("relative_magnitudes", "hybrid", m, name, step * parted(before, m)))
    for method in ("fixed_length", "hybrid"):
        out.append(("smoothness", method, 0.0, "linear", step * parted((1, 1, 1), 1.0)))
        out.append(("smoothness", method, unit, "bends after", curved(0.0, unit)))
        out.append(("smoothness", method, unit, "bends both ways", curved(-unit, unit)))
    return out


def covers(draws: Draws, shift: Array, restriction: str, method: str, bound: float, df: float | None) -> float:
    """Share of draws whose set holds the true effect, zero."""
    held = 0
    for b, V in zip(draws.estimates, draws.covariances, strict=True):
        found, reason = path(b + shift, V, EVENT_TIMES)
        assert not reason
        sensitivity = Sensitivity(found, restriction, method, df=df)
        held += (
            sensitivity.set_at(bound).holds_zero if method == "fixed_length" else bool(sensitivity.fits(np.zeros(1), bound)[0])
        )
    return held / len(draws.estimates)


def set_coverage(setting: Setting, draws: int, seed: int) -> pd.DataFrame:
    """One row a violation: coverage of the normal and of the small-sample version."""
    sample = draw(setting, draws, seed)
    step = LARGE * float(np.sqrt(sample.estimates[:, 2].var()))  # the change into the reference period
    unit = float(np.sqrt(sample.estimates[:, 3:].mean(axis=1).var()))
    rows = []
    for restriction, method, bound, name, shift in violations(step, unit):
        both = [covers(sample, shift, restriction, method, bound, df) for df in (None, sample.df_average)]
        relative = bound / unit if restriction == "smoothness" else bound
        rows.append((restriction, method, relative, name, *both))
    columns = ["restriction", "method", "bound", "violation", "normal", "small_sample"]
    return pd.DataFrame(rows, columns=columns).assign(**vars(setting), df=round(sample.df_average, 2), draws=draws, seed=seed)


def band_coverage(setting: Setting, draws: int, seed: int) -> dict[str, object]:
    """Share of draws in which the simultaneous 95% band holds all six coefficients, and one pointwise interval its own."""
    sample = draw(setting, draws, seed)
    both = 0.0
    point = 0.0
    for b, V in zip(sample.estimates, sample.covariances, strict=True):
        band = simultaneous_band(b, V, sample.df, draws=10_000)
        both += bool(((band.conf_low <= 0) & (band.conf_high >= 0)).all())
        single = simultaneous_band(b[:1], V[:1, :1], sample.df[:1], draws=10_000)
        point += bool(single.conf_low[0] <= 0 <= single.conf_high[0])
    return {
        **vars(setting),
        "df": round(float(sample.df.min()), 2),
        "draws": draws,
        "seed": seed,
        "band": both / draws,
        "pointwise": point / draws,
    }
