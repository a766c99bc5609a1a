"""Group-time average effects and their averages, for staggered adoption."""

from __future__ import annotations

import numpy as np

from p4equity.errors import UsageError
from p4equity.estimators.aggregation import KINDS
from p4equity.estimators.base import Request
from p4equity.estimators.group_time_blocks import Block
from p4equity.estimators.group_time_cells import did_cell
from p4equity.estimators.group_time_rows import answer
from p4equity.estimators.group_time_sample import complete, eligible, planned, sample, settings, weight_notes
from p4equity.estimators.influence import InfluenceEstimate
from p4equity.estimators.panels import gap_panel, plain_panel
from p4equity.estimators.path_options import PATH_INFERENCES, PATH_OPTIONS
from p4equity.estimators.tidy import Cells

OPTIONS = ("method", "base_period", "panel", "unbalanced", "fix_weights", "draws", *PATH_OPTIONS)
INFERENCES = ("analytical", "multiplier_bootstrap", "cr1", "none", *PATH_INFERENCES)


def estimate(cells: Cells, request: Request) -> InfluenceEstimate:
    """Average effect on treated units after treatment, from comparisons of one cohort with untreated units only.

    ATT(g,t) = E[Y_t - Y_b | cohort g] - E[Y_t - Y_b | comparison], b the last period with b + anticipation < g; in periods
    before treatment b is the period just before (base_period='varying') or the same one ('universal', which shows no row of
    its own). comparison: never treated units, or also those not treated by max(t, b) + anticipation ('not_yet'; without
    never treated units the last cohort serves until it starts, and is not estimated). Covariates, of the earlier
    period, enter by method: dr (logit and least squares), reg, ipw (normalized). aggregate: None gives the average over
    treated cells by cohort weight, the joint test of all leads (periods of anticipation aside) and each ATT(g,t); 'simple'
    the average alone; 'dynamic' event times, overall the plain mean over e >= 0, and their leads' test; 'group' cohorts,
    overall by cohort weight; 'calendar' periods, overall their plain mean. Effects come with pointwise and simultaneous
    limits. With a group: gap, reference and group with the gap's weights; several groups: first their plain average.

    panel=False: repeated cross-sections of rows with unit as cluster; cells with counts as weights give the members' numbers
    exactly. Unbalanced panels: unbalanced='drop' leaves units with missing periods out, 'cross_sections' keeps them (then
    composition may change). fix_weights, where weights change over time: those of the earlier period, of the cohort's
    'base_period', of the 'first_period', or each row's own ('varying'). inference: analytical (sums of influence by
    cluster, no small-sample factor, normal), multiplier_bootstrap (option draws), cr1 (G/(G-1), t), none; with
    aggregate='dynamic' and base_period='universal' also relative_magnitudes, smoothness and pretest_power
    (`event_study_answers.path_answers`). The error of estimated cohort weights enters. With few treated clusters all these
    errors are too small.
    Assumptions: parallel trends (given covariates), no anticipation before the window, treatment stays.
    Source: Callaway and Sant'Anna (2021); Sant'Anna and Zhao (2020). Reference cases: R's did (att_gt, aggte) on the
    simulated panel, csdid on county employment (tests/reference/group_time).
    """
    options = settings(request)
    kind = aggregation(request)
    panel = plain_panel(cells) if request.group is None else gap_panel(cells, request)
    panel, notes = eligible(panel, request)
    panel, balanced, more = complete(panel, request, options)
    notes += more + weight_notes(panel, balanced, options, request)
    everyone = np.ones(len(panel.frame), bool)
    blocks = []
    for group in panel.groups:
        rows = np.asarray(panel.column("group") == group, bool)
        if not rows.any():
            continue
        part = sample(panel, balanced, options, rows, everyone)
        blocks.append(Block(group, rows, part, [did_cell(part, cell, options.plan) for cell in planned(part, request, options)]))
    return answer(panel, blocks, request, kind, notes, pooled=True)


def aggregation(request: Request) -> str | None:
    """The kind of average asked for. Raises UsageError for an unknown one."""
    if request.aggregate is None or request.aggregate in KINDS:
        return request.aggregate
    raise UsageError("unknown aggregation", where="fit: aggregate", expected=f"None, {', '.join(KINDS)}", found=request.aggregate)
