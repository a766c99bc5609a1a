"""Questions answered with race and ethnicity imputed: asked of every imputation alike, and combined by Rubin's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from p4equity.disparity.imputation import imputed_panel, imputed_totals
from p4equity.disparity.imputation_model import NOT_REPORTED, Array, Histories
from p4equity.disparity.panel import Panel
from p4equity.errors import DataError
from p4equity.evaluation.composition import with_panel
from p4equity.evaluation.context import Context
from p4equity.inference.rubin import Pooled, rubin
from p4equity.study import Analysis

IMPUTED = "imputed"
Variant = tuple[str, str]
Rows = list[dict[str, Any]]
RESULTS = ["pre_den", "pre_num", "post_den", "post_num"]
ANSWER = ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high", "df")
LACKING = "the data hold no members by results before and after"
NOT_CONTRACTED = "imputation uses members' results on contracted measures"
UNREPORTED = "too few members reported a compared group to learn from"
REPORTERS = 10  # of the reference and of each compared group


@dataclass(frozen=True)
class Imputed:
    """Totals (M, S, J, K, 4) of all imputations for the J measures, in the order of the systems and groups of a variant."""

    measures: tuple[str, ...]
    totals: Array
    lacking: str | None = None


def imputed(context: Context, variant: Variant) -> Imputed:
    """The imputations of a variant, drawn once: a model of each contracted measure; none where one lacks its data."""
    return context.once((IMPUTED, variant), lambda: _imputed(context, variant))


def lacks_histories(context: Context, variant: Variant) -> str | None:
    """Why nothing can be imputed; None when it can."""
    return imputed(context, variant).lacking


def imputed_panels(context: Context, variant: Variant) -> Iterator[Panel]:
    """The panel of each imputation, measures without contracts as they are; none where nothing can be imputed."""
    study, base, drawn = context.study, context.panel(variant), imputed(context, variant)
    if study.scheme is None or not drawn.measures:
        return iter(())
    compared = [[study.compared_years(s, m) for m in drawn.measures] for s in base.systems]
    periods = np.array([[[np.isin(base.years, one[k]) for one in own] for own in compared] for k in (0, 1)])
    expected = drawn.totals.mean(axis=0)
    return (imputed_panel(base, totals, expected, drawn.measures, study.scheme.ids, periods) for totals in drawn.totals)


def imputed_rows(context: Context, analysis: Analysis, ask: Callable[[Context], Rows]) -> Rows:
    """The rows that `ask` gives, combined over the imputations; a question without an answer in one of them has none."""
    variant = context.variant(analysis)
    found = [ask(with_panel(context, variant, panel)) for panel in imputed_panels(context, variant)]
    if failed := next((rows for rows in found if any(r["status"] != "ok" for r in rows)), None):
        return [
            r | {"status": "not_estimable", **dict.fromkeys(ANSWER), "reason": f"in an imputation: {_why(failed)}"}
            for r in failed
        ]
    return [combined(list(rows), context.study.inference.conf_level) for rows in zip(*found, strict=True)]


def _why(rows: Rows) -> str:
    return str(next(r["reason"] for r in rows if r["status"] != "ok"))


def combined(rows: Rows, conf_level: float) -> dict[str, Any]:
    """One row from the rows of one question in every imputation."""
    first = rows[0]
    df = float(np.mean([np.inf if r.get("df") is None else r["df"] for r in rows]))
    answer = rubin([r["estimate"] for r in rows], [r["std_error"] ** 2 for r in rows], df, conf_level=conf_level)
    note = imputation_note(len(rows), answer)
    reason = f"{note}; {first['reason']}" if first.get("reason") else note
    return first | {
        "estimate": answer.estimate, "std_error": answer.std_error, "statistic": answer.statistic, "p_value": answer.p_value,
        "conf_low": answer.conf_low, "conf_high": answer.conf_high, "df": answer.df, "reason": reason,
        "n_members": int(np.mean([r["n_members"] for r in rows])),
    }  # fmt: skip


def imputation_note(imputations: int, answer: Pooled) -> str:
    """How much of an answer's variance comes from imputation."""
    share, error = 100 * answer.imputation_share, answer.imputation_error
    return f"{imputations} imputations, Monte Carlo error {error:.2f}; {share:.0f}% of the variance comes from them"


def _imputed(context: Context, variant: Variant) -> Imputed:
    study, race = context.study, context.study.race
    measures = tuple(m for m in study.measure_sets.contracted if m in context.measures)
    table, bins = (context.rows(t, variant) for t in (context.history, context.race_bins))
    if race is None or race.imputations is None or not measures or not set(measures) <= set(table.get("measure_id", ())):
        return _nothing(LACKING)
    drawn: list[Array] = []
    for measure in measures:
        rows, means = (t[t["measure_id"] == measure] for t in (table, bins))
        histories = histories_of(context, variant, rows, means, measure)
        if _reporters(context, histories) < REPORTERS:
            return _nothing(UNREPORTED)
        drawn.append(imputed_totals(histories, race.imputations, context.seed(f"imputed {measure}")))
    return Imputed(measures, np.stack(drawn, axis=2))


def _nothing(why: str) -> Imputed:
    return Imputed((), np.zeros((0, 0, 0, 0, 4)), why)


def _reporters(context: Context, histories: Histories) -> float:
    """The fewest members who reported the reference or a compared group."""
    assert context.study.scheme is not None
    asked = [context.study.scheme.ids.index(g) for g in context.study.group_ids]
    return min(float(histories.members[histories.reported == k].sum()) for k in asked)


def histories_of(context: Context, variant: Variant, rows: pd.DataFrame, bins: pd.DataFrame, measure: str) -> Histories:
    """Members of one measure from `cell_history`, with the mean probabilities of their bins from `race_bin`."""
    study, systems = context.study, context.panel(variant).systems
    assert study.scheme is not None
    groups = study.scheme.ids
    keys = ["likely_group", "second_group", "band"]
    rows = rows[rows["system_id"].isin(systems)].sort_values(["system_id", "reported_group", *keys, *RESULTS])
    means = bins.assign(mean=bins["p"].astype(float) / bins["members"].astype(float) / 1e6)
    wide = means.pivot(index=keys, columns="group", values="mean").reindex(columns=list(groups))
    p = wide.reindex(pd.MultiIndex.from_frame(rows[keys])).to_numpy(float)
    if not np.isfinite(p).all():
        lost = rows[keys][~np.isfinite(p).all(axis=1)].iloc[0]
        raise DataError(
            "a bin of histories without its probabilities", where=f"race_bin, {measure}",
            expected="a row a group for each bin of cell_history", found=", ".join(f"{k} {lost[k]}" for k in keys),
            fix="make the cells again; both tables come from one extract",
        )  # fmt: skip
    code = {group: i for i, group in enumerate(groups)}
    return Histories(
        _codes(rows["system_id"], {s: i for i, s in enumerate(systems)}),
        _codes(rows["reported_group"], code),
        p,
        rows[RESULTS].to_numpy(float),
        rows["members"].to_numpy(float),
        np.array([study.cohort_of(s, measure) == study.launch_cohort for s in systems], bool),
    )


def _codes(column: pd.Series, code: dict[str, int]) -> NDArray[np.int64]:
    return np.asarray(column.astype(str).map(code).fillna(NOT_REPORTED).to_numpy(np.int64))
