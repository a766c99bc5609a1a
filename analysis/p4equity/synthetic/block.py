"""One block of members: draws it and writes its file of every person-level table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from p4equity.synthetic import events as ev
from p4equity.synthetic import population as pop
from p4equity.synthetic import write as w
from p4equity.synthetic.draws import IntArray, pick, stream
from p4equity.synthetic.placement import Placement, place
from p4equity.synthetic.plan import Plan
from p4equity.synthetic.race import probabilities, record_race
from p4equity.synthetic.spending import draw_spending

_EMPLOYERS = 4000
_DEATH_AGE, _DEATH_SHARE = 50, 0.03  # of those whose coverage ends


def make_block(plan: Plan, folder: Path, block: int) -> dict[str, int]:
    """Draw and write block number `block`; returns rows by table."""
    n = plan.size(block)
    members = pop.draw_members(plan.people, plan.years, plan.seed, block, n)
    placed = place(plan, members, plan.seed, block)
    latent = ev.conditions(plan, members, plan.seed, block)
    ids = tuple(f"M{number:08d}" for number in range(block * plan.block + 1, block * plan.block + n + 1))
    tables: dict[str, dict[str, Any]] = {
        "member": _member(plan, members, ids, block),
        "enrollment_span": _enrollment(plan, members, ids, block),
        "attribution": _attribution(plan, placed, ids),
        "measure_event": _events(plan, members, placed, latent, ids, block),
    }
    if plan.race is not None:
        codes = ev.condition_codes(plan, members, latent)
        tables["race_ethnicity"] = _race(plan, members, codes, ids, block)
        tables["race_probability"] = _probability(plan, members, ids, block)
    if plan.spending is not None:
        tables["spending"] = _spending(plan, members, placed, ids, block)
    return {
        name: w.write_table(folder / name / f"block-{block:04d}.parquet", name, plan.columns[name], arrays)
        for name, arrays in tables.items()
    }


def _member(plan: Plan, members: pop.Members, ids: tuple[str, ...], block: int) -> dict[str, Any]:
    rng = stream(plan.seed, "member_traits", block)
    percentile, vulnerability = pop.deprivation(plan.people, members, rng)
    language = pick(rng, plan.people.language, members.group, members.n)
    last = members.end.max(axis=1)
    age_at_end = members.first_year + last // 12 - members.birth_year
    died = (last < 12 * len(plan.years)) & (age_at_end >= _DEATH_AGE) & (rng.random(members.n) < _DEATH_SHARE)
    zips = tuple(f"{z:03d}" for z in range(10, 28))
    return {
        "member_id": w.words(ids, np.arange(members.n)),
        "birth_year": w.integers(members.birth_year),
        "sex": w.words(pop.SEXES, members.sex),
        "zip3": w.words(zips, (members.home * 5 + rng.integers(0, 4, members.n)) % len(zips)),
        "adi_national_pct": w.integers(percentile),
        "svi": w.numbers(vulnerability),
        "language_pref": w.words(plan.people.languages, language),
        "interpreter": w.flags((language > 0) & (rng.random(members.n) < 0.35), members.n),
        "death_year": w.integers(members.first_year + (last - 1) // 12, ~died),
    }


def _month_days(n_years: int, first_year: int) -> IntArray:
    """Days since 1970 of the first of each month, through the January after the last study year."""
    months = np.arange(np.datetime64(f"{first_year}-01"), np.datetime64(f"{first_year + n_years}-02"))
    return months.astype("datetime64[D]").astype(np.int64)


def _enrollment(plan: Plan, members: pop.Members, ids: tuple[str, ...], block: int) -> dict[str, Any]:
    rng = stream(plan.seed, "employer", block)
    firsts = _month_days(len(plan.years), plan.years[0])
    who, span = np.nonzero(members.end > members.start)
    employer = np.floor(_EMPLOYERS * rng.random(members.n) ** 2).astype(np.int64)
    employed = members.market != pop.MARKETS.index("individual")
    drug = rng.random(members.n) < 0.88
    return {
        "member_id": w.words(ids, who),
        "start": w.days(firsts[members.start[who, span]]),
        "end": w.days(firsts[members.end[who, span]] - 1),
        "product": w.words(pop.PRODUCTS, members.product[who, span]),
        "market": w.words(pop.MARKETS, members.market[who]),
        "employer_id": w.words(tuple(f"E{e:04d}" for e in range(_EMPLOYERS)), np.where(employed, employer, -1)[who]),
        "medical": w.flags(np.ones(len(who), dtype=bool), len(who)),
        "drug": w.flags(drug[who], len(who)),
        "primary_coverage": w.flags(np.ones(len(who), dtype=bool), len(who)),
    }


def _attribution(plan: Plan, placed: Placement, ids: tuple[str, ...]) -> dict[str, Any]:
    who, year = np.nonzero(placed.attributed)
    practice = placed.practice[who, year]
    owner = placed.owner[who, year]
    before = np.where(year > 0, placed.practice[who, year - 1], practice)
    providers = int(plan.places.n_pcps.sum())
    return {
        "member_id": w.words(ids, who),
        "year": w.integers(np.array(plan.years)[year]),
        "rule": w.constant(plan.attribution_rule, len(who)),
        "practice_id": w.words(plan.places.ids, practice),
        "system_id": w.words(plan.system_ids, np.where(owner < len(plan.system_ids), owner, -1)),
        "provider_id": w.words(tuple(f"D{d + 1:06d}" for d in range(providers)), placed.provider[who, year]),
        "changed_since_prior": w.flags(practice != before, len(who)),
    }


def _events(
    plan: Plan, members: pop.Members, placed: Placement, latent: dict[str, Any], ids: tuple[str, ...], block: int
) -> dict[str, Any]:
    parts = [ev.draw_events(plan, item, members, placed, latent, block) for item in plan.streams]
    sizes = [len(part.member) for part in parts]
    code = np.repeat(np.arange(len(parts)), sizes)

    def whole(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    year, day = whole("year"), whole("day")
    readings = np.concatenate([np.zeros(len(p.member), dtype=bool) if p.reading is None else p.reading for p in parts])
    without = np.repeat(np.array([part.reading is None for part in parts]), sizes)
    starts = _month_days(len(plan.years), plan.years[0])[::12]
    numerator, supplemental = whole("numerator"), whole("supplemental")
    import pyarrow as pa

    return {
        "member_id": w.words(ids, whole("member")),
        "measure_id": w.words(tuple(item.id for item in plan.streams), code),
        "year": w.integers(np.array(plan.years)[year]),
        "denominator": w.flags(whole("denominator"), len(year)),
        "exclusion": w.words(ev.EXCLUSIONS, whole("exclusion")),
        "numerator": w.flags(numerator, len(year)),
        "numerator_admin": w.flags(numerator & ~supplemental, len(year)),
        "numerator_supplemental": w.flags(supplemental, len(year)),
        "has_reading": pa.array(readings, mask=without),
        "value": w.numbers(whole("value")),
        "event_date": w.days(starts[year] + np.maximum(day, 0), day < 0),
        "data_source": w.words(ev.SOURCES, whole("source")),
        "age_at_31dec": w.integers(whole("age")),
    }


def _race(plan: Plan, members: pop.Members, codes: IntArray, ids: tuple[str, ...], block: int) -> dict[str, Any]:
    race = plan.race
    assert race is not None
    records = record_race(race, members, codes, plan.seed, block)
    n, versions = members.n, len(race.versions)
    said = records.self_reported.ravel()
    channel = np.where(records.channel < 0.6, 0, 1)
    collected = np.array([w.day_number(d) for d in race.released])[None, :] - (30 + 500 * records.channel[:, None]).astype(
        np.int64
    )
    return {
        "member_id": w.words(ids, np.repeat(np.arange(n), versions)),
        "source": w.words(
            ("self_report_portal", "self_report_provider", "imputed"), np.where(said, np.repeat(channel, versions), 2)
        ),
        "version": w.words(race.versions, np.tile(np.arange(versions), n)),
        "collected": w.days(collected.ravel(), ~said),
        "race_eth": w.words(plan.people.categories, records.category.ravel()),
        "scheme": w.constant("OMB1997", n * versions),
    }


def _probability(plan: Plan, members: pop.Members, ids: tuple[str, ...], block: int) -> dict[str, Any]:
    race = plan.race
    assert race is not None
    names = [column for column, _ in race.probability] + [race.rest]
    class_of = np.full(len(plan.people.categories), len(names) - 1, dtype=np.int64)
    for place_, (_, category) in enumerate(race.probability):
        class_of[category] = place_
    shares = probabilities(race, members, len(names), class_of, plan.seed, block)
    return {
        "member_id": w.words(ids, np.arange(members.n)),
        "version": w.constant(race.versions[-1], members.n),
        **{name: w.numbers(shares[:, k]) for k, name in enumerate(names)},
        "inputs": w.constant("synthetic signal", members.n),
        "calibrated_to": w.constant("frozen recorded class", members.n),
        "back_cast": w.flags(np.ones(members.n, dtype=bool), members.n),
    }


def _spending(plan: Plan, members: pop.Members, placed: Placement, ids: tuple[str, ...], block: int) -> dict[str, Any]:
    assert plan.spending is not None
    rows = draw_spending(plan, plan.spending, members, placed, block)
    return {
        "member_id": w.words(ids, rows.member),
        "year": w.integers(np.array(plan.years)[rows.year]),
        "months": w.integers(rows.months),
        "allowed_total": w.numbers(rows.allowed / 100.0),
        "paid_plan": w.numbers(rows.plan_paid / 100.0),
        "paid_member": w.numbers(rows.member_paid / 100.0),
        "risk_score": w.numbers(rows.risk),
    }
