"""The group of a member given race and ethnicity probabilities, results before and after the contracts, system and contract.

log P(k) / P(0) = (1 + d) log(p_k / p_0) + x (a_k + c_s e_k + b_sk)

p: the member's probabilities. x: one, years in the denominator and successes in excess of what all members have, before and
after.
c_s: 1 where the system is contracted. b_sk ~ N(0, s_x^2): what a system differs by, so that small systems lean on all. Fitted to
members who reported their group, who are taken to stand for those who did not with the same p, x and system (missing at random).
As x holds successes and denominators themselves, the model gives back their totals by group among those it is fitted to;
probabilities alone would only give the probability-weighted estimate again. Flat but proper priors (N(0, 2.5^2) for one standard
deviation of x: Gelman and others 2008) keep rare groups estimable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from p4equity.errors import UsageError

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
NOT_REPORTED = -1
FIXED_SD, SLOPE_SD = 2.5, 1.0  # prior standard deviations of a and e, and of d
FIRST_SPREAD = 0.3  # where the search for s_x starts
LEAST_SPREAD = 0.02  # a system's deviation below 2% of the odds is none
STEPS, ROUNDS = 60, 50  # Newton steps at most; alternations between coefficients and spread of systems
CLOSE = 1e-14  # squared length of a last Newton step in standard errors: the one after it would be below rounding
ROUNDING = 1e-12  # relative, of the posterior
LEAST_P = 1e-6  # probabilities are stated in millionths


@dataclass(frozen=True)
class Histories:
    """Members of one measure, those with the same values counted together.

    system, reported: (C,) codes, reported NOT_REPORTED where unknown. p: (C, K) probabilities. results: (C, 4) years in the
    denominator and successes before, years in the denominator and successes after. members: (C,). contracted: (S,) bool.
    """

    system: Codes
    reported: Codes
    p: Array
    results: Array
    members: Array
    contracted: NDArray[np.bool_]

    def at(self, rows: NDArray[np.bool_]) -> Histories:
        """Some of the rows."""
        return replace(
            self, system=self.system[rows], reported=self.reported[rows], p=self.p[rows], results=self.results[rows],
            members=self.members[rows],
        )  # fmt: skip


@dataclass(frozen=True)
class ImputationModel:
    """Coefficients (P,): the slope d, then a (K-1, F), e (K-1, F), b (S, K-1, F); root: (P, P), root of their covariance."""

    coefficients: Array
    root: Array
    expected: Array
    center: Array
    scale: Array
    spread: Array
    groups: int
    contracted: NDArray[np.bool_]

    def probabilities(self, rows: Histories, deviation: Array | None = None) -> Array:
        """(C, K) probabilities of each group; deviation: (P,) standard normal, for a draw of the coefficients."""
        moved = self.coefficients if deviation is None else self.coefficients + self.root @ deviation
        slope, by_system = _parts(moved, self.contracted, self.groups, len(self.center))
        x = (_features(rows.results, self.expected) - self.center) / self.scale
        return _shares(_log_odds(rows.p), x, rows.system, slope, by_system)


def fit_model(histories: Histories) -> ImputationModel:
    """The model fitted to members who reported their group. Raises UsageError where nobody did.

    Penalized likelihood by Newton steps; the spread of systems by EM, its expectation from the normal approximation.
    """
    known = histories.at(histories.reported != NOT_REPORTED)
    if histories.p.shape[1] < 2:
        raise UsageError("imputation needs groups", expected="two or more", found=histories.p.shape[1])
    if not known.members.sum() > 0:
        raise UsageError("no member reported a group", expected="some with reported >= 0", found="none")
    expected = _expected(histories)
    features = _features(histories.results, expected)
    weight = histories.members / histories.members.sum()
    center = weight @ features
    spread_of_x = np.sqrt(weight @ (features - center) ** 2)
    scale = np.where(spread_of_x > 0, spread_of_x, 1.0)
    center[0], scale[0] = 0.0, 1.0  # the constant stays
    x = (_features(known.results, expected) - center) / scale
    K, S, F = known.p.shape[1], len(known.contracted), features.shape[1]
    spread = np.full(F, FIRST_SPREAD)
    beta = np.zeros(1 + (K - 1) * F * (2 + S))
    for _ in range(ROUNDS):
        precision = _prior_precision(spread, K, S, F)
        beta, information = _maximum(beta, precision, known, x)
        covariance = np.linalg.inv(information)
        own = (beta**2 + np.diag(covariance))[-S * (K - 1) * F :].reshape(-1, F)
        found = np.maximum(np.sqrt(own.mean(axis=0)), LEAST_SPREAD)
        done = bool(np.all(np.abs(found - spread) < 0.02 * spread))
        spread = found
        if done:
            break
    root: Array = np.asarray(np.linalg.cholesky((covariance + covariance.T) / 2), float)
    return ImputationModel(beta, root, expected, center, scale, spread, K, known.contracted)


def _features(results: Array, expected: Array) -> Array:
    """(C, 5): one; years before, successes in excess of what is expected of as many years; the same after."""
    n0, y0, n1, y1 = results.T
    return np.column_stack([np.ones(len(n0)), n0, y0 - expected[0] * n0, n1, y1 - expected[1] * n1])


def _expected(histories: Histories) -> Array:
    """(2,) the share of successes of all members, before and after; 0 where no year is in a denominator."""
    n0, y0, n1, y1 = histories.members @ histories.results
    return np.array([y0 / n0 if n0 > 0 else 0.0, y1 / n1 if n1 > 0 else 0.0])


def _log_odds(p: Array) -> Array:
    """(C, K-1) log odds of every group against the first."""
    logs = np.log(np.maximum(p, LEAST_P))
    return np.asarray(logs[:, 1:] - logs[:, :1])


def _parts(beta: Array, contracted: NDArray[np.bool_], K: int, F: int) -> tuple[float, Array]:
    """The slope, and the coefficients of x in each system (S, K-1, F)."""
    size, S = (K - 1) * F, len(contracted)
    a, e = beta[1 : 1 + size].reshape(K - 1, F), beta[1 + size : 1 + 2 * size].reshape(K - 1, F)
    b = beta[1 + 2 * size :].reshape(S, K - 1, F)
    return 1.0 + float(beta[0]), a + contracted[:, None, None] * e + b


def _shares(offsets: Array, x: Array, system: Codes, slope: float, by_system: Array) -> Array:
    eta = slope * offsets
    for s in np.unique(system):
        rows = system == s
        eta[rows] += x[rows] @ by_system[s].T
    eta = np.column_stack([np.zeros(len(eta)), eta])
    eta -= eta.max(axis=1, keepdims=True)
    shares = np.exp(eta)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _prior_precision(spread: Array, K: int, S: int, F: int) -> Array:
    fixed = np.full(2 * (K - 1) * F, FIXED_SD**-2.0)
    return np.concatenate([[SLOPE_SD**-2.0], fixed, np.tile(spread**-2.0, S * (K - 1))])


def _maximum(beta: Array, precision: Array, rows: Histories, x: Array) -> tuple[Array, Array]:
    """The posterior mode and the information there; steps are halved until the posterior rises.

    The end is told by the gradient: near the mode the posterior itself is flat to rounding, which differs between processors.
    """
    value = _posterior(beta, precision, rows, x)
    for _ in range(STEPS):
        gradient, information = _derivatives(beta, precision, rows, x)
        step, length = np.linalg.solve(information, gradient), 1.0
        if gradient @ step < CLOSE:
            beta = beta + step
            break
        while (tried := _posterior(beta + length * step, precision, rows, x)) < value - ROUNDING * abs(value) and length > CLOSE:
            length /= 2
        value, beta = tried, beta + length * step
    return beta, _derivatives(beta, precision, rows, x)[1]


def _posterior(beta: Array, precision: Array, rows: Histories, x: Array) -> float:
    slope, by_system = _parts(beta, rows.contracted, rows.p.shape[1], x.shape[1])
    shares = _shares(_log_odds(rows.p), x, rows.system, slope, by_system)
    own = shares[np.arange(len(shares)), rows.reported]
    return float(rows.members @ np.log(np.maximum(own, 1e-300)) - 0.5 * precision @ beta**2)


def _derivatives(beta: Array, precision: Array, rows: Histories, x: Array) -> tuple[Array, Array]:
    """Gradient (P,) and information (P, P). Everything about x is a sum by system, from which the whole is put together."""
    K, F, S = rows.p.shape[1], x.shape[1], len(rows.contracted)
    D, n, offsets = K - 1, rows.members, _log_odds(rows.p)
    slope, by_system = _parts(beta, rows.contracted, K, F)
    shares = _shares(offsets, x, rows.system, slope, by_system)
    q = shares[:, 1:]
    hit = (rows.reported[:, None] == np.arange(1, K)).astype(float)
    miss = n[:, None] * (hit - q)
    off_mean = (q * offsets).sum(axis=1)
    g, h, cross = np.zeros((S, D, F)), np.zeros((S, D, F, D, F)), np.zeros((S, D, F))
    for s in np.unique(rows.system):
        i = rows.system == s
        own, ni, qi = x[i], n[i], q[i]
        g[s] = miss[i].T @ own
        cross[s] = (ni[:, None] * qi * (offsets[i] - off_mean[i][:, None])).T @ own
        wide = (qi[:, :, None] * own[:, None, :]).reshape(len(own), D * F)
        h[s] = -(wide.T @ (ni[:, None] * wide)).reshape(D, F, D, F)
        for k in range(D):
            h[s, k, :, k, :] += own.T @ ((ni * qi[:, k])[:, None] * own)
    size, c = D * F, rows.contracted.astype(float)
    G, C, H = g.reshape(S, size), cross.reshape(S, size), h.reshape(S, size, size)
    P = len(beta)
    gradient, information = np.empty(P), np.zeros((P, P))
    gradient[0] = (miss * offsets).sum()
    information[0, 0] = n @ ((q * offsets**2).sum(axis=1) - off_mean**2)
    a, e = slice(1, 1 + size), slice(1 + size, 1 + 2 * size)
    gradient[a], gradient[e] = G.sum(axis=0), c @ G
    information[0, a], information[0, e] = C.sum(axis=0), c @ C
    information[a, a] = H.sum(axis=0)
    information[a, e] = information[e, e] = np.einsum("s,sij->ij", c, H)
    for s in range(S):
        b = slice(1 + (2 + s) * size, 1 + (3 + s) * size)
        gradient[b], information[0, b] = G[s], C[s]
        information[a, b], information[e, b], information[b, b] = H[s], c[s] * H[s], H[s]
    upper = np.triu(information)
    information = upper + np.triu(information, 1).T
    information[np.diag_indices(P)] += precision
    return gradient - precision * beta, information
