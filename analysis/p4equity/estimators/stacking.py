"""Sub-experiments stacked: for each cohort its units and clean comparison units within a window, with corrective weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.errors import StudyError
from p4equity.estimators.base import Array, Dropped, Flags, Request
from p4equity.estimators.panels import Panel


@dataclass(frozen=True)
class Stack:
    """Rows of all sub-experiments. row: (n,) numbers of the panel's rows. cohort: of the sub-experiment. event: periods since
    its start. treated: whether the unit is its treated one. weight: own weight times the corrective one."""

    row: NDArray[np.intp]
    cohort: Array
    event: Array
    treated: Flags
    weight: Array

    def take(self, rows: Flags) -> Stack:
        """Some of the rows."""
        return Stack(self.row[rows], self.cohort[rows], self.event[rows], self.treated[rows], self.weight[rows])


def stack_panel(panel: Panel, window: tuple[float, float], request: Request) -> tuple[Panel, Stack]:
    """The stack, and the panel with notes on cohorts and rows left out. Raises StudyError when no cohort is left."""
    pre, post = window
    frame = panel.frame
    group, cohort, time = panel.column("group"), frame["cohort"].to_numpy(float), frame["time"].to_numpy(float)
    first, last = float(time.min()), float(time.max())
    parts, notes = [], []
    for label in panel.groups:
        inside = group == label
        for a in np.unique(cohort[inside & panel.treated]):
            clean = np.isnan(cohort)
            if request.comparison == "not_yet":
                clean = clean | (cohort > a + post + request.anticipation)
            event = time - a
            near = inside & (event >= -pre) & (event <= post)
            own, other = near & (cohort == a), near & clean
            reason = ""
            if a - pre < first or a + post > last:
                reason = f"its window of {pre:.0f} periods before and {post:.0f} after does not fit into the data"
            elif not other.any():
                reason = "no clean comparison unit in its window"
            if reason:
                units = sorted(set(frame.loc[inside & (cohort == a), "unit"]))
                notes += [Dropped(str(u), "", reason + ("" if label == "all" else f" ({label})")) for u in units]
                continue
            rows = np.flatnonzero(own | other)
            parts.append(Stack(rows, np.full(len(rows), a), event[rows], own[rows], frame["w"].to_numpy(float)[rows]))
    out = replace(panel, dropped=panel.dropped + tuple(notes))
    if not parts:
        raise StudyError(
            "no treated unit left",
            where="fit: window",
            expected="a cohort with all periods of the window and a clean comparison unit",
            found=f"none with {pre:.0f} periods before and {post:.0f} after",
            fix="give a smaller window, or comparison='not_yet'",
        )
    joined = [np.concatenate([getattr(p, f) for p in parts]) for f in ("row", "cohort", "event", "treated", "weight")]
    stack = Stack(joined[0], joined[1], joined[2], joined[3], joined[4])
    corrected, lost = _corrected(stack, group[stack.row])
    return replace(out, dropped=out.dropped + _unpaired(out, stack, lost)), corrected


def _corrected(stack: Stack, group: NDArray[np.object_]) -> tuple[Stack, Flags]:
    """The stack with corrective weights, and the rows (n,) that have no counterpart in their sub-experiment and event time."""
    frame = pd.DataFrame({"g": group, "a": stack.cohort, "e": stack.event, "w": stack.weight})
    frame["D"], frame["C"] = frame["w"] * stack.treated, frame["w"] * ~stack.treated
    own = frame.groupby(["g", "a", "e"])[["D", "C"]].transform("sum")
    both = ((own["D"] > 0) & (own["C"] > 0)).to_numpy(bool)
    every = frame[both].groupby(["g", "e"])[["D", "C"]].transform("sum")
    part = own[both]
    factor = (part["D"] / every["D"]) / (part["C"] / every["C"])
    out = stack.take(both)
    weight = np.where(out.treated, out.weight, out.weight * factor.to_numpy(float))
    return replace(out, weight=np.asarray(weight)), ~both


def _unpaired(panel: Panel, stack: Stack, lost: Flags) -> tuple[Dropped, ...]:
    """Treated rows without a comparison row at their event time, by unit."""
    rows = panel.frame.iloc[stack.row[lost & stack.treated]]
    reason = "no clean comparison unit at this event time"
    return tuple(
        Dropped(str(unit), ", ".join(str(panel.labels[t]) for t in sorted(part["time"].unique())), reason)
        for unit, part in rows.groupby("unit", sort=True)
    )
