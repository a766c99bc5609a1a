"""Simulated changes of a question's cells: lasting shocks to systems' yearly gaps, sampling error, no effect on average."""

from __future__ import annotations

import numpy as np

from p4equity.calibration.settings import Setting
from p4equity.inference.shocks import PERSISTENCE
from p4equity.inference.stacked import Array, Stacked
from p4equity.symmetric import symmetric_root


def draw_changes(
    cells: Stacked,
    contrasts: Array,
    years: tuple[int, ...],
    variance: float,
    setting: Setting,
    draws: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """(R, S, M) changes and (R, S, M) effects in them; NaN and 0 where a cell has no change.

    variance: of a yearly shock in an average system, squared points.
    """
    span = np.arange(years[0], years[-1] + 1)
    whole = np.zeros((*contrasts.shape[:2], len(span)))
    whole[:, :, np.asarray(years) - years[0]] = contrasts
    scale = np.sqrt(variance * (_sizes(cells) if setting.growing else np.ones(len(cells.y))))
    y = np.einsum("smt,rsmt->rsm", whole * scale[:, None, None], _shocks(rng, (draws, *whole.shape), setting))
    y += _sampling(rng, cells, setting.truth, draws)
    effects = np.zeros_like(y)
    if setting.effect_sd:
        effects = setting.effect_sd * rng.standard_normal((draws, len(cells.y), 1)) * (cells.contracts & cells.present)
    return np.where(cells.present, y + effects, np.nan), effects


def _sizes(cells: Stacked) -> Array:
    """(S,) sizes of systems with mean one: the inverse of their mean sampling variance."""
    v = np.where(cells.present, np.einsum("smm->sm", cells.covariance), np.nan)
    with_change = cells.present.any(axis=1)
    size = np.zeros(len(v))
    size[with_change] = 1 / np.nanmean(v[with_change], axis=1)
    return np.asarray(size / size[with_change].mean())


def _shocks(rng: np.random.Generator, shape: tuple[int, ...], setting: Setting) -> Array:
    """(R, S, M, T) autoregressive shocks of variance one, correlated between measures as the setting says."""

    def innovation() -> Array:
        def noise(size: tuple[int, ...]) -> Array:
            normal = setting.tails == "normal"
            return rng.standard_normal(size) if normal else np.asarray(rng.standard_t(3, size) / np.sqrt(3))

        own = noise(shape[:3])
        if not setting.shared:
            return own
        return np.asarray(np.sqrt(1 - setting.shared) * own + np.sqrt(setting.shared) * noise((*shape[:2], 1)))

    out = np.empty(shape)
    out[..., 0] = innovation()
    for t in range(1, shape[3]):
        out[..., t] = PERSISTENCE * out[..., t - 1] + np.sqrt(1 - PERSISTENCE**2) * innovation()
    return out


def _sampling(rng: np.random.Generator, cells: Stacked, truth: float, draws: int) -> Array:
    """(R, S, M) normal sampling errors with `truth` times the stated covariance."""
    root = np.sqrt(truth) * symmetric_root(cells.covariance)
    return np.asarray(np.einsum("smk,rsk->rsm", root, rng.standard_normal((draws, *cells.y.shape))))
