"""Interaction-weighted event study: one effect a cohort and event time, averaged by the cohorts' shares."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from p4equity.errors import UsageError
from p4equity.estimators.arms import require_arms
from p4equity.estimators.base import Array, Base, Dropped, Flags, Request, Term, estimand
from p4equity.estimators.event_study import base_at, calendar_period, event_times, leads_and_lags, reference_period
from p4equity.estimators.linear import CLUSTER_ROBUST, METHODS, OF_LEADS, OF_VARIANCE, Fit, LinearEstimate, regress
from p4equity.estimators.panels import Panel, build, not_after, two_sided
from p4equity.estimators.path_options import PATH_INFERENCES, PATH_OPTIONS
from p4equity.estimators.tidy import ROWS, Cells

OWN = ("variance", *OF_VARIANCE, *OF_LEADS, "draws", "reference_period", "bin_below", "bin_above", "apart")
SERVES = "the last cohort serves as comparison, for no unit is never treated"
OPTIONS = (*OWN, *PATH_OPTIONS)
INFERENCES, VARIANCES, TWO_WAY = (*METHODS, *ROWS, *PATH_INFERENCES), CLUSTER_ROBUST, True
NO_LAGS = "no treated cell of this group is observed after treatment"
NO_PERMUTATION = "permutation is of one difference in changes, not of cohorts and periods: use did or meta_regression"


def estimate(cells: Cells, request: Request) -> LinearEstimate:
    """Average effect on treated units after treatment, free of the mixing of cohorts that two-way event studies suffer.

    y_ut = sum over cohorts c and event times e of b_ce 1{cohort_u = c, t - c = e} + a_u + l_t + x_ut'g + e_ut, weighted,
    with never treated units (and every cohort at the reference event time) as the omitted part. Each b_ce compares one
    cohort with never treated units alone. b_e averages b_ce over cohorts, by their shares of the weights at e; shares
    count as known, as in fixest. Rows: `att`, the average over all treated cells by their weights (fixest's agg =
    "att"); `att_dynamic`, the plain average of b_e over e >= 0; the joint test that all leads b_e are zero (its
    estimate their average); each b_e with pointwise and at the end simultaneous limits. aggregate="cohort" adds each
    cohort's average after treatment, by weights; aggregate="cohort_event" each b_ce. Own options, as in event_study:
    reference_period (one or several), bin_below, bin_above, apart, joint_test, and those of errors and bootstrap.
    With a group: gap, reference and group from one regression; several groups are stacked and their plain average comes
    first. comparison="not_yet" allows a panel without never treated units: the last cohort is then the comparison, and
    periods from its start on, in which nobody untreated is seen, are left out. With never treated units it changes
    nothing: units treated later serve no other cohort here. Assumptions: parallel trends of each cohort and the
    comparison units, no anticipation before the reference period.
    Source: Sun and Abraham (2021), section 4 (equations 26 to 28). Reference cases: fixest
    `feols(y ~ sunab(cohort, year) | unit + year)`, aggregated by period, cohort and over all
    (tests/reference/interaction_weighted).
    """
    if request.aggregate not in (None, "cohort", "cohort_event"):
        words = "None, 'cohort' or 'cohort_event'"
        raise UsageError("unknown aggregation", where="fit: aggregate", expected=words, found=request.aggregate)
    panel = build(cells, replace(request, anticipation=0))
    panel = with_comparison(panel, request, comparison_rows(panel))
    event = treated_event_times(panel, request)
    references = _references(event, request)
    panel = with_reference(panel, event, references, request)
    event = treated_event_times(panel, request)
    columns = _columns(panel, event, references)
    fit = _fit(panel, event, columns, request)
    terms = _Answers(panel, event, columns, request).terms()
    return LinearEstimate(terms, panel.dropped, panel.unbalanced, (fit,), no_permutation=NO_PERMUTATION)


def comparison_rows(panel: Panel) -> Flags:
    """(N,) rows of comparison units: never treated ones, or in a group without any the last cohort."""
    cohort, group = panel.frame["cohort"], panel.frame["group"]
    never = cohort.isna()
    without = ~never.groupby(group).transform("any")
    return np.asarray(never | (without & (cohort == cohort.groupby(group).transform("max"))), bool)


def with_comparison(panel: Panel, request: Request, compared: Flags) -> Panel:
    """The panel without the periods in which a group has no untreated row among `compared` (N,); they are named in `dropped`."""
    frame = panel.frame
    seen = set(frame.loc[compared & ~panel.treated, ["group", "time"]].itertuples(index=False, name=None))
    kept = np.array([key in seen for key in zip(frame["group"], frame["time"], strict=True)], bool)
    reason = "no untreated comparison unit in this period"
    note = tuple(
        Dropped(str(unit), ", ".join(str(panel.labels[v]) for v in sorted(part["time"].unique())), reason)
        for unit, part in frame[~kept].groupby("unit", sort=True)
    )
    out = two_sided(replace(panel.take(kept), dropped=panel.dropped + note)) if len(note) else panel
    treated = out.frame.loc[out.treated, "unit"].nunique()
    others = int(out.frame.loc[comparison_rows(out), "unit"].nunique())
    require_arms(int(treated), others, request, out.arms, (*out.dropped, *not_after(out)))
    return out


def treated_event_times(panel: Panel, request: Request) -> Array:
    """(N,) event times as in `event_study`, NaN for comparison units, the last cohort's among them."""
    return np.where(comparison_rows(panel), np.nan, event_times(panel, request))


def _references(event: Array, request: Request) -> list[float]:
    """Event times without coefficients, one or several."""
    given = request.own.get("reference_period")
    each = list(given) if isinstance(given, list | tuple) and len(given) else [given]
    return [reference_period(event, replace(request, own={**request.own, "reference_period": e})) for e in each]


def with_reference(panel: Panel, event: Array, references: list[float], request: Request) -> Panel:
    """Leave out cohorts that no unit of their group shows at a reference event time: nothing to measure their effects from."""
    keys = [panel.frame["group"], panel.frame["cohort"]]
    has = pd.Series(np.isin(event, references)).groupby([k.to_numpy() for k in keys]).transform("any")
    lost = np.asarray(~np.isnan(event) & ~(has.fillna(False).to_numpy(bool)), bool)
    if not lost.any():
        return panel
    at = " or ".join(f"{e:.0f}" for e in references)
    note = []
    for (unit, group), _ in panel.frame[lost].groupby(["unit", "group"], sort=True):
        suffix = "" if group == "all" else f" ({group})"
        note.append(Dropped(str(unit), "", f"its cohort has no data at the reference event time {at}{suffix}"))
    out = replace(panel.take(~lost), dropped=panel.dropped + tuple(note))
    compared = comparison_rows(out)
    treated = out.frame.loc[out.treated & ~compared, "unit"].nunique()
    serving = sorted(set(out.frame.loc[compared & out.frame["cohort"].notna(), "unit"]))
    lost_or_serving = (*out.dropped, *not_after(out), *(Dropped(u, "", SERVES) for u in serving))
    require_arms(int(treated), int(out.frame.loc[compared, "unit"].nunique()), request, out.arms, lost_or_serving)
    return out


def _columns(panel: Panel, event: Array, references: list[float]) -> pd.DataFrame:
    """One row a coefficient: group, cohort, event, and the weight of its cells."""
    frame = pd.DataFrame({"group": panel.frame["group"], "cohort": panel.frame["cohort"], "event": event, "w": panel.frame["w"]})
    frame = frame[~np.isnan(event) & ~np.isin(event, references)]
    out = frame.groupby(["group", "cohort", "event"], sort=True, as_index=False)["w"].sum()
    if not (out["event"] >= 0).any():
        found = ", ".join(f"{e:.0f}" for e in sorted(out["event"].unique()))
        raise UsageError("no event time after treatment", where="fit: bin_above", expected="0 or later", found=found or "none")
    return out


def _fit(panel: Panel, event: Array, columns: pd.DataFrame, request: Request) -> Fit:
    frame = panel.frame
    group, cohort = panel.column("group"), frame["cohort"].to_numpy(float)
    cells = zip(columns["group"], columns["cohort"], columns["event"], strict=True)
    terms = np.stack([((group == g) & (cohort == c) & (event == e)).astype(float) for g, c, e in cells], axis=1)
    x = panel.covariates()
    return regress(
        panel.Y,
        terms,
        x,
        effects=[panel.unit_group, panel.code("time", "group")],
        cluster=panel.column("cluster"),
        weights=frame["w"].to_numpy(float),
        names=[*(f"cell {i}" for i in range(terms.shape[1])), *(f"x{j}" for j in range(x.shape[1]))],
        n_obs=panel.n_obs,
        cluster2=panel.second_cluster,
        request=request,
    )


@dataclass(frozen=True)
class _Answers:
    """Terms of one regression. columns: its coefficients, see `_columns`."""

    panel: Panel
    event: Array
    columns: pd.DataFrame
    request: Request

    def terms(self) -> tuple[Term, ...]:
        """Averages after treatment first (the pooled answer in the first row), then tests of leads, event times, cohorts."""
        every = np.ones(len(self.event), bool)
        blocks = [("pooled", self.panel.groups, every)] if len(self.panel.groups) > 1 else []
        blocks += [(g, (g,), np.asarray(self.panel.column("group") == g, bool)) for g in self.panel.groups]
        out: list[tuple[int, Term]] = []
        for label, groups, rows in blocks:
            for j, name in enumerate(self.panel.outcomes):
                out += self._block(label, groups, rows, j, name)
        return tuple(term for _, term in sorted(out, key=lambda pair: pair[0]))

    def _block(self, label: str, groups: tuple[str, ...], rows: Flags, j: int, name: str) -> list[tuple[int, Term]]:
        """Terms of one group (or the average over groups) and outcome, with the rank of their kind."""
        panel, event = self.panel, self.event
        e = self.columns["event"]
        levels = [float(v) for v in np.unique(e[self.columns["group"].isin(groups)])]
        tested, averaged = leads_and_lags([float(v) for v in np.unique(e)], self.request)
        kept = [float(v) for v in np.unique(e)]
        before = [levels.index(kept[i]) for i in tested if kept[i] in levels]
        after = [levels.index(kept[i]) for i in averaged if kept[i] in levels]
        single = [self._share(e == level, groups) for level in levels]
        starts = self.columns.loc[self.columns["group"].isin(groups), "cohort"].unique()
        cohort = panel.cohorts[float(starts[0])] if len(starts) == 1 else None
        whole = self._base(rows, j)
        post = e.isin([levels[i] for i in after])
        none = "" if after else NO_LAGS
        dynamic = np.mean([single[i] for i in after], axis=0) if after else np.zeros(len(self.columns))
        out = [(0, Term(estimand("att", name), self._share(post, groups), whole, 0, j, label, cohort, reason=none))]
        out.append((1, Term(estimand("att_dynamic", name), dynamic, whole, 0, j, label, cohort, reason=none)))
        leads = np.stack([single[i] for i in before]) if before else np.zeros((0, len(self.columns)))
        reason = "" if before else "not available, because there is no period before the reference period"
        out.append((2, Term(estimand("pretrend", name), leads, whole, 0, j, label, cohort, joint=True, reason=reason)))
        for i, level in enumerate(levels):
            base = base_at(panel, event, rows, level, j, whole)
            period, band = calendar_period(panel, event, rows, level), f"{label} {name}"
            out.append((3, Term(estimand("att", name), single[i], base, 0, j, label, cohort, level, period, band=band)))
        if self.request.aggregate == "cohort":
            out += [(4, self._of_cohort(float(c), post, label, groups, rows, j, name)) for c in sorted(starts)]
        if self.request.aggregate == "cohort_event":
            out += [
                (4, self._of_cell(float(c), level, groups, rows, (label, j, name))) for c in sorted(starts) for level in levels
            ]
        return out

    def _of_cell(self, cohort: float, level: float, groups: tuple[str, ...], rows: Flags, which: tuple[str, int, str]) -> Term:
        """One cohort at one event time."""
        label, j, name = which
        panel, event = self.panel, self.event
        own = rows & ((panel.frame["cohort"] == cohort).to_numpy() | np.isnan(event))
        contrast = self._share((self.columns["cohort"] == cohort) & (self.columns["event"] == level), groups)
        reason = "" if contrast.any() else "this cohort has no data at this event time"
        base, period = base_at(panel, event, own, level, j, self._base(own, j)), calendar_period(panel, event, own, level)
        return Term(estimand("att", name), contrast, base, 0, j, label, panel.cohorts[cohort], level, period, reason=reason)

    def _of_cohort(
        self, cohort: float, post: pd.Series, label: str, groups: tuple[str, ...], rows: Flags, j: int, name: str
    ) -> Term:
        """The average of one cohort after treatment."""
        own = rows & ((self.panel.frame["cohort"] == cohort).to_numpy() | np.isnan(self.event))
        contrast = self._share(post & (self.columns["cohort"] == cohort), groups)
        reason = "" if contrast.any() else "this cohort has no period after treatment"
        return Term(estimand("att", name), contrast, self._base(own, j), 0, j, label, self.panel.cohorts[cohort], reason=reason)

    def _base(self, rows: Flags, outcome: int) -> Base:
        """Counts behind rows; treated and comparison clusters as this estimator uses them."""
        cluster = self.panel.frame["cluster"]
        treated, other = rows & (self.event >= 0), rows & np.isnan(self.event)
        return replace(
            self.panel.base(rows, outcome),
            n_treated_clusters=int(cluster[treated].nunique()),
            n_comparison_clusters=int(cluster[other].nunique()),
        )

    def _share(self, flag: pd.Series, groups: tuple[str, ...]) -> Array:
        """(coefficients,) weighted average of the flagged ones in each group, and the plain average of groups that have any."""
        out, found = np.zeros(len(self.columns)), 0
        for g in groups:
            w = np.where(flag & (self.columns["group"] == g), self.columns["w"], 0.0)
            if w.sum() > 0:
                out, found = out + w / w.sum(), found + 1
        return np.asarray(out / max(found, 1))
