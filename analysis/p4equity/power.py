"""Precision before outcomes: what a design can detect, from denominators and baseline years alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from p4equity.inference.random_effects import check_inputs
from p4equity.inference.stacked import Stacked, stacked_standard_error

Array = NDArray[np.float64]


def standard_error(sampling_variance: Array, treated: NDArray[np.bool_], tau2: float) -> float:
    """Standard error of the random-effects weighted difference between arms, given the between-system variance tau2."""
    v, arm = np.asarray(sampling_variance, float), np.asarray(treated, bool)
    check_inputs(np.zeros(len(v)), arm, v)
    w = 1 / (v + tau2)
    return float(np.sqrt(1 / w[arm].sum() + 1 / w[~arm].sum()))


def minimal_detectable_change(
    sampling_variance: Array, treated: NDArray[np.bool_], tau2: float, *, conf_level: float = 0.95, power: float = 0.8
) -> float:
    """Smallest true change found with the stated power by the two-sided Knapp-Hartung test; unit of the changes.

    sampling_variance (n,), treated (n,) bool, tau2: between-system variance of changes. df = n - 2.
    Source: Bloom (1995), Evaluation Review 19:547: (t at 1 - alpha/2 plus t at power) times the standard error.
    """
    df = len(sampling_variance) - 2
    multiplier = stats.t.ppf(0.5 + conf_level / 2, df) + stats.t.ppf(power, df)
    return float(multiplier) * standard_error(sampling_variance, treated, tau2)


def margin_power(std_error: float, df: float, margin: float, level: float, effect: float = 0.0) -> float:
    """Chance that a one-sided t test at `level` excludes an effect as bad as `margin` when the true effect is `effect`.

    std_error and df of the estimate; margin and effect in its unit, on whatever side the margin lies. Noncentral t: Julious
    (2004), Statistics in Medicine 23:1921, for one standard error instead of that of two arms of equal variance.
    """
    return float(stats.nct.sf(stats.t.ppf(1 - level, df), df, abs(effect - margin) / std_error))


def stacked_detectable_change(data: Stacked, tau2: float, conf_level: float = 0.95, power: float = 0.8) -> float:
    """The same for the pooled question over measures: generalized least squares, t with (systems - 2) degrees of freedom.

    tau2: between-system variance of a measure's changes, independent between measures.
    """
    df = int(data.included(data.contracts).any(axis=1).sum()) - 2
    multiplier = stats.t.ppf(0.5 + conf_level / 2, df) + stats.t.ppf(power, df)
    return float(multiplier) * stacked_standard_error(data, tau2)


def reliability(between_variance: float, sampling_variance: Array) -> Array:
    """Share of the observed variance that is between systems: between / (between + sampling), one value a system.

    Source: Adams (2009), The Reliability of Provider Profiling: A Tutorial, RAND TR-653.
    """
    v = np.asarray(sampling_variance, float)
    return np.asarray(between_variance / (between_variance + v))


def shrink(values: Array, sampling_variance: Array, between_variance: float) -> tuple[Array, Array]:
    """Empirical-Bayes means and standard deviations of unit effects around their precision-weighted mean.

    values, sampling_variance: (n,). Source: Morris (1983), JASA 78:47, without the small-sample factor.
    """
    y, v = np.asarray(values, float), np.asarray(sampling_variance, float)
    weights = 1 / (v + between_variance)
    centre = float(np.average(y, weights=weights))
    share = reliability(between_variance, v)
    return share * y + (1 - share) * centre, np.sqrt(share * v + (1 - share) ** 2 / weights.sum())
