"""Small tables that repeat the study's facts or follow from them: systems, practices, contracts, grants, reports, coaching."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

from p4equity.study import Study, in_force
from p4equity.synthetic.draws import stream
from p4equity.synthetic.places import KINDS, OPENED
from p4equity.synthetic.plan import Plan

Rows = list[dict[str, Any]]
_VENDORS = ("vendor A", "vendor B", "vendor C")
_SPECIALTIES = {
    "adult": (("IM", 0.5), ("FM", 0.3), ("NP", 0.13), ("PA", 0.07)),
    "pediatric": (("Peds", 0.85), ("NP", 0.15)),
    "mixed": (("FM", 0.6), ("IM", 0.15), ("Peds", 0.12), ("NP", 0.13)),
}
_REPORT_MONTHS = (4, 10)
_REPORTS_LEAD_YEARS = 2  # stratified reports and coaching start this many years before the first contracts
_COACHING_YEARS = 4


def study_tables(study: Study, plan: Plan) -> dict[str, Rows]:
    """All of them, by table name."""
    return {
        "system": _systems(study),
        "practice": _practices(plan),
        "practice_system_span": [
            {"practice_id": p, "start": start, "end": end, "system_id": system, "change_type": why}
            for p, start, end, system, why in plan.places.spans
        ],
        "provider": _providers(plan),
        "contract": _contracts(study),
        "contract_measure": _contract_measures(study),
        "grant": _grants(study),
        "stratified_report": _reports(study, plan.seed),
        "ta_participation": _coaching(study, plan.seed),
    }


def _systems(study: Study) -> Rows:
    exits = {e.system_id: e for e in study.exits}
    return [
        {
            "system_id": s.id,
            "masked_label": s.masked_label,
            "arm": s.arm,
            "ownership": s.ownership,
            "masshealth_aco": s.masshealth_aco,
            "teaching": s.teaching,
            "region": s.region,
            "medicaid_share": s.medicaid_share,
            "exit_date": exits[s.id].date if s.id in exits else None,
            "exit_reason": exits[s.id].reason if s.id in exits else None,
        }
        for s in study.systems
    ]


def _practices(plan: Plan) -> Rows:
    places, outside = plan.places, len(plan.system_ids)
    vendor = stream(plan.seed, "vendor").integers(0, len(_VENDORS), len(places.ids))
    return [
        {
            "practice_id": places.ids[p],
            "practice_type": KINDS[places.kind[p]],
            "n_pcps": int(places.n_pcps[p]),
            "ehr_vendor": _VENDORS[vendor[p]],
            "independent": bool(places.home[p] == outside),
            "zip3": places.zip3[p],
            "adi_decile": int(places.deprivation[p]),
        }
        for p in range(len(places.ids))
    ]


def _providers(plan: Plan) -> Rows:
    places, rng = plan.places, stream(plan.seed, "provider")
    rows: Rows = []
    for p, practice in enumerate(places.ids):
        names, shares = zip(*_SPECIALTIES[KINDS[places.kind[p]]], strict=True)
        for _ in range(int(places.n_pcps[p])):
            entered = OPENED + dt.timedelta(days=int(rng.integers(0, 2000)))
            rows.append(
                {
                    "provider_id": f"D{len(rows) + 1:06d}",
                    "practice_id": practice,
                    "specialty": names[int(np.searchsorted(np.cumsum(shares), rng.random() * 0.999))],
                    "entered": entered,
                    "left": None,
                }
            )
    return rows


def _contracts(study: Study) -> Rows:
    return [
        {
            "contract_id": c.contract_id,
            "system_id": c.system_id,
            "cohort": c.cohort,
            "effective": c.effective or dt.date(c.cohort, 1, 1),
            "announced": c.announced,
            "ended": c.ended,
            "performance_year1": c.cohort,
            "status": "ended" if c.ended is not None and c.ended.year <= study.years[-1] else "active",
        }
        for c in study.contracts
    ]


def _contract_measures(study: Study) -> Rows:
    selected = ";".join(str(y) for y in study.baseline.selection_years) or None
    return [
        {
            "contract_id": c.contract_id,
            "measure_id": measure,
            "year": year,
            "incentivized": True,
            "groups": ";".join(study.groups.compared) or None,
            "selected_on_years": selected,
        }
        for c in study.contracts
        for measure in c.measures
        for year in study.years
        if in_force(c, year)
    ]


def _grants(study: Study) -> Rows:
    return [
        {
            "grant_id": g.grant_id,
            "system_id": g.system_id,
            "awarded": g.awarded,
            "amount": g.amount,
            "ends": g.ends,
            "purpose": g.purpose,
            "tranche": g.tranche,
        }
        for g in study.grants
        if g.amount is not None
    ]


def _leaves(study: Study, system_id: str) -> dt.date:
    return min((e.date for e in study.exits if e.system_id == system_id), default=dt.date.max)


def _reports(study: Study, seed: int) -> Rows:
    """Half-yearly confidential reports to every system of the study, from before the contracts on."""
    rng = stream(seed, "stratified_report")
    first = study.launch_cohort - _REPORTS_LEAD_YEARS
    dates = [dt.date(y, m, 15) for y in range(first, study.years[-1] + 1) for m in _REPORT_MONTHS][1:]
    rows: Rows = []
    for system in study.systems:
        interest = rng.uniform(0.55, 0.95)
        for date in dates:
            if date >= _leaves(study, system.id) or system.arm == "excluded":
                continue
            for measure in study.measure_ids("contracted"):
                delivered, opened = bool(rng.random() < 0.98), bool(rng.random() < interest)
                users = int(1 + rng.poisson(4)) if delivered and opened else 0
                rows.append(
                    {
                        "system_id": system.id,
                        "report_date": date,
                        "measure_id": measure,
                        "delivered": delivered,
                        "opened": delivered and opened,
                        "n_users": users,
                    }
                )
    return rows


def _coaching(study: Study, seed: int) -> Rows:
    """Monthly learning sessions, open to both arms."""
    rng = stream(seed, "ta_participation")
    start = dt.date(study.launch_cohort - _REPORTS_LEAD_YEARS, 10, 1)
    months = [
        dt.date(start.year + (start.month - 1 + i) // 12, (start.month - 1 + i) % 12 + 1, 1) for i in range(12 * _COACHING_YEARS)
    ]
    rows: Rows = []
    for system in study.systems:
        zeal = rng.uniform(0.8, 2.2)
        for month in months:
            sessions = int(rng.poisson(zeal))
            if month >= _leaves(study, system.id) or system.arm == "excluded" or month.year > study.years[-1]:
                continue
            rows.append(
                {
                    "system_id": system.id,
                    "month": month,
                    "sessions": sessions,
                    "attendees": int(rng.poisson(5 * sessions)) if sessions else 0,
                    "collaborative": "Equity learning community",
                }
            )
    return rows
