"""Squared cluster scores of a regression under many label vectors, from the rows of units with multiples of one design."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p4equity.inference.reassignment import Labels

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
ROUNDING = 1e-13  # designs that differ by less than this share of their size are multiples of each other


@dataclass(frozen=True)
class Alike:
    """Units whose rows have the same regressors under every label, but for a factor: their root weight.

    members: (m,) positions among all units; scale: (m,). X: (C, T, K) regressors under each label, Q: (T, q) the other columns,
    both of a unit of scale 1. Z: (m, T, outcomes + K) outcomes and observed regressors without effects, times scale.
    """

    members: Codes
    scale: Array
    X: Array
    Q: Array
    Z: Array


@dataclass(frozen=True)
class Solutions:
    """What B label vectors give p contrasts; a first axis of 1 stands for B where all have the same.

    weights: (B, p, K) contrast' M^-1. y: (B, m, K) coefficients of the m outcomes; d: (B, p, K) of each contrast's direction.
    All are followed by what the q other columns take out of them: (B, ., K + q).
    """

    weights: Array
    y: Array
    d: Array

    @classmethod
    def of(cls, A: Array, *parts: Array) -> Solutions:
        """A: (q, K, B) other columns times regressors; parts: (K, ., B)."""
        taken = (np.tensordot(A[:, :, 0], b, axes=1) if A.shape[2] == 1 else np.einsum("qkb,kpb->qpb", A, b) for b in parts)
        joined = (np.concatenate([b, -moved]) for b, moved in zip(parts, taken, strict=True))
        return cls(*(np.ascontiguousarray(part.transpose(2, 1, 0)) for part in joined))

    def rows(self, columns: Array, of: Codes | slice) -> tuple[Array, Array, Array]:
        """(B, ., T) combinations of columns (T, K + q), of some label vectors."""
        chosen = (part if len(part) == 1 else part[of] for part in (self.weights, self.y, self.d))
        v, y, d = ((part.reshape(-1, part.shape[2]) @ columns.T).reshape(*part.shape[:2], -1) for part in chosen)
        return v, y, d


def alike(holder: Codes, place: Codes, X: Array, Q: Array, Z: Array) -> list[Alike]:
    """Units of equal design, put together. holder: (N,) unit of each row; place: (N,) order of rows inside one.

    X: (C, N, K), Q: (N, q), Z: (N, m + K), all in root-weight scale.
    """
    order = np.lexsort((place, holder))
    starts = np.flatnonzero(np.diff(holder[order], prepend=-1))
    found: dict[int, list[tuple[Array, list[int], list[float], list[Codes]]]] = {}
    for unit, rows in enumerate(np.split(order, starts[1:])):
        own = np.concatenate([X[:, rows].transpose(1, 0, 2).reshape(len(rows), -1), Q[rows]], axis=1)
        size = float(np.linalg.norm(own))
        for design, members, scales, held in found.setdefault(len(rows), []):
            if np.abs(own - size * design).max(initial=0.0) <= ROUNDING * size:
                members.append(unit)
                scales.append(size)
                held.append(rows)
                break
        else:
            found[len(rows)].append((own / (size or 1.0), [unit], [size or 1.0], [rows]))
    out = []
    for designs in found.values():
        for design, members, scales, held in designs:
            scale, place_of = np.array(scales), np.stack(held)
            x = design[:, : X.shape[0] * X.shape[2]].reshape(-1, X.shape[0], X.shape[2]).transpose(1, 0, 2)
            own = design[:, X.shape[0] * X.shape[2] :]
            out.append(Alike(np.array(members), scale, x, own, scale[:, None, None] * Z[place_of]))
    return out


def score_squares(groups: Sequence[Alike], table: Labels, found: Solutions, directions: Array) -> tuple[Array, Array, Array]:
    """Sums over units of squared scores of each outcome (m, p, B), of their products with the direction's, and of its squares.

    directions: (p, K). A unit's score is v'e, v the regressors without effects times the weights, e the residuals.
    """
    m, (p, K), B = found.y.shape[1], directions.shape, len(table)
    first, both, second = np.zeros((m, p, B)), np.zeros((m, p, B)), np.zeros((p, B))
    for group in groups:
        z, d = group.Z[:, :, :m], group.Z[:, :, -K:] @ directions.T  # (n, T, m) and (n, T, p)
        alone = len(group.members) == 1
        for c, x in enumerate(group.X):
            ones = table[:, group.members] == c
            rows = np.flatnonzero(ones) if alone else slice(None)
            v, fitted, moved = found.rows(np.hstack([x, group.Q]), rows)
            if alone:
                size = float(group.scale[0]) ** 2
                outer = np.einsum("bpt,tp->pb", v, d[0]) - size * np.einsum("bpt,bpt->pb", v, moved)
                inner = np.einsum("bpt,tm->mpb", v, z[0]) - size * np.einsum("bpt,bmt->mpb", v, fitted)
                second[:, rows] += outer**2
                first[..., rows] += inner**2
                both[..., rows] += inner * outer
                continue
            held = ones.astype(float)
            for i in range(p):
                outer = _scores(d[:, :, i], v[:, i], moved[:, i], group.scale)
                second[i] += np.einsum("bn,bn,bn->b", outer, outer, held)
                for j in range(m):
                    inner = _scores(z[:, :, j], v[:, i], fitted[:, j], group.scale)
                    first[j, i] += np.einsum("bn,bn,bn->b", inner, inner, held)
                    both[j, i] += np.einsum("bn,bn,bn->b", inner, outer, held)
    return first, both, second


def _scores(z: Array, v: Array, fitted: Array, scale: Array) -> Array:
    """(B, n) v'(z - fitted) of the units, from z (n, T), v and fitted (B, T)."""
    return np.asarray(v @ z.T - (v * fitted).sum(axis=1)[:, None] * scale**2)
