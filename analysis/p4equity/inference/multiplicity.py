"""Adjusted p values for families of tests, and for families in an order of gates."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from p4equity.errors import UsageError, did_you_mean

Array = NDArray[np.float64]
TIE = 1e-9  # relative difference within which two statistics count as equal


def _checked(p_values: ArrayLike) -> Array:
    p = np.asarray(p_values, float)
    known = np.isfinite(p)
    if ((p[known] < 0) | (p[known] > 1)).any():
        raise UsageError("p values lie between 0 and 1", expected="[0, 1]", found=(float(p[known].min()), float(p[known].max())))
    return p


def _adjusted(p_values: ArrayLike, sorted_p: Callable[[Array], Array]) -> Array:
    """Adjusted p values of those that are known, given the rule for p values in ascending order."""
    p = _checked(p_values)
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    if len(order):
        out[order] = np.minimum(sorted_p(p[order]), 1.0)
    return out


def holm(p_values: ArrayLike) -> Array:
    """Holm's step-down p values, controlling the family-wise error rate; NaN stays NaN and does not count as a test."""
    # Not by statsmodels, whose Holm collects garbage at each call: up to a second in a process that holds much.
    return _adjusted(p_values, lambda p: np.maximum.accumulate(p * np.arange(len(p), 0, -1)))


def benjamini_hochberg(p_values: ArrayLike) -> Array:
    """Benjamini and Hochberg's p values, controlling the false discovery rate; NaN stays NaN and does not count as a test."""
    from statsmodels.stats.multitest import fdrcorrection

    return _adjusted(p_values, lambda p: fdrcorrection(p, is_sorted=True)[1])


def romano_wolf(statistics: ArrayLike, draws: ArrayLike, *, sampled: bool = True) -> Array:
    """Romano and Wolf's step-down p values (m,), controlling the family-wise error rate under the tests' joint distribution.

    statistics (m,): test statistics whose size counts, such as t. draws (B, m): the same statistics under the null in B
    joint draws: assignments permuted for all hypotheses at once, or bootstrap weights shared by them, centred on the
    null. Statistics must be comparable (studentized). Each hypothesis, the largest statistic first, is compared with the
    largest draw over itself and all smaller ones, and p never falls on the way. sampled: p is (1 + count) / (1 + B);
    else the draws are all there are, the observed one among them, and p is count / B. Ties count. NaN stays NaN and does
    not count as a test. Source: Romano and Wolf (2005, 2016).
    """
    observed, drawn = np.abs(np.asarray(statistics, float)), np.abs(np.asarray(draws, float))
    if observed.ndim != 1 or drawn.ndim != 2 or drawn.shape[1] != len(observed) or not len(drawn):
        raise UsageError(
            "draws do not match the statistics", expected="(m,) and (B, m), B > 0", found=(observed.shape, drawn.shape)
        )
    known = np.flatnonzero(np.isfinite(observed))
    if np.isnan(drawn[:, known]).any():
        raise UsageError("a draw of a statistic is missing", expected="a number for every draw and hypothesis", found="NaN")
    order = known[np.argsort(-observed[known], kind="stable")]
    out = np.full(len(observed), np.nan)
    if not len(order):
        return out
    # Largest draw over each hypothesis and those after it in the order.
    largest = np.maximum.accumulate(drawn[:, order[::-1]], axis=1)[:, ::-1]
    count = (largest >= observed[order] * (1 - TIE)).sum(axis=0)
    p = (1 + count) / (1 + len(drawn)) if sampled else count / len(drawn)
    out[order] = np.maximum.accumulate(p)
    return out


Adjustment = Callable[[Sequence[Hashable], Array], Array]
METHODS: Mapping[str, Adjustment] = {
    "holm": lambda _, p: holm(p),
    "benjamini_hochberg": lambda _, p: benjamini_hochberg(p),
    "none": lambda _, p: p,
}


Level = Mapping[Hashable, Mapping[Hashable, float]]


def gatekept(levels: Sequence[Level], method: str | Adjustment = "holm", *, between: str = "none") -> dict[Hashable, float]:
    """Adjusted p value of every question in families behind gates: a question counts only as far as the one before it does.

    levels: the first has one family without a gate, {None: {question: p}}, such as the pooled question; each next one
    maps a question of an earlier level to the family behind it, {pooled: {measure: p, ...}}, {measure: {group: p, ...}}.
    A family is adjusted by `method`: holm, benjamini_hochberg, none, or a function (questions, p values) -> p values,
    such as one that reads `romano_wolf` of their draws. No p is smaller than that of its gate, so that at any level
    alpha a question is rejected only when its gate is. NaN has no answer, does not count in its family, and gives its
    own families none. between: none lets each family of a level spend the whole alpha, as the registered hierarchy does
    (strong control within each branch); bonferroni multiplies by the number of families of the level that have an
    answer (strong control over all of them). Raises UsageError for unknown words, unknown gates or a question twice.
    Source: serial gatekeeping (Dmitrienko and Tamhane 2007).
    """
    if between not in ("none", "bonferroni"):
        raise UsageError("unknown correction between families", expected="none, bonferroni", found=between)
    if isinstance(method, str) and method not in METHODS:
        raise UsageError("unknown method", expected=", ".join(METHODS), found=method, fix=did_you_mean(method, tuple(METHODS)))
    adjust = METHODS[method] if isinstance(method, str) else method
    out: dict[Hashable, float] = {}
    for level in levels:
        families = sum(bool(np.isfinite(list(family.values())).any()) for family in level.values())
        factor = families if between == "bonferroni" else 1
        found: dict[Hashable, float] = {}
        for gate, family in level.items():
            if gate is not None and gate not in out:
                raise UsageError("a family behind an unknown gate", expected="a question of an earlier level", found=str(gate))
            if twice := [q for q in family if q in out or q in found]:
                raise UsageError("a question in two families", expected="each once", found=str(twice[0]))
            floor = out[gate] if gate is not None else 0.0
            found |= _family(family, adjust, factor, floor)
        out |= found
    return out


def _family(family: Mapping[Hashable, float], adjust: Adjustment, factor: int, floor: float) -> dict[Hashable, float]:
    """Adjusted p values of one family, none below its gate's; NaN all over behind a gate without an answer."""
    p = _checked(list(family.values()))
    kept = [q for q, value in zip(family, p, strict=True) if np.isfinite(value)]
    out = dict.fromkeys(family, float("nan"))
    if not kept or not np.isfinite(floor):
        return out
    adjusted = np.asarray(adjust(kept, p[np.isfinite(p)]), float)
    return out | {q: float(max(min(a * factor, 1.0), floor)) for q, a in zip(kept, adjusted, strict=True)}
