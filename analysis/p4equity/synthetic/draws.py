"""Random streams: one a stage and block, so that a block's bytes depend on nothing but the seed and its number."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def stream(seed: int, stage: str, block: int = 0) -> np.random.Generator:
    """The generator of one stage and block: counter-based (Philox), keyed by (seed, stage, block)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=(crc32(stage.encode()), block))))


def pick(rng: np.random.Generator, cumulative: FloatArray, rows: IntArray | None, n: int) -> IntArray:
    """n category numbers from cumulated shares: a vector, or a matrix of which `rows` names the row of each draw."""
    uniform = rng.random(n)
    if cumulative.ndim == 1:
        found: IntArray = np.minimum(np.searchsorted(cumulative, uniform, side="right"), len(cumulative) - 1)
        return found
    if rows is None:
        raise ValueError("a matrix of shares needs the row of each draw")
    width = cumulative.shape[1]
    offset = (cumulative + np.arange(len(cumulative))[:, None]).ravel()
    place = np.searchsorted(offset, uniform + rows, side="right") - rows * width
    inside: IntArray = np.clip(place, 0, width - 1)
    return inside


def cumulate(shares: FloatArray) -> FloatArray:
    """Cumulated shares along the last axis, ending at exactly 1."""
    total = np.cumsum(shares, axis=-1)
    result: FloatArray = total / total[..., -1:]
    return result


def autoregressive(rng: np.random.Generator, shape: tuple[int, ...], sd: float, correlation: float) -> FloatArray:
    """Stationary AR(1) series along the last axis with marginal standard deviation `sd`."""
    noise = rng.standard_normal(shape)
    series = np.empty(shape)
    series[..., 0] = noise[..., 0]
    for t in range(1, shape[-1]):
        series[..., t] = correlation * series[..., t - 1] + np.sqrt(1 - correlation**2) * noise[..., t]
    return sd * series
