"""Rates of every event stream by system, group and year: calibrated levels, system differences, shocks, planted effects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from p4equity.dictionary import Measure
from p4equity.errors import StudyError
from p4equity.study import Study, in_force
from p4equity.synthetic.beside import by_owner, diverted_effects, grant_effects, prior_effects, spillover_effects
from p4equity.synthetic.bumps import rule_selected
from p4equity.synthetic.draws import FloatArray, autoregressive, stream
from p4equity.synthetic.places import real_sizes
from p4equity.synthetic.truth import Planted


@dataclass(frozen=True)
class Rates:
    """Percentage points, axes (S+1, K, Y); the last system row stands for practices outside the study.

    `level` has everything lasting (levels, gaps, trend, pandemic); `shock` the system-year shocks, `selection` the passing gaps
    of the selection years (0 where off), both as they move the rate; `effect` the planted effects of contracts, `beside` those
    of grants, of contracts nearby, of effort taken from unpaid measures and of what contracted systems did before (0 where off).
    """

    level: FloatArray
    shock: FloatArray
    selection: FloatArray
    effect: FloatArray
    beside: FloatArray
    gap_sd: float


def reference_rate(measure: Measure, groups: tuple[str, ...]) -> FloatArray:
    """Rate by group at the reference year (K), from the measure's hints. Raises StudyError when the hints give none."""
    hints = measure.synthetic
    key = f"{groups[0]}_rate"
    if key not in hints:
        raise StudyError(
            "the measure has no level for the synthetic extract",
            where=f"measures.toml [{measure.id}.synthetic]",
            expected=f"the key {key}",
            fix="add the block, or take the measure out of the study",
        )
    gaps = hints.get("gaps", {})
    return np.array([float(hints[key]) - float(gaps.get(g, 0.0)) for g in groups])


def by_group(values: Mapping[str, Any], groups: tuple[str, ...], default: float) -> FloatArray:
    """A table keyed by group as a vector (K)."""
    return np.array([float(values.get(g, default)) for g in groups])


def by_year(values: Mapping[str, Any], years: tuple[int, ...], default: float) -> FloatArray:
    """A table keyed by year (TOML keys are text) as a vector (Y)."""
    return np.array([float(values.get(str(y), default)) for y in years])


def treated_years(study: Study, measure_ids: tuple[str, ...]) -> FloatArray:
    """1 where a contract on one of the measures is in force (S+1, Y); a system's year of exit and later count as not in force."""
    result = np.zeros((len(study.systems) + 1, len(study.years)))
    for i, system in enumerate(study.systems):
        left = study.exit_year(system.id)
        for contract in study.contracts:
            if contract.system_id != system.id or not set(contract.measures) & set(measure_ids):
                continue
            for t, year in enumerate(study.years):
                if in_force(contract, year) and (left is None or year < left):
                    result[i, t] = 1.0
    return result


def build_rates(
    study: Study, planted: Planted, measure: Measure, sharing: tuple[str, ...], seed: int, *, fixed: FloatArray | None = None
) -> Rates:
    """Rates of the stream of `measure`; `sharing` are the ids of all measures computed from it.

    `fixed`: lasting levels to keep (S+1, K, Y), when only shocks are to be drawn again.
    """
    groups = study.scheme.ids if study.scheme else ()
    shape = (len(study.systems) + 1, len(groups), len(study.years))
    name = measure.events
    gap_sd = planted.truth.shocks.gap_sd
    gap_sd = float(measure.synthetic.get("shock_sd", 0.7)) if gap_sd is None else gap_sd
    effect = _effects(study, planted, sharing, groups, shape)
    selection = draw_selection(study, planted, sharing, shape, stream(seed, f"selection:{name}"))
    return Rates(
        level=_levels(study, measure, groups, stream(seed, f"level:{name}")) if fixed is None else fixed,
        shock=by_owner(study, planted, draw_shocks(planted, gap_sd, shape, stream(seed, f"shock:{name}"))),
        selection=selection + rule_selected(study, planted, shape, stream(seed, "rule_selection")).get(name, 0.0),
        effect=effect,
        beside=grant_effects(study, planted, groups)
        + spillover_effects(study, planted, effect)
        + diverted_effects(study, planted, sharing, groups, treated_years(study, study.measure_ids("contracted")))
        + prior_effects(study, planted, groups, effect),
        gap_sd=gap_sd,
    )


def _levels(study: Study, measure: Measure, groups: tuple[str, ...], rng: np.random.Generator) -> FloatArray:
    """Calibrated levels plus lasting differences between systems that average to zero over members."""
    hints, n = measure.synthetic, len(study.systems)
    mix = np.array([[(s.synthetic.race_mix.get(g, 0.0) if s.synthetic else 0.0) for g in groups] for s in study.systems])
    weight = real_sizes(study)[:, None] * mix
    weight = weight / np.maximum(weight.sum(axis=0), 1e-12)
    level = rng.standard_normal(n) * float(hints.get("level_sd", 3.5))
    gap = rng.standard_normal((n, len(groups))) * float(hints.get("gap_sd", 2.5))
    gap[:, 0] = 0.0
    system = level[:, None] - gap
    system -= (weight * system).sum(axis=0)  # every group keeps its published average over members
    system = np.vstack([system, np.zeros(len(groups))])
    years = np.array(study.years)
    trend = float(hints.get("trend", 0.0)) * (years - study.baseline.reference_year)
    dip = by_year(hints.get("covid_dip", {}), study.years, 0.0)
    result: FloatArray = (reference_rate(measure, groups)[None, :] + system)[:, :, None] + (trend + dip)[None, None, :]
    return result


def draw_shocks(planted: Planted, gap_sd: float, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """System-year shocks to rates (S+1, K, Y): one of level for all groups, one of gap for each group but the first."""
    shocks = planted.truth.shocks
    systems, groups, years = shape
    level = autoregressive(rng, (systems, 1, years), shocks.level_sd, shocks.autocorrelation)
    common = autoregressive(rng, (systems, 1, years), gap_sd * np.sqrt(shocks.shared), shocks.autocorrelation)
    own = autoregressive(rng, (systems, groups, years), gap_sd * np.sqrt(1 - shocks.shared), shocks.autocorrelation)
    gap = common + own
    gap[:, 0] = 0.0
    result: FloatArray = level - gap
    result[-1] = 0.0
    return result


def draw_selection(
    study: Study, planted: Planted, sharing: tuple[str, ...], shape: tuple[int, ...], rng: np.random.Generator
) -> FloatArray:
    """The passing gap of the selection years at contracted systems: the largest of several draws. Elsewhere there is none."""
    result = np.zeros(shape)
    model = planted.truth.noise_selection
    draws = rng.standard_normal((shape[0], max(1, model.draws if model else 1)))
    if not planted.on("noise_selection") or model is None:
        return result
    contracted = treated_years(study, sharing).any(axis=1)
    extra = model.sd * np.where(contracted, draws.max(axis=1), 0.0)
    columns = [t for t, year in enumerate(study.years) if year in study.baseline.selection_years]
    result[:, 1:, columns] = -extra[:, None, None]
    return result


def _effects(
    study: Study, planted: Planted, sharing: tuple[str, ...], groups: tuple[str, ...], shape: tuple[int, ...]
) -> FloatArray:
    result = np.zeros(shape)
    treated = treated_years(study, sharing)
    general = [e for e in planted.truth.effect if e.measure in sharing and e.system is None]
    own = [e for e in planted.truth.effect if e.measure in sharing and e.system is not None]
    for effect in [*general, *own]:
        rows = [i for i, s in enumerate(study.systems) if effect.system in (None, s.id)]
        points = by_group(effect.points, groups, 0.0)
        result[rows] = points[None, :, None] * treated[rows][:, None, :]
    return result
