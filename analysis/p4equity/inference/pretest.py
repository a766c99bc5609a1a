"""Power of the test of pre-trends: which linear violation it would detect, and what that violation does to the estimate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtri
from scipy.stats import qmc

from p4equity.errors import UsageError, did_you_mean
from p4equity.inference.sensitivity.path import Path
from p4equity.symmetric import symmetric_root

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
TESTS = ("individual", "joint")
BATCHES, POINTS = 16, 4096  # independent randomizations of a low-discrepancy sequence, and points of each
STEP = 1e-3  # share by which a slope is moved to differentiate the power


@dataclass(frozen=True)
class PretestPower:
    """A linear violation the pretest detects with a given power, for a target whose true effect is zero.

    power; slope: violation per period; slope_error: its simulation error. bias: of the target under that violation;
    bias_if_passed: its expectation over samples in which the pretest finds nothing, and the simulation error of that.
    size: how often the pretest rejects without a violation.
    """

    power: float
    slope: float
    slope_error: float
    bias: float
    bias_if_passed: float
    bias_error: float
    size: float


def pretest_power(
    path: Path, powers: tuple[float, ...] = (0.5, 0.8), *, test: str = "individual", df: float | None = None, seed: int = 0
) -> list[PretestPower]:
    """For each power the slope of a linear difference in trends that the pretest detects that often.

    The violation at event time e is slope x (e - reference). test: individual rejects when any single lead is
    significant at 5%, joint when the leads' Wald test is. df None: normal estimates with known covariance, as in R
    pretrends. Else the covariance is known up to a scale with df degrees of freedom and the tests are t and F. The
    covariance of the path is taken as that of the estimates. Simulation errors are those of 16 randomizations.
    Source: Roth (2022); R pretrends, slope_for_power and pretrends. Raises UsageError for an unknown test, or powers
    that are not between the test's size and 1.
    """
    if test not in TESTS:
        raise UsageError("unknown pretest", expected=", ".join(TESTS), found=test, fix=did_you_mean(str(test), TESTS))
    if any(not 0.05 < p < 1 for p in powers):
        raise UsageError("power out of range", expected="between 0.05 and 1", found=list(powers))
    simulated = _Simulated(path, test, df, seed)
    return [simulated.at(float(p)) for p in powers]


class _Simulated:
    """The pretest on fixed draws of the leads, so that its power is a function of the slope alone."""

    def __init__(self, path: Path, test: str, df: float | None, seed: int) -> None:
        k = path.before
        self._leads = path.event_times[:k] - path.reference
        self._later = float(path.weights @ (path.event_times - path.reference))
        V = path.covariance[:k, :k]
        self._se = np.sqrt(np.diag(V))
        values, vectors = np.linalg.eigh(V)
        kept = values > 1e-12 * values[-1]
        self._whitener = vectors[:, kept] / np.sqrt(values[kept])
        finite = df is not None and np.isfinite(df)
        self._scale_df = float(df) if finite and df is not None else None
        self._draws, self._scale = self._drawn(symmetric_root(V), seed)
        rank = int(kept.sum())
        self._joint = test == "joint"
        if not self._joint:
            critical = float(stats.t.isf(0.025, df) if finite else stats.norm.isf(0.025))
            self._rejects: Callable[[Array], Flags] = lambda b: np.asarray(
                (np.abs(b) > critical * self._scale * self._se).any(axis=-1)
            )
        else:
            F = stats.f.isf(0.05, rank, df) if finite else stats.chi2.isf(0.05, rank) / rank
            limit = np.sqrt(rank * float(F))
            self._rejects = lambda b: np.asarray(np.linalg.norm(b @ self._whitener, axis=-1) > limit * self._scale[..., 0])
        # Given the leads, the target moves with them by this much (a regression of its error on theirs).
        self._slope_of_target = path.weights @ path.covariance[:, :k] @ self._whitener @ self._whitener.T

    def _drawn(self, root: Array, seed: int) -> tuple[Array, Array]:
        """(BATCHES, POINTS, k) errors of the leads and (BATCHES, POINTS, 1) scales of their standard errors."""
        k = len(root)
        rng = np.random.default_rng([seed, k])
        uniform = np.stack([qmc.Sobol(k + 1, rng=child).random(POINTS) for child in rng.spawn(BATCHES)])
        uniform = np.clip(uniform, 1e-12, 1 - 1e-12)
        errors = ndtri(uniform[..., :k]) @ root.T
        df = self._scale_df
        scale = np.ones((BATCHES, POINTS, 1)) if df is None else np.sqrt(stats.chi2.ppf(uniform[..., k:], df) / df)
        return errors, scale

    def _power(self, slope: float) -> Array:
        """(BATCHES,) share of draws in which the pretest rejects."""
        return np.asarray(self._rejects(self._draws + slope * self._leads).mean(axis=1))

    def at(self, power: float) -> PretestPower:
        """Slope detected with this power, by bisection, and the bias it means."""
        size = float(self._power(0.0).mean())
        slope, error = self._slope(power) if size < power else (0.0, 0.0)
        b = self._draws + slope * self._leads
        passed = ~self._rejects(b)
        shift = (self._draws @ self._slope_of_target) * passed
        share = passed.sum(axis=1)
        bias = slope * self._later
        if not share.all():
            return PretestPower(power, slope, error, bias, float("nan"), float("nan"), size)
        batches = shift.sum(axis=1) / share
        moved = float(shift.sum() / share.sum())
        return PretestPower(power, slope, error, bias, bias + moved, float(batches.std(ddof=1) / np.sqrt(BATCHES)), size)

    def _slope(self, power: float) -> tuple[float, float]:
        """The slope and its simulation error; for the joint test exact, from the noncentral chi-squared or F."""
        if self._joint:
            rank, df = self._whitener.shape[1], self._scale_df
            chi2 = stats.chi2.isf(0.05, rank)

            def excess(x: float) -> float:
                if df is None:
                    return float(stats.ncx2.sf(chi2, rank, x)) - power
                return float(stats.ncf.sf(stats.f.isf(0.05, rank, df), rank, df, x)) - power

            most = 1.0
            while excess(most) < 0:
                most *= 2
            return float(np.sqrt(brentq(excess, 1e-9, most) / np.sum((self._leads @ self._whitener) ** 2))), 0.0
        low, high = 0.0, float((self._se / np.abs(self._leads)).min())
        while float(self._power(high).mean()) < power:
            low, high = high, 2 * high
        while high - low > 1e-7 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if float(self._power(middle).mean()) < power else (low, middle)
        gain = float((self._power(high * (1 + 10 * STEP)) - self._power(high * (1 - 10 * STEP))).mean()) / (20 * STEP * high)
        spread = float(self._power(high).std(ddof=1) / np.sqrt(BATCHES))
        return high, spread / gain if gain > 0 else float("nan")
