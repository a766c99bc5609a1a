"""Panels the regressions run on: cells as they are, or gaps between a reference group and each compared group."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.errors import DataError, UsageError, did_you_mean
from p4equity.estimators.arms import NOT_AFTER, Assigned, require_arms
from p4equity.estimators.base import Array, Base, Dropped, Flags, Request
from p4equity.estimators.tidy import Cells, cell_keys
from p4equity.estimators.values import Codes, codes, distinct, distinct_within, joined, label_of

GAP = ("gap", "reference", "group")


@dataclass(frozen=True)
class Panel:
    """Rows of a regression, sorted.

    frame: unit, group, cluster, parent, time, cohort, w, x0... outcomes: names of the columns of Y, '' for a plain
    outcome. Y, members: (N, m). n_obs: rows in small-sample factors. groups: compared groups, ('all',) for a plain
    outcome. arms: all units given, those left out among them.
    """

    frame: pd.DataFrame
    outcomes: tuple[str, ...]
    Y: Array
    members: Array
    errors: Array
    groups: tuple[str, ...]
    labels: dict[float, object]
    cohorts: dict[float, object]
    n_obs: int
    dropped: tuple[Dropped, ...]
    arms: Assigned
    unbalanced: tuple[Dropped, ...] = ()

    def take(self, rows: Flags) -> Panel:
        """The panel with some of its rows."""
        frame = self.frame[rows].reset_index(drop=True)
        n = int(frame["rows"].sum())
        return replace(self, frame=frame, Y=self.Y[rows], members=self.members[rows], errors=self.errors[rows], n_obs=n)

    @cached_property
    def treated(self) -> Flags:
        """(N,) rows in or after the unit's first treated period."""
        return np.asarray(self.frame["time"] >= self.frame["cohort"], bool)

    def column(self, name: str) -> NDArray[np.object_]:
        """A column of labels."""
        return np.asarray(self.frame[name].to_numpy(), dtype=object)

    @property
    def level(self) -> tuple[str, ...]:
        """The column within whose levels units are compared, where there is one."""
        return ("level",) if "level" in self.frame else ()

    @property
    def periods(self) -> tuple[str, ...]:
        """Columns whose combinations have a period effect each."""
        return "time", "group", *self.level

    @property
    def second_cluster(self) -> NDArray[np.object_] | None:
        """Labels of the second way of clustering, where there is one."""
        return self.column("cluster2") if "cluster2" in self.frame else None

    def sizes(self, outcome: int) -> Array:
        """(N,) members, or what stands for them, behind an outcome: for a gap n1 n0 / (n1 + n0)."""
        frame = self.frame
        if self.outcomes != GAP:
            return np.asarray(frame["size" if "size" in frame else "w"].to_numpy(float))
        n, n_0 = (frame[c].to_numpy(float) for c in ("n", "n_0"))
        return np.asarray((n * n_0 / (n + n_0), n_0, n)[outcome])

    def covariates(self) -> Array:
        """(N, c) covariates."""
        names = [c for c in self.frame.columns if c.startswith("x") and c[1:].isdigit()]
        return np.asarray(self.frame[names].to_numpy(float)) if names else np.zeros((len(self.frame), 0))

    def base(self, rows: Flags, outcome: int = 0) -> Base:
        """Counts behind the rows."""
        time = np.unique(self.frame["time"].to_numpy()[rows])
        years = [float(y) for t in time if (y := year_of(self.labels.get(float(t)))) is not None]
        first, last = min(years, default=float("nan")), max(years, default=float("nan"))
        return Base(self._count(rows, outcome), distinct(self._cell[rows]), first, last, *self.clusters(rows))

    def clusters(self, rows: Flags) -> tuple[int, int, int]:
        """Clusters behind the rows, those treated, and comparison clusters: of units never treated, or after the first cohort."""
        start, after, cluster = self.frame["cohort"].to_numpy()[rows], self.treated[rows], self.cluster[rows]
        later = np.isnan(start) | (start > start[after].min(initial=np.inf))
        return distinct(cluster), distinct(cluster[after]), distinct(cluster[later])

    def code(self, *columns: str) -> Codes:
        """(N,) codes of columns' combinations, in the order of their texts; a column's own are made once."""
        for column in {*columns} - self._codes.keys():
            self._codes[column] = codes(self.frame[column])
        return joined(*(self._codes[column] for column in columns))

    @cached_property
    def _codes(self) -> dict[str, Codes]:
        return {}

    @cached_property
    def cluster(self) -> Codes:
        """(N,) codes of the cluster."""
        return self.code("cluster")

    @cached_property
    def _cell(self) -> Codes:
        return self.code(*cell_keys(self.frame))

    @cached_property
    def _pair(self) -> Codes:
        return self.code(*_pair_keys(self.frame))

    @cached_property
    def unit_group(self) -> Codes:
        """(N,) codes of unit and group."""
        return self.code("unit", "group")

    def _count(self, rows: Flags, outcome: int) -> float:
        """Members behind the rows; the reference group, which several compared groups share, counts once."""
        members = self.members[rows]
        if self.outcomes != GAP:
            return float(members[:, outcome].sum())
        first = np.sort(np.unique(self._pair[rows], return_index=True)[1])
        reference, group = float(members[first, 1].sum()), float(members[:, 2].sum())
        return (reference + group, reference, group)[outcome]


def year_of(label: object) -> int | None:
    """The year that a period's label names, if it names one."""
    if isinstance(label, int) and 1900 <= label <= 2100:
        return label
    year = getattr(label, "year", None)
    return year if isinstance(year, int) else None


def build(cells: Cells, request: Request) -> Panel:
    """Plain panel, or gap panel when a group is given; units that cannot contribute are left out, and said so."""
    panel = plain_panel(cells) if request.group is None else gap_panel(cells, request)
    return checked(panel, request)


def checked(panel: Panel, request: Request) -> Panel:
    """The panel without anticipation and without units that cannot contribute; both arms present, missing periods noted."""
    stays = unbalanced(panel)
    panel = two_sided(without_anticipation(panel, request))
    check_arms(panel, request)
    kept = set(panel.frame["unit"])
    return replace(panel, unbalanced=tuple(d for d in stays if d.unit in kept))


def plain_panel(cells: Cells, outcome: str = "", groups: tuple[str, ...] = ("all",)) -> Panel:
    """Cells as they are, one outcome."""
    Y, members, errors = (cells.frame[c].to_numpy(float)[:, None] for c in ("y", "members", "se"))
    labels = (cells.labels, cells.cohorts)
    return Panel(cells.frame, (outcome,), Y, members, errors, groups, *labels, cells.n_obs, cells.dropped, cells.arms)


def compared_groups(frame: pd.DataFrame, request: Request) -> tuple[str, tuple[str, ...]]:
    """The reference level and the others. Raises UsageError when the reference is not one of the levels."""
    levels = sorted(frame["group"].unique())
    if request.reference is None:
        expected = f"one of: {', '.join(levels)}"
        raise UsageError("a group needs its reference", where="fit: reference", expected=expected, found="nothing")
    reference = label_of(request.reference, levels)
    if reference not in levels:
        expected, fix = f"a level of column '{request.group}'", did_you_mean(reference, levels)
        raise UsageError(f"no group '{reference}'", where="fit: reference", expected=expected, found=reference, fix=fix)
    others = tuple(level for level in levels if level != reference)
    if not others:
        raise UsageError("no group to compare", where="fit: group", expected="two levels or more", found=reference)
    return reference, others


def gap_panel(cells: Cells, request: Request) -> Panel:
    """Rows unit x group x time of gap = reference - group, with weights n1 n0 / (n1 + n0); reference and group rows
    beside it.

    With these weights the two-way regression of the gap is the triple difference of its two groups (fixed effects
    unit-group, group-time, unit-time), to rounding. Covariates are weighted means over both groups.
    """
    reference, others = compared_groups(cells.frame, request)
    keys = _pair_keys(cells.frame)
    _one_row_a_cell(cells.frame, request)
    x = [c for c in cells.frame.columns if c.startswith("x") and c[1:].isdigit()]
    cells = replace(cells, frame=cells.frame.assign(n=cells.frame["size" if "size" in cells.frame else "w"]))
    base = cells.frame[cells.frame["group"] == reference][[*keys, "w", "y", "members", "se", "n", *x]]
    dropped, parts = list(cells.dropped), []
    for group in others:
        own = cells.frame[cells.frame["group"] == group]
        both = own.merge(base, on=keys, how="outer", suffixes=("", "_0"), indicator=True, sort=True)
        dropped += _one_sided(both[both["_merge"] != "both"], group, cells.labels)
        both = both[both["_merge"] == "both"]
        total = both["w"] + both["w_0"]
        for c in x:
            both[c] = (both["w"] * both[c] + both["w_0"] * both[f"{c}_0"]) / total
        parts.append(both.assign(weight=both["w"] * both["w_0"] / total, gap=both["y_0"] - both["y"], rows=1.0))
    stacked = pd.concat(parts, ignore_index=True).sort_values(["group", *keys], kind="stable").reset_index(drop=True)
    Y = stacked[["gap", "y_0", "y"]].to_numpy(float)
    n1, n0 = stacked["members"].to_numpy(float), stacked["members_0"].to_numpy(float)
    more = [c for c in ("stratum", "level") if c in stacked]
    frame = stacked[[*keys, "group", "parent", "cohort", "rows", "n", "n_0", *more, *x]].assign(w=stacked["weight"])
    members = np.stack([n0 + n1, n0, n1], axis=1)
    e1, e0 = stacked["se"].to_numpy(float), stacked["se_0"].to_numpy(float)
    errors = np.stack([np.hypot(e0, e1), e0, e1], axis=1)
    return Panel(frame, GAP, Y, members, errors, others, cells.labels, cells.cohorts, len(frame), tuple(dropped), cells.arms)


def _pair_keys(frame: pd.DataFrame) -> list[str]:
    """Columns that reference and group of a gap share."""
    return [c for c in cell_keys(frame) if c != "group"]


def _one_row_a_cell(frame: pd.DataFrame, request: Request) -> None:
    """Raise DataError when a covariate varies inside a cell: a gap of means has no rows to adjust."""
    split = int(frame.duplicated(cell_keys(frame)).sum())
    if split:
        raise DataError(
            "a covariate varies within unit, group and period",
            where=f"fit: covariates {', '.join(map(str, request.covariates))}",
            expected="one value a unit, group and period where the outcome becomes a gap",
            found=f"{split} rows beyond the first of their cell",
            fix="use triple_difference, which adjusts the rows themselves, or pass the mean of each cell",
        )


def _one_sided(rows: pd.DataFrame, group: str, labels: dict[float, object]) -> list[Dropped]:
    text = f"no pair of reference and {group} to form a gap"
    return [Dropped(str(unit), _periods(part, labels), text) for unit, part in rows.groupby("unit", sort=True)]


def _periods(rows: pd.DataFrame, labels: dict[float, object]) -> str:
    return ", ".join(str(labels[t]) for t in sorted(rows["time"].unique()))


def without_anticipation(panel: Panel, request: Request) -> Panel:
    """Leave out the periods of anticipation: neither before nor after."""
    if request.anticipation == 0:
        return panel
    t, c = panel.frame["time"], panel.frame["cohort"]
    window = np.asarray((t >= c - request.anticipation) & (t < c), bool)
    note = tuple(
        Dropped(str(unit), _periods(part, panel.labels), "within the window of anticipation")
        for unit, part in panel.frame[window].groupby("unit", sort=True)
    )
    return replace(panel.take(~window), dropped=panel.dropped + note)


def two_sided(panel: Panel) -> Panel:
    """Leave out unit-groups that cannot contribute: treated throughout their data, or seen in one period only."""
    place = panel.unit_group
    always = (np.bincount(place, ~panel.treated) == 0)[place]
    single = distinct_within(place, panel.code("time")) == 1
    if not (always | single).any():
        return panel
    note = []
    for flag, reason in ((always, "no period before its first treated period"), (single & ~always, "one period only")):
        for (unit, group), _ in panel.frame[flag].groupby(["unit", "group"], sort=True):
            note.append(Dropped(str(unit), "", reason if group == "all" else f"{reason} ({group})"))
    return replace(panel.take(~always & ~single), dropped=panel.dropped + tuple(note))


def check_arms(panel: Panel, request: Request) -> None:
    """Raise StudyError when no treated unit, or none of the requested comparison units, is left."""
    unit, start = panel.code("unit"), panel.frame["cohort"].to_numpy()
    treated, never = distinct(unit[panel.treated]), distinct(unit[np.isnan(start)])
    later = distinct(unit[start > start[panel.treated].min()]) if treated else 0
    comparison = int(never + (later if request.comparison == "not_yet" else 0))
    require_arms(treated, comparison, request, panel.arms, (*panel.dropped, *not_after(panel)), later)


def not_after(panel: Panel) -> tuple[Dropped, ...]:
    """Units that stay, but have no period of treatment in the data: a reason where no other unit has one."""
    after = set(panel.frame.loc[panel.treated, "unit"])
    return tuple(Dropped(u, "", NOT_AFTER) for u in sorted(set(panel.frame["unit"]) & panel.arms.treated - after))


def unbalanced(panel: Panel) -> tuple[Dropped, ...]:
    """Units that stay although periods are missing, with the periods they lack."""
    period = panel.code("time")
    lacking = distinct_within(panel.unit_group, period) < distinct_within(panel.code("group"), period)
    if not lacking.any():
        return ()
    unit, group, time = panel.column("unit"), panel.column("group"), panel.frame["time"].to_numpy()
    out = []
    for g in panel.groups:
        every, some = set(time[group == g]), lacking & (group == g)
        suffix = "" if g == "all" else f" ({g})"
        for u in sorted(set(unit[some])):
            periods = ", ".join(str(panel.labels[v]) for v in sorted(every - set(time[some & (unit == u)])))
            out.append(Dropped(str(u), periods, f"stays, without these periods{suffix}"))
    return tuple(out)
