"""Who stays: shares of members of each system and group who are still there, with their sampling variance."""

from __future__ import annotations

import numpy as np

from p4equity.disparity.panel import Array


def retention(members: Array, stayed: Array) -> tuple[Array, Array]:
    """(S, G) shares who stayed and their variances; NaN and 0 without members.

    members, stayed: (S, G) counts. The variance of one member's staying is pooled over systems within a group.
    """
    share = np.divide(stayed, members, out=np.full(members.shape, np.nan), where=members > 0)
    total = members.sum(axis=0)
    p = np.divide(stayed.sum(axis=0), total, out=np.zeros(len(total)), where=total > 0)
    variance = np.divide(np.broadcast_to(p * (1 - p), members.shape), members, out=np.zeros(members.shape), where=members > 0)
    return share, variance


def retention_gap(members: Array, stayed: Array, minimum: float) -> dict[str, tuple[Array, Array]]:
    """Value and variance by system of the reference's share (column 0), the mean of the groups', and their difference.

    gap = reference - mean of the groups: positive where groups leave more. NaN where a group has fewer than `minimum` members.
    """
    share, variance = retention(members, stayed)
    share = np.where(members >= max(minimum, 1), share, np.nan)
    n = members.shape[1] - 1
    group = share[:, 1:].mean(axis=1), variance[:, 1:].sum(axis=1) / n**2
    reference = share[:, 0], variance[:, 0]
    return {"gap": (reference[0] - group[0], reference[1] + group[1]), "reference": reference, "group": group}
