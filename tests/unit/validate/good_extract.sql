-- Tables of a small valid extract. {n} members; {mark} stands in every identifier of a person; {years} and {streams} come from study and dictionary.
-- The tables `study_system`, `study_contract`, ... are made from the study.

-- table: system
SELECT system_id, arm, exit_date, CASE WHEN exit_date IS NOT NULL THEN 'left' END AS exit_reason FROM study_system
-- table: practice
SELECT 'P' || i AS practice_id, 'adult' AS practice_type, 5 AS n_pcps, 1 + i % 10 AS adi_decile FROM range(30) t(i)
-- table: practice_system_span
SELECT 'P' || i AS practice_id, DATE '2015-01-01' AS start, CASE WHEN i = 3 THEN DATE '2021-06-30' END AS end,
       (SELECT list(system_id ORDER BY system_id) FROM study_system)[1 + i % (SELECT count(*) FROM study_system)] AS system_id, 'join' AS change_type
FROM range(29) t(i)
UNION ALL SELECT 'P3', DATE '2021-07-01', NULL, (SELECT min(system_id) FROM study_system), 'sale'
-- table: provider
SELECT '{mark}D' || i AS provider_id, 'P' || (i % 30) AS practice_id, 'FM' AS specialty FROM range(60) t(i)
-- table: member
SELECT '{mark}' || i AS member_id, 1945 + i % 70 AS birth_year, CASE WHEN i % 2 = 0 THEN 'F' ELSE 'M' END AS sex,
       1 + i % 100 AS adi_national_pct, 'English' AS language_pref, NULL::INTEGER AS death_year FROM range({n}) t(i)
-- table: enrollment_span
SELECT '{mark}' || i AS member_id, make_date(2018 + 4 * half, 1, 1) AS start, make_date(2021 + 4 * half, 12, 31) AS end,
       'HMO' AS product, 'self_insured' AS market, true AS medical FROM range({n}) t(i), range(2) h(half)
-- table: attribution
WITH a AS (SELECT i, '{mark}' || i AS member_id, y AS year, 'P' || (i % 30) AS practice_id FROM range({n}) t(i), (SELECT unnest([{years}]) AS y))
SELECT a.member_id, a.year, 'performance_year' AS rule, a.practice_id, p.system_id, '{mark}D' || (i % 60) AS provider_id, 0.9 AS strength,
       false AS changed_since_prior
FROM a LEFT JOIN practice_system_span p ON a.practice_id = p.practice_id
  AND make_date(a.year, 12, 31) BETWEEN p.start AND coalesce(p.end, DATE '9999-12-31')
-- table: contract
SELECT contract_id, system_id, cohort, effective, announced, ended FROM study_contract
-- table: contract_measure
SELECT contract_id, measure_id, y AS year, true AS incentivized
FROM study_contract_measure, (SELECT unnest([{years}]) AS y) WHERE y >= cohort AND y <= coalesce(year(ended), 9999)
-- table: grant
SELECT grant_id, system_id, awarded, amount, ends, purpose, tranche FROM study_grant
-- table: measure_event
SELECT member_id, measure_id, year, d AS denominator, CASE WHEN d THEN NULL ELSE 'hospice' END AS exclusion, d AND met AS numerator,
       d AND met AS numerator_admin, false AS numerator_supplemental, NULL::BOOLEAN AS has_reading, NULL::DOUBLE AS value,
       NULL::DATE AS event_date, 'claims' AS data_source, age AS age_at_31dec
FROM (SELECT '{mark}' || i AS member_id, s.events AS measure_id, y AS year, i % 50 <> 0 AS d, hash(i, y, s.events) % 3 <> 0 AS met,
             y - (1945 + i % 70) AS age, low, high
      FROM range({n}) t(i), (SELECT unnest([{years}]) AS y), (SELECT unnest([{streams}], recursive := true)) s)
WHERE age BETWEEN low AND high
-- table: race_ethnicity
SELECT '{mark}' || i AS member_id, 'imputed' AS source, v AS version, NULL::DATE AS collected,
       ['NH White', 'NH Black', 'Hispanic', 'NH Asian', 'multiracial'][1 + i % 5] AS race_eth
FROM range({n}) t(i), (SELECT unnest([{versions}]) AS v)
-- table: race_probability
SELECT '{mark}' || i AS member_id, 'BART_v5' AS version, 0.7 AS p_white, 0.1 AS p_black, 0.1 AS p_hispanic, 0.05 AS p_asian, 0.0 AS p_aian,
       0.05 AS p_multi FROM range({n}) t(i)
-- table: spending
SELECT '{mark}' || i AS member_id, y AS year, 12 AS months, 5000.5 + i AS allowed_total, 4000.0 AS paid_plan, 500.0 AS paid_member,
       1.0 AS risk_score FROM range({n}) t(i), (SELECT unnest([{years}]) AS y)
-- table: survey_response
SELECT '{mark}R' || i AS respondent_id, 1 AS wave, (SELECT min(system_id) FROM study_system) AS system_id, 'clinician' AS role, 'Q1' AS item_id,
       4 AS response, 1.0 AS weight, DATE '2024-03-01' AS completed FROM range(20) t(i)
-- table: cell
SELECT map, race_version, system_id, 'P' || system_id AS practice_id, m.measure_id, g AS "group", y AS year,
       'all' AS stratum, 40 + hash(system_id) % 9 + y % 7 AS den, 20 + y % 5 AS num, NULL::BIGINT AS with_reading,
       CASE WHEN m.spending THEN 900 END AS num_sq, NULL::DOUBLE AS value, NULL::DOUBLE AS weight
FROM study_system, (SELECT unnest([{years}]) AS y), (SELECT unnest([{measures}], recursive := true)) m, (SELECT unnest([{groups}]) AS g),
     (SELECT unnest(['baseline', 'as_treated']) AS map), (SELECT unnest(['frozen', 'contemporaneous']) AS race_version)
ORDER BY ALL
-- table: cell_overlap
SELECT map, race_version, system_id, "group", measure_id AS measure_1, year AS year_1, measure_id AS measure_2, year AS year_2,
       sum(den)::BIGINT AS den_den, sum(num)::BIGINT AS num_den, sum(num)::BIGINT AS den_num, sum(num)::BIGINT AS num_num
FROM cell GROUP BY ALL ORDER BY ALL
-- table: cell_flow
SELECT s AS step, 'step ' || s AS label, system_id, g AS "group", y AS year, 1000 - 10 * s AS n
FROM range(1, 5) t(s), study_system, (SELECT unnest([{groups}]) AS g), (SELECT unnest([{years}]) AS y) ORDER BY ALL
