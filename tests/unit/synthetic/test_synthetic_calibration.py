"""The synthetic population against what it is calibrated to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from p4equity.study import Study
from p4equity.synthetic.build_streams import streams_of
from p4equity.synthetic.events import condition_codes, conditions
from p4equity.synthetic.places import real_sizes
from p4equity.synthetic.plan import Plan
from p4equity.synthetic.population import draw_members
from p4equity.synthetic.race import probabilities, record_race
from p4equity.synthetic.rates import build_rates, reference_rate
from p4equity.synthetic.truth import Planted
from p4equity.synthetic.truth_record import attenuation

Query = Callable[[str], pd.DataFrame]


def network_rates(query: Query) -> pd.DataFrame:
    """Rate and denominator by stream, year and group; ages of the first measure of each stream only."""
    return query(
        """SELECT measure_id AS stream, year, g, 100.0 * avg(numerator::INT) AS rate, count(*) AS n
        FROM measure_event JOIN attribution USING (member_id, year) JOIN grp USING (member_id)
        WHERE denominator AND system_id IS NOT NULL AND (measure_id <> 'COL' OR age_at_31dec >= 50) GROUP BY ALL"""
    ).set_index(["stream", "year", "g"])


def test_average_level_of_every_group_is_the_published_one(study: Study, planted: Planted) -> None:
    assert study.scheme is not None
    groups = study.scheme.ids
    mix = np.array([[s.synthetic.race_mix[g] if s.synthetic else 0.0 for g in groups] for s in study.systems])
    weight = real_sizes(study)[:, None] * mix
    t = study.years.index(study.baseline.reference_year)
    for found in streams_of(study).values():
        rates = build_rates(study, planted, found[0], tuple(m.id for m in found), seed=11)
        average = (weight * rates.level[:-1, :, t]).sum(axis=0) / weight.sum(axis=0)
        np.testing.assert_allclose(average, reference_rate(found[0], groups), atol=1e-9)


def test_rates_and_gaps_of_the_reference_year(study: Study, query: Query) -> None:
    rates, year = network_rates(query), study.baseline.reference_year
    assert study.scheme is not None
    groups = study.scheme.ids
    for name, found in streams_of(study).items():
        target = dict(zip(groups, reference_rate(found[0], groups), strict=True))
        for group in study.group_ids:
            row = rates.loc[(name, year, group)]
            # 1.5 points for shocks and members' unequal ages, plus three standard errors of this sample.
            noise = 3 * np.sqrt(target[group] * (100 - target[group]) / row["n"])
            assert abs(row["rate"] - target[group]) < 1.5 + noise, (name, group)


def test_sizes_and_mix(study: Study, query: Query) -> None:
    assert study.scheme is not None
    year, sizes = study.baseline.reference_year, real_sizes(study)
    found = query(f"SELECT system_id, count(*) AS n FROM attribution WHERE year = {year} GROUP BY 1").set_index("system_id")["n"]
    adult = [i for i, s in enumerate(study.systems) if s.stratum == "adult"]
    share = found[[study.systems[i].id for i in adult]].to_numpy() / found[[study.systems[i].id for i in adult]].sum()
    np.testing.assert_allclose(share, sizes[adult] / sizes[adult].sum(), atol=0.02)
    mix = query("SELECT g, count(*) / sum(count(*)) OVER () AS share FROM grp GROUP BY 1").set_index("g")["share"]
    for group in study.scheme.ids:
        target = sum(z * (s.synthetic.race_mix[group] if s.synthetic else 0) for z, s in zip(sizes, study.systems, strict=True))
        assert abs(mix[group] - target / sizes.sum()) < 0.005


def test_turnover_is_steady(query: Query) -> None:
    n = query("SELECT year, count(*) AS n FROM attribution GROUP BY 1 ORDER BY 1")["n"].to_numpy()
    assert np.ptp(n) / n.mean() < 0.02
    kept = query(
        """SELECT count(b.member_id) / count(*) AS kept FROM attribution a
        LEFT JOIN attribution b ON a.member_id = b.member_id AND b.year = a.year + 1 WHERE a.year BETWEEN 2018 AND 2024"""
    )["kept"][0]
    assert 0.83 < kept < 0.90


def test_results_last_within_members(study: Study, query: Query) -> None:
    found = query(
        """SELECT a.measure_id AS stream, corr(a.numerator::INT, b.numerator::INT) AS r FROM measure_event a
        JOIN measure_event b ON a.member_id = b.member_id AND a.measure_id = b.measure_id AND b.year = a.year + 1
        WHERE a.denominator AND b.denominator GROUP BY 1"""
    ).set_index("stream")["r"]
    for name, measures in streams_of(study).items():
        assert abs(found[name] - measures[0].synthetic["persistence"]) < 0.06, name


def test_pandemic_dip_and_age_break(study: Study, query: Query) -> None:
    table, reference = network_rates(query), study.group_ids[0]
    rates = table["rate"]
    for name, found in streams_of(study).items():
        dip = found[0].synthetic["covid_dip"]["2020"]
        seen = rates[(name, 2020, reference)] - (rates[(name, 2019, reference)] + rates[(name, 2022, reference)]) / 2
        assert abs(seen - dip) < 1.5 + 3 * 50 * np.sqrt(1.5 / table.loc[(name, 2020, reference)]["n"]), name
    as_specified = query(
        """SELECT year, min(age_at_31dec) AS youngest, 100 * avg(numerator::INT) AS rate FROM measure_event
        WHERE measure_id = 'COL' AND denominator GROUP BY 1"""
    ).set_index("year")
    assert as_specified.loc[2021, "youngest"] == 50
    assert as_specified.loc[2022, "youngest"] == 45
    assert as_specified.loc[2022, "rate"] - as_specified.loc[2021, "rate"] < -4
    assert abs(rates[("COL", 2022, reference)] - rates[("COL", 2021, reference)]) < 3


def test_well_care_falls_with_age(query: Query) -> None:
    rate = query(
        """SELECT CASE WHEN age_at_31dec <= 11 THEN 0 WHEN age_at_31dec <= 17 THEN 1 ELSE 2 END AS band, avg(numerator::INT) AS r
        FROM measure_event WHERE measure_id = 'WCV' AND denominator GROUP BY 1 ORDER BY 1"""
    )["r"].to_numpy()
    assert rate[0] > rate[1] + 0.03 > rate[2] + 0.15


def test_chronic_conditions_stay(query: Query) -> None:
    again = query(
        """SELECT avg((b.member_id IS NOT NULL)::INT) AS again FROM measure_event a
        JOIN attribution t ON t.member_id = a.member_id AND t.year = a.year + 1
        JOIN spending s ON s.member_id = a.member_id AND s.year = a.year + 1 AND s.months >= 10
        LEFT JOIN measure_event b ON a.member_id = b.member_id AND a.measure_id = b.measure_id AND b.year = a.year + 1
        WHERE a.measure_id = 'CBP' AND a.age_at_31dec < 85"""
    )["again"][0]
    assert again == 1.0


def test_readings(study: Study, query: Query) -> None:
    rows = query(
        """SELECT measure_id, count(*) FILTER (numerator AND NOT has_reading) AS wrong, avg(has_reading::INT) AS reading,
        count(*) FILTER ((value IS NOT NULL) <> has_reading) AS odd,
        max(value) FILTER (numerator) AS met, min(value) FILTER (NOT numerator) AS not_met
        FROM measure_event WHERE has_reading IS NOT NULL AND denominator GROUP BY 1"""
    ).set_index("measure_id")
    for name, measures in streams_of(study).items():
        if not measures[0].has_reading:
            assert name not in rows.index
            continue
        row, cut = rows.loc[name], measures[0].synthetic["reading_value"]["cut"]
        assert (row["wrong"], row["odd"]) == (0, 0)
        assert row["met"] < cut <= row["not_met"]
        assert abs(100 * row["reading"] - measures[0].synthetic["reading_rate"]) < 2.5


def test_spending(study: Study, query: Query) -> None:
    found = query("SELECT year, sum(allowed_total) / sum(months) AS pmpm FROM spending GROUP BY 1 ORDER BY 1").set_index("year")[
        "pmpm"
    ]
    hints = study.measure(study.measure_ids("spending")[0]).synthetic
    assert abs(found[2022] / hints["pmpm_mean"] - 1) < 0.06
    assert abs((found[2025] / found[2021]) ** (1 / 4) - 1 - hints["pmpm_trend"]) < 0.02
    exact = query("SELECT max(abs(allowed_total - paid_plan - paid_member)) AS d, min(paid_member) AS low FROM spending")
    assert exact["d"][0] < 0.005
    assert exact["low"][0] >= 0


def test_self_report_rises_alike_in_both_arms(query: Query, planted: Planted) -> None:
    assert planted.truth.race is not None
    found = query(
        """SELECT r.version, s.arm, avg((r.source <> 'imputed')::INT) AS share FROM race_ethnicity r
        JOIN attribution a ON a.member_id = r.member_id AND a.year = 2022 JOIN system s USING (system_id) GROUP BY ALL"""
    ).set_index(["version", "arm"])["share"]
    for version, share in planted.truth.race.self_report.items():
        for arm in ("participating", "comparison"):
            assert abs(found[(version, arm)] - share) < 0.01


def test_contemporaneous_classes_attenuate_gaps_as_stated(study: Study, plan: Plan) -> None:
    """P(frozen class | recorded class) differs between two recorded classes by s + (1 - s)(1 - error), within a system."""
    assert plan.race is not None
    assert study.race is not None
    members = draw_members(plan.people, plan.years, 5, 0, 300_000)
    codes = condition_codes(plan, members, conditions(plan, members, 5, 0))
    records = record_race(plan.race, members, codes, 5, 0)
    one = members.home == 0
    stated = attenuation(study, plan)[0]
    for year in (2019, 2022, 2025):
        v = plan.race.versions.index(study.race.contemporaneous_versions[year])
        recorded, frozen = records.category[one, v], members.category[one]
        for k in (1, 2, 3):
            seen = (frozen[recorded == k] == k).mean() - (frozen[recorded == 0] == k).mean()
            assert abs(seen - stated[study.years.index(year)]) < 0.035
        shares = np.bincount(recorded, minlength=4)[:4] / np.bincount(frozen, minlength=4)[:4]
        np.testing.assert_allclose(shares, 1.0, atol=0.03)


def test_probabilities_are_calibrated(plan: Plan) -> None:
    assert plan.race is not None
    members = draw_members(plan.people, plan.years, 6, 0, 200_000)
    names = [column for column, _ in plan.race.probability]
    class_of = np.full(len(plan.people.categories), len(names), dtype=np.int64)
    for k, (_, category) in enumerate(plan.race.probability):
        class_of[category] = k
    p = probabilities(plan.race, members, len(names) + 1, class_of, 6, 0)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-9)
    own = class_of[members.category]
    for k in range(4):
        for low, high in ((0.05, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
            rows = (p[:, k] >= low) & (p[:, k] < high)
            expected, seen = p[rows, k].mean(), (own[rows] == k).mean()
            assert abs(seen - expected) < 4 * np.sqrt(expected * (1 - expected) / rows.sum()) + 0.002
    assert 0.55 < np.corrcoef(p[:, 1], own == 1)[0, 1] ** 2 < 0.80


@pytest.mark.parametrize("table", ["survey_response", "interview", "interview_code"])
def test_strands_have_no_words_of_persons(query: Query, table: str) -> None:
    assert len(query(f"SELECT * FROM {table}")) > 40
    assert query("SELECT count(quote) AS n FROM interview_code")["n"][0] == 0


def test_small_systems_have_few_respondents_and_some_segments_two_coders(query: Query) -> None:
    people = query("SELECT count(DISTINCT respondent_id) AS n FROM survey_response GROUP BY system_id")["n"]
    assert people.min() < 11 < 30 < people.max()
    coders = query(
        """SELECT max(n) AS most, avg((n = 2)::INT) AS twice
        FROM (SELECT count(DISTINCT coder) AS n FROM interview_code GROUP BY interview_id, segment)"""
    )
    assert coders["most"][0] == 2
    assert 0.1 < coders["twice"][0] < 0.6
