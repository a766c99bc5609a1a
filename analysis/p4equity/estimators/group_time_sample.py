"""From a checked panel to the samples of group-time effects: who can contribute, who is complete, what the reader must know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from p4equity.errors import DataError, UsageError
from p4equity.estimators.arguments import known
from p4equity.estimators.arms import require_arms
from p4equity.estimators.base import Dropped, Flags, Request
from p4equity.estimators.group_time_cells import NEVER, Cell, Plan, Sample, schedule
from p4equity.estimators.panels import Panel, not_after, unbalanced
from p4equity.estimators.two_by_two import METHODS

BASE_PERIODS = ("varying", "universal")
UNBALANCED = ("drop", "cross_sections")
FIX_WEIGHTS = ("earlier", "base_period", "first_period", "varying")
LISTED = 10  # units named in a sentence


@dataclass(frozen=True)
class Settings:
    """The own options of group-time estimators, words checked."""

    plan: Plan
    base_period: str
    panel: bool
    unbalanced: str


def settings(request: Request, methods: Sequence[str] = METHODS) -> Settings:
    """Own options with their defaults. Raises UsageError for unknown words, and for weights that cross-sections cannot fix."""
    own: Mapping[str, object] = request.own
    words = {
        "method": methods,
        "base_period": BASE_PERIODS,
        "unbalanced": UNBALANCED,
        "fix_weights": FIX_WEIGHTS,
    }
    given = {name: str(own.get(name, allowed[0])) for name, allowed in words.items()}
    for name, allowed in words.items():
        known(own.get(name, allowed[0]), allowed, name, f"fit: {request.estimator}, {name}")
    follows = own.get("panel", True)
    if not isinstance(follows, bool | np.bool_):
        raise UsageError("neither true nor false", where="fit: panel", expected="True or False", found=repr(follows))
    if given["fix_weights"] != "earlier" and (not follows or given["unbalanced"] == "cross_sections"):
        raise UsageError(
            "cross-sections use the weight of each row",
            where="fit: fix_weights",
            expected="earlier, the default",
            found=given["fix_weights"],
            fix="leave fix_weights out",
        )
    plan = Plan(given["method"], request.anticipation, given["fix_weights"])
    return Settings(plan, given["base_period"], bool(follows), given["unbalanced"])


def eligible(panel: Panel, request: Request) -> tuple[Panel, tuple[str, ...]]:
    """The panel without units that are treated, or anticipate, from its first period on, and sentences for the reader.

    With comparison 'not_yet' and nobody never treated the last cohort serves as comparison only, and periods from its start
    (less anticipation) on are left out. Raises StudyError without a treated or a comparison unit.
    """
    panel = _without_always(panel, request)
    notes: tuple[str, ...] = ()
    cohort = panel.frame["cohort"]
    if request.comparison == "not_yet" and len(cohort) and not cohort.isna().any():
        panel, notes = _without_last(panel, request)
    _require(panel, request)
    return panel, notes


def _without_always(panel: Panel, request: Request) -> Panel:
    """The panel without units that have no period before treatment; again, where they alone saw the first period."""
    reason = "no period before its first treated period" + (" and its anticipation" if request.anticipation else "")
    while True:
        frame = panel.frame
        always = np.asarray(frame["cohort"] <= frame["time"].min() + request.anticipation, bool)
        if not always.any():
            return panel
        gone = tuple(Dropped(str(u), "", reason) for u in sorted(set(frame.loc[always, "unit"])))
        panel = replace(panel.take(~always), dropped=panel.dropped + gone)


def _without_last(panel: Panel, request: Request) -> tuple[Panel, tuple[str, ...]]:
    frame, last = panel.frame, float(panel.frame["cohort"].max())
    late = np.asarray(frame["time"] >= last - request.anticipation, bool)
    reason = "no untreated comparison unit in this period"
    gone = tuple(
        Dropped(str(unit), ", ".join(str(panel.labels[v]) for v in sorted(part["time"].unique())), reason)
        for unit, part in frame[late].groupby("unit", sort=True)
    )
    text = f"no unit is never treated: cohort {panel.cohorts[last]} serves as comparison only, and only until it starts"
    panel = replace(panel.take(~late), dropped=panel.dropped + gone)
    frame = panel.frame.assign(cohort=panel.frame["cohort"].where(panel.frame["cohort"] < last))
    return replace(panel, frame=frame), (text,)


def _require(panel: Panel, request: Request) -> None:
    """Raise StudyError when no unit with a period before and after treatment, or no comparison unit, is left."""
    frame = panel.frame
    treated = frame.loc[panel.treated, "unit"].nunique()
    never = frame.loc[frame["cohort"].isna(), "unit"].nunique()
    first = frame.loc[panel.treated, "cohort"].min()
    later = int(frame.loc[frame["cohort"] > first, "unit"].nunique()) if treated else 0
    comparison = int(never) + (later if request.comparison == "not_yet" else 0)
    require_arms(int(treated), comparison, request, panel.arms, (*panel.dropped, *not_after(panel)), later)


def complete(panel: Panel, request: Request, options: Settings) -> tuple[Panel, bool, tuple[str, ...]]:
    """The panel, whether each unit has one row in every period of it, and sentences for the reader.

    unbalanced='drop' leaves units with missing periods out; 'cross_sections' keeps them. Raises DataError for several rows a
    unit and period, which only differing covariates or clusters make, and for units that change their cluster.
    """
    keys = ["unit", "group"]
    frame = panel.frame
    if options.panel:
        _one_row(frame)
    count = frame.groupby(keys)["time"].transform("nunique")
    partial = np.asarray(count < frame["time"].nunique(), bool)
    notes = _attrition(panel, options)
    if options.panel and not partial.any():
        return panel, True, notes
    if options.panel and options.unbalanced == "drop":
        gone = _incomplete(panel, partial)
        some = f"{len({d.unit for d in gone})} units without a row in every period are left out"
        notes = (*notes, f"{some}; unbalanced='cross_sections' keeps them, as repeated cross-sections")
        panel = replace(panel.take(~partial), dropped=panel.dropped + gone)
        if not len(panel.frame):
            raise DataError(
                "no unit has a row in every period",
                where="fit: data",
                expected="some complete units",
                found="none",
                fix="unbalanced='cross_sections', or panel=False, compares units that are not complete",
            )
        _require(panel, request)
        return panel, True, notes
    stays = unbalanced(panel) if _followed(frame) else ()
    return replace(panel, unbalanced=stays), False, notes


def _one_row(frame: pd.DataFrame) -> None:
    twice = frame.duplicated(["unit", "group", "time"])
    if twice.any():
        raise DataError(
            "several rows a unit and period, with different covariates or clusters",
            where=f"fit: data, unit {frame.loc[twice, 'unit'].iloc[0]}",
            expected="one value a unit and period",
            found=f"{int(twice.sum())} rows beyond the first",
            fix="panel=False for repeated cross-sections, or pass the means",
        )
    moved = frame.groupby(["unit", "group"])["cluster"].nunique()
    if (moved > 1).any():
        raise DataError(
            "cluster changes within a unit",
            where=f"fit: cluster, unit {moved.index[moved > 1][0][0]}",
            expected="one cluster a unit",
            found=f"{int((moved > 1).sum())} units that change",
            fix="cluster by what does not change, or panel=False for repeated cross-sections",
        )


def _followed(frame: pd.DataFrame) -> bool:
    """Whether units are seen over time at all: rows that are units of their own are not."""
    return bool(frame.groupby(["unit", "group"])["time"].nunique().max() > 1)


def _incomplete(panel: Panel, partial: Flags) -> tuple[Dropped, ...]:
    """The units left out, with the periods they lack."""
    every, out = set(panel.frame["time"]), []
    for (unit, group), part in panel.frame[partial].groupby(["unit", "group"], sort=True):
        missing = ", ".join(str(panel.labels[v]) for v in sorted(every - set(part["time"])))
        out.append(Dropped(str(unit), missing, "missing periods" + ("" if group == "all" else f" ({group})")))
    return tuple(out)


def _attrition(panel: Panel, options: Settings) -> tuple[str, ...]:
    """Sentences on units that leave before the last period, and on those that come after the first."""
    frame = panel.frame
    if not _followed(frame):
        return ()
    seen = frame.groupby("unit")["time"].agg(["min", "max"])
    drop = options.panel and options.unbalanced == "drop"
    what = "they are left out" if drop else "comparisons of periods mix this with change"
    out = []
    for flag, verb, seen_at, column in (
        (seen["max"] < frame["time"].max(), "leave", "last", "max"),
        (seen["min"] > frame["time"].min(), "enter", "first", "min"),
    ):
        late = seen.loc[flag, column]
        units = [f"{u} ({seen_at} seen {panel.labels[float(t)]})" for u, t in late.items()]
        if units:
            more = f" and {len(units) - LISTED} more" if len(units) > LISTED else ""
            names = ", ".join(units[:LISTED]) + more
            out.append(f"composition changes: {len(units)} of {len(seen)} units {verb} ({names}); {what}")
    return tuple(out)


def sample(panel: Panel, balanced: bool, options: Settings, rows: Flags, compared: Flags) -> Sample:
    """The sample of some rows (N,) of a panel; clusters keep one coding in all samples of it."""
    cluster, names = pd.factorize(panel.frame["cluster"].astype(str), sort=True)
    frame = panel.frame[rows]
    identity = pd.factorize(pd.MultiIndex.from_arrays([frame["unit"], frame["group"]]), sort=True)[0]
    time = frame["time"].to_numpy(float)
    order = np.lexsort([time, identity])
    w = frame["w"].to_numpy(float)[order]
    return Sample(
        np.asarray(identity[order], np.int64),
        np.asarray(cluster[rows][order], np.int64),
        time[order],
        frame["cohort"].fillna(NEVER).to_numpy(float)[order],
        compared[rows][order],
        panel.Y[rows][order],
        w,
        np.ones(len(w)) if options.panel else w,
        panel.covariates()[rows][order],
        np.unique(panel.frame["time"].to_numpy(float)),
        balanced,
        not options.panel,
        len(names),
    )


def planned(part: Sample, request: Request, options: Settings) -> list[Cell]:
    """The cells of group and time that the sample's cohorts and periods have."""
    return schedule(
        part.times,
        np.unique(part.cohort),
        comparison=request.comparison,
        anticipation=request.anticipation,
        base_period=options.base_period,
    )


def weight_notes(panel: Panel, balanced: bool, options: Settings, request: Request) -> tuple[str, ...]:
    """Sentences on weights that change over time, and on counts in cells that are taken for one draw each."""
    frame = panel.frame
    if request.weights is None:
        return ()
    if balanced:
        spread = frame.groupby(["unit", "group"])["w"].agg(["min", "max"])
        if (spread["max"] - spread["min"] > 1e-9 * spread["max"]).any() and options.plan.fix_weights == "earlier":
            return ("weights change over time: each comparison uses those of the earlier of its two periods (see fix_weights)",)
        return ()
    alone = frame.groupby("cluster").size().max() == 1
    if alone and not options.panel and float(frame["w"].max()) > 1:
        text = "each row is a cluster of its own: its weight is taken as the importance of one draw, not as a count of members"
        return (f"{text}; errors of members need clusters that hold whole cells, such as the system",)
    return ()
