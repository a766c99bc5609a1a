"""Survey and interviews of the implementation strand: invented respondents, no words that could pass for a quotation."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

from p4equity.dictionary import Table, load_dictionary
from p4equity.study import Study
from p4equity.synthetic.draws import stream
from p4equity.synthetic.places import real_sizes

Rows = list[dict[str, Any]]
# Item, mean answer at comparison systems, difference at participating ones.
ITEMS = (
    ("receives_stratified_reports", 3.5, 0.3),
    ("uses_stratified_reports", 3.0, 0.4),
    ("trusts_imputed_race_data", 2.7, 0.0),
    ("has_resources_to_act", 2.8, 0.3),
    ("burden_is_acceptable", 3.1, -0.2),
    ("leaders_make_equity_a_priority", 3.5, 0.4),
    ("practice_changed_workflows", 2.9, 0.5),
    ("language_services_are_sufficient", 3.2, 0.1),
)
_SURVEY_ROLES = (("clinician", 0.60), ("quality", 0.18), ("exec", 0.10), ("analyst", 0.12))
_PEOPLE_PER_RESPONDENT, _FEWEST, _MOST = 3500, 5, 40
_INTERVIEWS = 44
_SYSTEM_ROLES = (("exec", 0.25), ("quality", 0.30), ("clinician", 0.30), ("analyst", 0.15))
_OTHER_ROLES = (("payer", 9), ("external", 8))
_DOUBLE_CODED, _AGREEMENT = 0.3, 0.85


def strand_tables(study: Study, seed: int) -> dict[str, Rows]:
    """survey_response, interview, interview_code."""
    interviews = _interviews(study, seed)
    return {
        "survey_response": _survey(study, seed),
        "interview": interviews,
        "interview_code": _codes(interviews, load_dictionary().table("interview_code"), seed),
    }


def _choose(rng: np.random.Generator, shares: tuple[tuple[str, float], ...]) -> str:
    names, weights = zip(*shares, strict=True)
    edges = np.cumsum(weights) / np.sum(weights)
    return str(names[min(int(np.searchsorted(edges, rng.random(), side="right")), len(names) - 1)])


def _survey(study: Study, seed: int) -> Rows:
    """One wave, two years after the first contracts; few respondents at small systems."""
    rng = stream(seed, "survey")
    sizes = real_sizes(study)
    fielded = dt.date(study.launch_cohort + 1, 9, 1)
    rows: Rows = []
    number = 0
    for system, size in zip(study.systems, sizes, strict=True):
        if system.arm == "excluded" or (study.exit_year(system.id) or 9999) <= fielded.year:
            continue
        invited = int(np.clip(round(float(size) / _PEOPLE_PER_RESPONDENT), _FEWEST, _MOST))
        weight = float(size) / sizes.sum() * len(sizes) * 20 / invited
        shift, participating = rng.normal(0, 0.2), system.arm == "participating"
        for _ in range(invited):
            number += 1
            person, role = rng.normal(0, 0.5), _choose(rng, _SURVEY_ROLES)
            completed = fielded + dt.timedelta(days=int(rng.integers(0, 60)))
            weight_here = round(weight * float(rng.uniform(0.85, 1.15)), 4)
            for item, mean, difference in ITEMS:
                answer = mean + difference * participating + shift + person + rng.normal(0, 0.8)
                u = rng.random()
                response = 98 if u < 0.05 else 99 if u < 0.06 else int(np.clip(round(answer), 1, 5))
                rows.append(
                    {
                        "respondent_id": f"R{number:04d}",
                        "wave": 1,
                        "system_id": system.id,
                        "role": role,
                        "item_id": item,
                        "response": response,
                        "weight": weight_here,
                        "completed": completed,
                    }
                )
    return rows


def _interviews(study: Study, seed: int) -> Rows:
    rng = stream(seed, "interview")
    systems = [s.id for s in study.systems if s.arm != "excluded"]
    roles: list[tuple[str, str | None]] = [(role, None) for role, n in _OTHER_ROLES for _ in range(n)]
    for i in range(_INTERVIEWS - len(roles)):
        roles.append((_choose(rng, _SYSTEM_ROLES), systems[i % len(systems)]))
    first = dt.date(study.launch_cohort, 3, 1)
    rows = [
        {
            "date": first + dt.timedelta(days=int(rng.integers(0, 300))),
            "system_id": system,
            "role": role,
            "minutes": int(np.clip(rng.normal(48, 10), 20, 90)),
            "language": "English",
            "consent": "quote" if rng.random() < 0.7 else "analysis",
        }
        for role, system in roles
    ]
    rows.sort(key=lambda row: (row["date"], row["role"], row["system_id"] or ""))
    return [{"interview_id": f"I{i + 1:03d}", **row} for i, row in enumerate(rows)]


def _codes(interviews: Rows, table: Table, seed: int) -> Rows:
    """Segments coded by construct; a share of the interviews by two coders who mostly agree."""
    rng = stream(seed, "interview_code")
    codes = [str(c.value) for c in table.field("code").categories]
    weight = rng.gamma(1.5, 1.0, len(codes))
    mean = rng.uniform(-0.9, 1.0, len(codes))
    rows: Rows = []
    for interview in interviews:
        double = rng.random() < _DOUBLE_CODED
        for segment in range(1, int(rng.integers(12, 24)) + 1):
            first = int(rng.choice(len(codes), p=weight / weight.sum()))
            valence = int(np.clip(round(rng.normal(mean[first], 0.9)), -2, 2))
            readings = [("coder A", first, valence)]
            if double:
                agrees = rng.random() < _AGREEMENT
                second = first if agrees else int(rng.choice(len(codes), p=weight / weight.sum()))
                readings.append(("coder B", second, int(np.clip(valence + rng.integers(-1, 2) * (rng.random() < 0.25), -2, 2))))
            rows.extend(
                {
                    "interview_id": interview["interview_id"],
                    "segment": segment,
                    "code": codes[code],
                    "valence": value,
                    "coder": coder,
                    "quote_ok": False,
                    "quote": None,
                }
                for coder, code, value in readings
            )
    return rows
