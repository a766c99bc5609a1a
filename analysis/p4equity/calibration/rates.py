"""Rejection rates, coverage, bias and power of every method in one question, setting by setting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np

from p4equity.calibration.draws import draw_changes
from p4equity.calibration.methods import METHODS, Answer, Bench, admissible
from p4equity.calibration.questions import Question
from p4equity.calibration.settings import PLACEBO_DATE, Setting, settings
from p4equity.errors import StudyError
from p4equity.inference.shocks import PERSISTENCE, ShockVariance, autoregressive, change_variances, shock_variance
from p4equity.inference.stacked import Array, Stacked

SHOCK_LEVEL = 0.90
REASSIGNED = {False: 60, True: 20}  # assignments drawn for a placebo, by whether the question is pooled
FEWEST = 20  # draws for each of them
ONE_DATA_SET = "one data set: the share of placebo assignments that reject in it, not a rate over data sets"
ASSUMED = "shocks as the plan assumes: too few baseline years to estimate them"
Row = dict[str, Any]


@dataclass(frozen=True)
class Rules:
    """What the plan says: level, variance estimator, most assignments, assumed shocks; draws a setting, and a seed."""

    alpha: float
    tau2: str
    limit: int
    shocks: tuple[float, float]
    draws: int
    seed: int


@dataclass(frozen=True)
class Shocks:
    """Variance of yearly shocks, squared points, and whether it was estimated or assumed."""

    variance: ShockVariance
    assumed: bool

    def at(self, end: str) -> float:
        """Variance at the estimate or an end of the interval."""
        return float(getattr(self.variance, end))


def baseline_shocks(question: Question, rules: Rules) -> Shocks:
    """From deviations of baseline gaps from their system's and year's means; no contract year enters."""
    gaps = question.baseline
    there = np.isfinite(gaps.values)
    system, measure, time = np.nonzero(there)
    own, year = system * there.shape[1] + measure, measure * there.shape[2] + time
    X = np.concatenate([own[:, None] == np.unique(own), year[:, None] == np.unique(year)], axis=1).astype(float)
    at = measure * there.shape[2] + time
    sampling = np.where(system[:, None] == system, gaps.covariance[system[:, None], at[:, None], at], 0.0)
    pattern = autoregressive(np.asarray(gaps.years), PERSISTENCE)[time[:, None], time] * (own[:, None] == own)
    try:
        return Shocks(shock_variance(gaps.values[there], X, sampling, pattern, SHOCK_LEVEL), assumed=False)
    except (StudyError, ValueError):
        low, high = (spread**2 for spread in rules.shocks)
        return Shocks(ShockVariance((low + high) / 2, low, high, 0), assumed=True)


def question_rows(question: Question, rules: Rules) -> list[Row]:
    """One row a setting and method."""
    shocks = baseline_shocks(question, rules)
    cells = question.cells
    bench = Bench(cells, admissible(cells, rules.limit, rules.seed), rules.tau2)
    factor = float(change_variances(question.contrasts, question.years)[cells.present].mean())
    common = {
        "shock_sd": np.sqrt(shocks.at("estimate")), "shock_sd_low": np.sqrt(shocks.at("low")),
        "shock_sd_high": np.sqrt(shocks.at("high")), "change_sd": np.sqrt(shocks.at("estimate") * factor),
        "n_assignments": bench.assignments.total, "reason": ASSUMED if shocks.assumed else None,
    }  # fmt: skip
    rows: list[Row] = []
    observed = bench.answers()
    for setting in settings(question.pooled):
        rng = np.random.default_rng([rules.seed, crc32(f"{question.measure_id}|{setting.id}".encode())])
        run = _Run(question, bench, rules, setting, shocks.at(setting.shocks), rng)
        found = run.reassigned() if setting.reassigned else run.fixed(observed)
        rows += [{**common, "setting": setting.id, "draws": rules.draws, **answer} for answer in found]
    return rows + [{**common, "setting": PLACEBO_DATE, "draws": 1, **answer} for answer in _placebo_date(question, rules, bench)]


@dataclass(frozen=True)
class _Run:
    """One setting of one question."""

    question: Question
    bench: Bench
    rules: Rules
    setting: Setting
    variance: float
    rng: np.random.Generator

    def _draw(self, draws: int) -> tuple[Array, Array]:
        q = self.question
        return draw_changes(q.cells, q.contrasts, q.years, self.variance, self.setting, draws, self.rng)

    def fixed(self, answers: Mapping[str, Answer | str]) -> list[Row]:
        """The contracts as they are: rejection, coverage, bias and, without varying effects, power."""
        Y, effects = self._draw(self.rules.draws)
        cells = self.question.cells
        target = _average(cells, effects)
        moved = cells.contracts & cells.present
        wanted = self.question.meaningful if self.setting.power else None
        rows = []
        for name in METHODS:
            answer = answers[name]
            if isinstance(answer, str):
                rows.append({"inference": name, "status": "not_estimable", "reason": answer})
                continue
            estimates, p = answer(Y)
            rejected = p <= self.rules.alpha
            row = {**_rate(rejected), "coverage": 1 - float(rejected.mean()), **_bias(estimates - target)}
            if self.setting.effect_sd:
                row["coverage"] = float((answer(Y - target[:, None, None] * moved)[1] > self.rules.alpha).mean())
            if wanted:
                row |= {"power": float((answer(Y - wanted * moved)[1] <= self.rules.alpha).mean()), "effect": wanted}
            rows.append({"inference": name, "status": "ok", **row})
        return rows

    def reassigned(self) -> list[Row]:
        """Contracts drawn anew: an equal share of the draws for each of some assignments; the error is between assignments."""
        table, draws = len(self.bench.assignments.table), self.rules.draws
        most = min(REASSIGNED[self.question.pooled], table, max(draws // FEWEST, 1))
        picked = self.rng.choice(table, most, replace=False)
        found: dict[str, list[float]] = {name: [] for name in METHODS}
        reasons: dict[str, str] = {}
        for row in np.sort(picked):
            Y = self._draw(draws // most)[0]
            for name, answer in self.bench.answers(int(row)).items():
                if isinstance(answer, str):
                    reasons[name] = answer
                else:
                    found[name].append(float((answer(Y)[1] <= self.rules.alpha).mean()))
        return [_summary(name, found[name], reasons.get(name, ""), error=True) for name in METHODS]


def _placebo_date(question: Question, rules: Rules, main: Bench) -> list[Row]:
    """A launch in the last baseline year, which had none: how many placebo assignments reject in the study's own data."""
    gaps = question.baseline
    own = [gaps.years.index(t) for t in question.pre_years if t in gaps.years]
    if len(own) < 2:
        reason = "one baseline year: nothing to compare a placebo launch with"
        return [{"inference": name, "status": "not_estimable", "reason": reason} for name in METHODS]
    *earlier, last = sorted(own)
    there = np.isfinite(gaps.values)
    before = there & np.isin(np.arange(there.shape[2]), earlier)
    usable = there[:, :, last] & before.any(axis=2) & question.cells.present
    contrasts = -before.astype(float) / np.maximum(before.sum(axis=2, keepdims=True), 1)
    contrasts[:, :, last] = 1.0
    y, V = gaps.changes(np.where(usable[:, :, None], contrasts, 0.0))
    kept = np.flatnonzero(usable.any(axis=1))
    cells = replace(
        question.cells, y=np.where(usable, y, np.nan)[kept], contracts=question.cells.contracts[kept], covariance=V[kept],
        strata=question.cells.strata[kept],
        cell_weights=None if question.cells.cell_weights is None else question.cells.cell_weights[kept],
    )  # fmt: skip
    if len(kept) < 3 or not cells.estimable:
        return [
            {"inference": name, "status": "not_estimable", "reason": "too few systems in the baseline years"} for name in METHODS
        ]
    same = len(kept) == len(usable)
    bench = Bench(cells, main.assignments if same else admissible(cells, rules.limit, rules.seed), rules.tau2)
    rng = np.random.default_rng([rules.seed, crc32(f"{question.measure_id}|{PLACEBO_DATE}".encode())])
    most = min(REASSIGNED[question.pooled], len(bench.assignments.table))
    found: dict[str, list[float]] = {name: [] for name in METHODS}
    reasons: dict[str, str] = {}
    for row in np.sort(rng.choice(len(bench.assignments.table), most, replace=False)):
        for name, answer in bench.answers(int(row)).items():
            if isinstance(answer, str):
                reasons[name] = answer
            else:
                found[name].append(float(answer(cells.y[None])[1][0] <= rules.alpha))
    return [{"reason": ONE_DATA_SET, **_summary(name, found[name], reasons.get(name, ""), error=False)} for name in METHODS]


def _summary(name: str, rates: list[float], reason: str, *, error: bool) -> Row:
    """Mean over assignments, with the error between them."""
    if not rates:
        return {"inference": name, "status": "not_estimable", "reason": reason}
    row: Row = {"inference": name, "status": "ok", "rejection": float(np.mean(rates))}
    if error and len(rates) > 1:
        row["rejection_error"] = float(np.std(rates, ddof=1) / np.sqrt(len(rates)))
    return row


def _average(cells: Stacked, effects: Array) -> Array:
    """(R,) the pooled effect itself: the average over contracted cells, each measure with its registered share."""
    mask = cells.contracts & cells.present
    share = np.where(mask, cells.measure_weights / np.maximum(mask.sum(axis=0), 1), 0.0)
    return np.asarray(np.einsum("rsm,sm->r", effects, share))


def _rate(rejected: np.ndarray[Any, np.dtype[np.bool_]]) -> Row:
    rate = float(rejected.mean())
    return {"rejection": rate, "rejection_error": float(np.sqrt(rate * (1 - rate) / len(rejected)))}


def _bias(errors: Array) -> Row:
    return {"bias": float(errors.mean()), "bias_error": float(errors.std(ddof=1) / np.sqrt(len(errors)))}
