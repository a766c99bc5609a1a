"""Multiple imputation of race and ethnicity: totals by group of members before and after, drawn several times.

A member has one group in all years, so members are drawn, not years: those with the same results, probabilities and system are
exchangeable, and how many of them are in each group is multinomial. Coefficients are drawn anew for every imputation (proper in
the sense of Rubin 1987, by the normal approximation), so that what is not known of the model is in the answers' variance.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from p4equity.disparity.imputation_model import NOT_REPORTED, Array, Histories, fit_model
from p4equity.disparity.panel import ALL, Panel

BEFORE, AFTER = 0, 1


def imputed_totals(histories: Histories, imputations: int, seed: int) -> Array:
    """(M, S, K, 4) totals of years in the denominator and successes, before and after, by system and group.

    Members who reported a group are in it in every imputation. Raises UsageError where nobody reported one.
    """
    rng = np.random.default_rng(seed)
    model = fit_model(histories)
    S, K = len(histories.contracted), histories.p.shape[1]
    known, unknown = (histories.at((histories.reported != NOT_REPORTED) == is_known) for is_known in (True, False))
    reported = np.zeros((S, K, 4))
    np.add.at(reported, (known.system, known.reported), known.members[:, None] * known.results)
    out = np.empty((imputations, S, K, 4))
    members = unknown.members.astype(np.int64)
    for m in range(imputations):
        shares = model.probabilities(unknown, rng.standard_normal(len(model.coefficients)))
        drawn = rng.multinomial(members, shares)
        out[m] = reported
        for k in range(K):
            np.add.at(out[m, :, k], unknown.system, drawn[:, k, None] * unknown.results)
    return out


def imputed_panel(
    base: Panel, totals: Array, expected: Array, measures: tuple[str, ...], groups: tuple[str, ...], periods: NDArray[np.bool_]
) -> Panel:
    """The panel of classes with each group's rates moved, in every year of a period, by what one imputation moves the period's.

    totals: (S, J, K, 4) of one imputation, expected: their means over all, for the J `measures` and K `groups`. periods:
    (2, S, J, T) bool, years before and after.

    Denominators are the expected ones in every imputation, so that all are asked of the same systems; in each a group's share of
    the denominators of a period's years changes alike. Other years, measures and all members stay. Members in
    both of two years are taken to be in proportion to the geometric mean of the two denominators.
    """
    den, num = base.den.copy(), base.num.copy()
    for j, measure in enumerate(measures):
        for k, group in enumerate(groups):
            i = base.index(measure, group)
            for period in (BEFORE, AFTER):
                years = periods[period, :, j]
                own_den, own_num = (np.where(years, a[:, i], 0.0) for a in (base.den, base.num))
                n, y = expected[:, j, k, 2 * period], totals[:, j, k, 2 * period + 1]
                drawn = totals[:, j, k, 2 * period]
                share = np.where(drawn > 0, _share(y, drawn), _share(expected[:, j, k, 2 * period + 1], n))
                held = own_den.sum(axis=1)
                size = np.divide(n, held, out=np.zeros_like(held), where=held > 0)
                moved = share - _share(own_num.sum(axis=1), held)
                rate = np.nan_to_num(np.clip(_share(own_num, own_den) + moved[:, None], 0.0, 1.0))
                resized = own_den * size[:, None]
                den[:, i], num[:, i] = np.where(years, resized, den[:, i]), np.where(years, resized * rate, num[:, i])
    overlap = {g: base.overlap[g] if g == ALL else _resized(base, den, g) for g in base.overlap}
    return replace(base, den=den, num=num, overlap=overlap, with_reading=None)


def _share(part: Array, whole: Array) -> Array:
    return np.asarray(np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0))


def _resized(base: Panel, den: Array, group: str) -> Array:
    columns = [base.index(m, group) for m in base.measures]
    old, new = (a[:, columns].reshape(len(base.systems), -1) for a in (base.den, den))
    size = np.sqrt(np.divide(new, old, out=np.zeros_like(new), where=old > 0))
    return np.asarray(base.overlap[group] * size[:, :, None] * size[:, None, :])
