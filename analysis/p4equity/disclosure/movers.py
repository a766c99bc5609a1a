"""Members of a system that left, by group: a group with few members at a place is hidden whole, and never alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from p4equity.disclosure.marks import SMALL, apply, small
from p4equity.estimates import SUPPRESSED

LINE = ["system_id", "years_later"]


def protect_group_movers(table: pd.DataFrame, whole: pd.DataFrame, threshold: int) -> pd.DataFrame:
    """Rows by group without numbers where a count is small or could be told from what is shown.

    table: every group of a system, number of years later and place, so that groups add up to all members. whole: the released
    rows of all groups together. Where one of these is hidden no group is shown. Else a group with a small count is hidden at all
    places, with the smallest others until each place holds none or at least the threshold of hidden members: of two groups or
    more, hidden at every place, only the sums are known.
    """
    hidden: set[tuple[object, ...]] = set()
    closed = set(whole.loc[whole["status"] == SUPPRESSED, LINE].itertuples(index=False, name=None))
    for key, own in table.groupby(LINE):
        counts = own.pivot_table(index="group", columns="place", values="n", aggfunc="sum", fill_value=0)
        groups = list(counts.index[small(counts.to_numpy(), threshold).any(axis=1)])
        order = [g for g in counts.sum(axis=1).sort_values(kind="stable").index if g not in groups]
        while groups and order and not _covered(counts.loc[groups].to_numpy(float), threshold):
            groups.append(order.pop(0))
        groups = list(counts.index) if key in closed else groups
        hidden |= {(*key, g) for g in groups}
    flags = np.array([k in hidden for k in table[[*LINE, "group"]].itertuples(index=False, name=None)], bool)
    out = apply(table, flags, flags, ("n", "share"))
    return out.assign(reason=pd.Series(SMALL, index=out.index, dtype=object).where(pd.Series(flags, index=out.index), None))


def _covered(counts: np.ndarray[tuple[int, ...], np.dtype[np.float64]], threshold: int) -> bool:
    return len(counts) > 1 and not small(counts.sum(axis=0), threshold).any()
