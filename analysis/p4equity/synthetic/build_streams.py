"""Event streams and spending of the plan: denominators calibrated on a pilot population, rates by age band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from p4equity.dictionary import Measure
from p4equity.errors import StudyError
from p4equity.study import Study
from p4equity.synthetic.draws import BoolArray, FloatArray, IntArray, stream
from p4equity.synthetic.plan import OLDEST, SpendingPlan, StreamPlan
from p4equity.synthetic.population import SEXES, Members
from p4equity.synthetic.rates import Rates, build_rates, by_group, by_year, reference_rate, treated_years
from p4equity.synthetic.truth import Planted, Stream


@dataclass(frozen=True)
class Pilot:
    """A sample of members with enough months of coverage in the reference year: age, group, sex."""

    age: IntArray
    group: IntArray
    sex: IntArray

    @staticmethod
    def of(members: Members, study: Study, minimum_months: int) -> Pilot:
        """The sample's members covered in the study's reference year."""
        t = study.years.index(study.baseline.reference_year)
        rows = members.months[:, t] >= max(minimum_months, 1)
        return Pilot(members.age(study.years)[rows, t], members.group[rows], members.sex[rows])


def streams_of(study: Study) -> dict[str, tuple[Measure, ...]]:
    """Measures by event stream; the measure that describes the stream first, those that extend it after it."""
    wanted = [
        *study.measure_ids("contracted"),
        *study.measure_ids("not_incentivized"),
        *study.measure_ids("negative_control"),
        *study.measure_ids("broken_series"),
    ]
    result: dict[str, list[Measure]] = {}
    for measure_id in dict.fromkeys(wanted):
        measure = study.measure(measure_id)
        if measure.kind == "proportion":
            result.setdefault(measure.events, []).append(measure)
    return {name: tuple(sorted(found, key=lambda m: "extends" in m.synthetic)) for name, found in result.items()}


def build_streams(study: Study, planted: Planted, pilot: Pilot, seed: int) -> tuple[StreamPlan, ...]:
    """One plan a stream."""
    streams = streams_of(study)
    conditions: dict[str, FloatArray] = {}
    result = []
    order = sorted(streams.values(), key=lambda found: "same_denominator_as" in found[0].synthetic)
    for measures in order:
        item = _stream(study, planted, pilot, measures, conditions, seed)
        conditions[measures[0].id] = item.entry
        result.append(item)
    return tuple(sorted(result, key=lambda item: list(streams).index(item.id)))


def _stream(
    study: Study, planted: Planted, pilot: Pilot, measures: tuple[Measure, ...], conditions: dict[str, FloatArray], seed: int
) -> StreamPlan:
    main, added = measures[0], [m for m in measures[1:] if "extends" in m.synthetic]
    hints, name = main.synthetic, main.events
    model = planted.truth.stream.get(name, Stream())
    groups = study.scheme.ids if study.scheme else ()
    band, first_year, offsets = _bands(pilot, main)
    entry = _entry(pilot, main, model, band, groups, conditions)
    rates = build_rates(study, planted, main, tuple(m.id for m in measures), seed)
    together = rates.level + rates.shock + rates.selection
    rate = np.stack([together + offset for offset in offsets])
    for extra in added:
        b = len(rate)
        rate = np.concatenate([rate, _added_rate(study, planted, main, extra, together)[None]])
        ages = extra.synthetic["added_ages"]
        band[int(ages[0]) : int(ages[1]) + 1] = b
        first_year = np.append(first_year, study.years.index(int(extra.synthetic["added_from"])))
        inside = np.where((np.arange(OLDEST + 1) >= ages[0]) & (np.arange(OLDEST + 1) <= ages[1]), b, -1)
        entry = np.maximum(entry, _entry(pilot, extra, Stream(), inside, groups, conditions))
    reading, gain = readings(study, planted, measures, groups, seed)
    value = hints.get("reading_value")
    return StreamPlan(
        id=name,
        sex=SEXES.index(hints["sex"]) if "sex" in hints else -1,
        band=band,
        first_year=first_year,
        entry=entry,
        latent=None if model.denominator == "episodic" else _latent(study, main),
        persistence=float(hints.get("persistence", 0.4)),
        rate=rate / 100,
        effect=(rates.effect + rates.beside) / 100,
        reading=reading,
        reading_gain=gain,
        supplemental=float(hints.get("supplemental_share", 0.0)),
        claims_only=main.claims_only,
        met=tuple(value["met"]) if value else (0.0, 0.0),
        not_met=tuple(value["not_met"]) if value else (0.0, 0.0),
        cut=float(value["cut"]) if value else None,
    )


def _latent(study: Study, measure: Measure) -> str:
    other = measure.synthetic.get("same_denominator_as")
    return study.measure(other).events if other else measure.events


def _bands(pilot: Pilot, measure: Measure) -> tuple[IntArray, IntArray, list[float]]:
    """Band of each age, first year of each band, and its offset from the measure's rate (0 on average for the first group)."""
    if measure.age_min is None or measure.age_max is None:
        raise StudyError("a measure without ages cannot be simulated", where=f"measures.toml [{measure.id}]")
    ages = np.arange(OLDEST + 1)
    band = np.where((ages >= measure.age_min) & (ages <= measure.age_max), 0, -1)
    offsets = [0.0]
    named = measure.synthetic.get("stratum_offset", {})
    if named:
        offsets = [float(named.get(s.id, 0.0)) for s in measure.strata]
        for b, stratum in enumerate(measure.strata):
            band[stratum.age_min : stratum.age_max + 1] = b
        sample = band[pilot.age[pilot.group == 0]]
        mean = np.mean(np.array(offsets)[sample[sample >= 0]])
        offsets = [o - float(mean) for o in offsets]
    return band.astype(np.int64), np.zeros(len(offsets), dtype=np.int64), offsets


def _entry(
    pilot: Pilot,
    measure: Measure,
    model: Stream,
    band: IntArray,
    groups: tuple[str, ...],
    conditions: dict[str, FloatArray],
) -> FloatArray:
    """Probability of the denominator by group and age (K, OLDEST+1), so that each group's share of members is the hinted one."""
    shared = measure.synthetic.get("same_denominator_as")
    eligible: BoolArray = band >= 0
    if shared in conditions:
        other: FloatArray = conditions[shared]
        # The other measure's curve, carried on to ages that only this one has.
        known = np.flatnonzero(other[0] > 0)
        carried = other[:, np.clip(np.arange(OLDEST + 1), known[0], known[-1])]
        return np.asarray(carried * eligible, dtype=float)
    ages = np.arange(OLDEST + 1)
    curve = (
        1 / (1 + np.exp(-(ages - model.age_midpoint) / model.age_scale))
        if model.denominator == "chronic"
        else np.ones(OLDEST + 1)
    )
    curve = curve * eligible
    relative = by_group(measure.synthetic.get("propensity", {}), groups, 1.0)
    mix = np.bincount(pilot.group, minlength=len(groups)) / len(pilot.group)
    target = float(measure.synthetic["denominator_share"]) * relative / (mix @ relative)
    wanted_sex = measure.synthetic.get("sex")
    result = np.zeros((len(groups), OLDEST + 1))
    for k in range(len(groups)):
        rows = pilot.group == k
        chance = curve[pilot.age[rows]]
        if wanted_sex is not None:
            chance = chance * (pilot.sex[rows] == SEXES.index(wanted_sex))
        result[k] = _scaled(curve, chance, float(target[k]))
    return result


def _scaled(curve: FloatArray, chance: FloatArray, target: float) -> FloatArray:
    """`curve` times the factor that brings the mean of `chance`, capped at 1, to `target` (or as near as it gets)."""
    low, high = 0.0, 1e4
    if len(chance) == 0 or not chance.any():
        return curve
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(chance * middle, 1.0).mean() < target else (low, middle)
    return np.minimum(curve * high, 1.0)


def _added_rate(study: Study, planted: Planted, main: Measure, extra: Measure, together: FloatArray) -> FloatArray:
    """Rate of the ages a specification adds: the stream's own where the break is switched off."""
    if not planted.on("spec_break"):
        return together
    groups = study.scheme.ids if study.scheme else ()
    shift = reference_rate(extra, groups) - reference_rate(main, groups)
    years = np.array(study.years) - study.baseline.reference_year
    trend = (float(extra.synthetic.get("trend", 0.0)) - float(main.synthetic.get("trend", 0.0))) * np.maximum(years, 0)
    result: FloatArray = together + shift[None, :, None] + trend[None, None, :]
    return result


def readings(
    study: Study, planted: Planted, measures: tuple[Measure, ...], groups: tuple[str, ...], seed: int
) -> tuple[FloatArray | None, FloatArray]:
    """Share with a reading, and what a documentation gain adds to it (S+1, K, Y); None for a measure without readings."""
    main = measures[0]
    shape = (len(study.systems) + 1, len(groups), len(study.years))
    gain = np.zeros(shape)
    if not main.has_reading:
        return None, gain
    hints = main.synthetic
    share = float(hints["reading_rate"]) - by_group(hints.get("reading_gaps", {}), groups, 0.0)
    dip = 0.3 * by_year(hints.get("covid_dip", {}), study.years, 0.0)
    system = stream(seed, f"reading:{main.events}").normal(0.0, 1.0, shape[0])
    reading = np.clip(share[None, :, None] + system[:, None, None] + dip[None, None, :], 30.0, 99.0) / 100
    points = planted.truth.documentation_gain.get(main.events)
    if points and planted.on("documentation_gain"):
        treated = treated_years(study, tuple(m.id for m in measures))
        gain = by_group(points, groups, 0.0)[None, :, None] * treated[:, None, :] / 100
    return reading, gain


def build_spending(study: Study, planted: Planted, pilot: Pilot, seed: int) -> SpendingPlan | None:
    """Spending by system, group and year; None for a study without it."""
    found = [study.measure(m) for m in study.measure_ids("spending")]
    if not found or "pmpm_mean" not in found[0].synthetic:
        return None
    hints, years = found[0].synthetic, np.array(study.years)
    groups = study.scheme.ids if study.scheme else ()
    rng = stream(seed, "spending:system")
    systems = len(study.systems) + 1
    level = 1 + rng.standard_normal(systems) * float(hints.get("level_sd", 0.04))
    shock = 1 + rng.standard_normal((systems, len(years))) * float(hints.get("shock_sd", 0.01))
    age = np.ones(OLDEST + 1)
    for span, ratio in hints.get("age_ratio", {}).items():
        low, _, high = str(span).partition("_")
        age[int(low) : int(high) + 1 if high.isdigit() else OLDEST + 1] = float(ratio)
    age /= age[pilot.age].mean()
    growth = (1 + float(hints.get("pmpm_trend", 0.0))) ** (years - study.baseline.reference_year)
    growth = growth * by_year(hints.get("pmpm_covid", {}), study.years, 1.0)
    ratio = by_group(hints.get("group_ratio", {}), groups, 1.0)
    mean = float(hints["pmpm_mean"]) * level[:, None, None] * ratio[None, :, None] * (growth * shock)[:, None, :]
    treated = treated_years(study, study.measure_ids("contracted"))
    return SpendingPlan(
        mean=mean,
        effect=planted.truth.spending_effect.usd_pmpm * treated,
        age=age,
        log_sd=float(hints.get("log_sd", 1.2)),
        zero_share=float(hints.get("zero_share", 0.0)),
        persistence=float(hints.get("persistence", 0.5)),
        plan_share=float(hints.get("plan_share", 0.88)),
    )


__all__ = ["Pilot", "Rates", "build_spending", "build_streams", "streams_of"]
