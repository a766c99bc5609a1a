"""Bad study files: every kind of mistake has its own message, with file, line, key and a way out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from p4equity.errors import StudyError
from p4equity.resources import study_dir
from p4equity.study import load_study

FIRST, SECOND = "bcbsma_pay_for_equity", "castle_doctrine"
Edit = Callable[[str, str, str], Path]


def message(folder: Path) -> str:
    with pytest.raises(StudyError) as caught:
        load_study(folder)
    assert caught.value.exit_code == 11
    return str(caught.value)


# File, text in it, what replaces it, what the message must say.
BAD = [
    ("study.toml", "minimum_months = 10", "minimun_months = 10",
     r"study_copy/study\.toml:\d+:1: population\.minimun_months: unknown key (.|\n)*did you mean 'minimum_months'"),
    ("study.toml", 'estimator = "meta_regression"', 'estimator = "meta_regresion"',
     r"analysis\[1\]\.estimator: unknown word(.|\n)*did you mean 'meta_regression'"),
    ("study.toml", 'id = "attrition"', 'id = "atrition"', r"gate\[5\]\.id: unknown word(.|\n)*did you mean 'attrition'"),
    ("study.toml", 'measures = "contracted"', 'measures = "contarcted"',
     r"analysis\[1\]\.measures: unknown measure set(.|\n)*did you mean 'contracted'"),
    ("study.toml", 'measures = ["WCV"]', 'measures = ["WCW"]', r"unknown measure 'WCW'(.|\n)*did you mean 'WCV'"),
    ("study.toml", 'negative_control = ["URI"]', 'negative_control = ["UTI"]',
     r"measures\.negative_control: unknown measure 'UTI'"),
    ("study.toml", "pre_years = [2019, 2021, 2022]", "pre_years = [2017, 2021, 2022]",
     r"baseline\.pre_years: years outside data\.years(.|\n)*found:    \[2017\]"),
    ("study.toml", "pre_years = [2019, 2021, 2022]", "pre_years = [2019, 2021, 2023]",
     r"baseline years in or after the first contract year 2023"),
    ("study.toml", "pre_years = [2019, 2021, 2022]", "pre_years = [2019, 2020, 2022]", r"a year set apart cannot be a baseline"),
    ("study.toml", "reference_year = 2022", "reference_year = 2024", r"reference year must lie before 2023"),
    ("study.toml", "pre_years = [2019, 2022]", "pre_years = [2019, 2023]",
     r"analysis\[3\]\.pre_years: baseline years in or after"),
    ("study.toml", 'id = "measure"', 'id = "pooled"', r"analysis\[2\]\.id: duplicate id 'pooled'"),
    ("study.toml", 'scheme = "race_ethnicity_5"', 'scheme = "race_ethnicity_6"', r"no such group scheme(.|\n)*race_ethnicity_5"),
    ("study.toml", '"hispanic", "asian"]', '"hispanc", "asian"]', r"groups\.compared: unknown group 'hispanc'(.|\n)*'hispanic'"),
    ("study.toml", '2018 = "V1", ', "", r"race\.contemporaneous_versions: years without a version(.|\n)*\[2018\]"),
    ("study.toml", 'compared = ["black", "hispanic", "asian"]', "compared = []", r"a gap needs groups to compare"),
    ("study.toml", 'inference = ["cr2", "wild_bootstrap"]', 'inference = ["knapp_hartung"]',
     r"'knapp_hartung' is not defined for the estimator 'did'"),
    ("study.toml", "cohorts = [2024]", "cohorts = [2025]", r"no contract of the cohort 2025 for these measures"),
    ("study.toml", "members = 800000", 'members = "800000"', r"data\.members: should be a valid integer"),
    ("study.toml", "report_date = 2026-11-23", 'report_date = "first of November"',
     r"study\.report_date: should be a valid date"),
    ("study.toml", "report_date = 2026-11-23", "report_date = 2026-13-01", r"study\.toml:\d+:\d+: not valid TOML"),
    ("study.toml", "alpha = 0.05\n", 'alpha = 0.05\nfamily = "holms"\n',
     r"inference\.family: unknown word(.|\n)*did you mean 'holm'"),
    ("study.toml", "alpha = 0.05\n", 'alpha = 0.05\nfamily = "benjamini_hochberg"\n',
     r"inference\.multiplicity: names another rule than the one that claims follow(.|\n)*found:    holm"),
    ("study.toml", "then measures (Holm)", "then measures (Romano-Wolf)", r"names another rule(.|\n)*found:    romano_wolf"),
    ("study.toml", "conf_level = 0.95\n", "", r"inference\.conf_level: the key 'conf_level' is missing\n  expected: a number"),
    ("study.toml", 'outcome = "theil"\nestimator = "scale_change"', 'outcome = "theil"\nestimator = "meta_regression"',
     r"the estimator 'meta_regression' does not answer the outcome 'theil'(.|\n)*expected: estimator = \"scale_change\""),
    ("study.toml", 'outcome = "theil"', 'outcome = "gap"', r"the estimator 'scale_change' does not answer the outcome 'gap'"),
    ("study.toml", 'map = "as_treated"\ninference', 'map = "as_treated"\nrace_method = "weighted"\ninference',
     r"race_method: 'weighted' is known for the frozen version(.|\n)*found:    frozen, as_treated, system"),
    ("study.toml", 'race_version = "other"', 'race_version = "contemporaneous"\nrace_method = "linear"\n',
     r"race_method: 'linear' is known for the frozen version(.|\n)*found:    contemporaneous, baseline, system"),
    ("study.toml", 'estimator = "did"\n', 'estimator = "did"\nrace_method = "self_report"\n',
     r"race_method: 'self_report' serves changes in gaps in two stages"),
    ("study.toml", "imputations = 40", "# imputations", r"the plan does not say how often(.|\n)*add imputations = 40"),
    ("study.toml", "imputations = 40", "imputations = 5", r"imputations(.|\n)*20"),
    ("study.toml", 'race_method = "imputed"', 'exits = "carry"\nrace_method = "imputed"', r"that the plan's exit rule leaves"),
    ("study.toml", 'race_method = "imputed"', 'contracts = "any"\nrace_method = "imputed"', r"since a contract on the measure"),
    ("study.toml", 'race_method = "imputed"', 'pre_years = [2019]\nrace_method = "imputed"', r"in the registered baseline years"),
    ("study.toml", 'race_method = "linear"', 'race_method = "liner"', r"race_method: unknown word(.|\n)*did you mean 'linear'"),
    ("study.toml", 'id = "theil"\n', 'id = "theil"\nalso_pooled = true\n', r"the outcome 'theil' has no mean over measures"),
    ("study.toml", 'outcome = "theil"\nestimator = "scale_change"\nmeasures = "contracted"\ngroups = "pooled"',
     'outcome = "theil"\nestimator = "scale_change"\nmeasures = "contracted"\ngroups = "each"',
     r"a statistic over groups is asked of all of them together"),
    ("study.toml", "margin = -1.0", "marign = -1.0", r"analysis\[\d+\]\.marign: unknown key(.|\n)*did you mean 'margin'"),
    ("study.toml", '"at_a_glance"', '"at_a_glanze"',
     r"study\.toml:\d+:\d+: report\.sections: unknown section 'at_a_glanze'(.|\n)*did you mean 'at_a_glance'"),
    ("systems.toml", 'measures = ["CBP", "HBD_CTRL"]', 'measures = ["CBP", "HBD_CTLR"]',
     r"contract\[2\]\.measures: unknown measure 'HBD_CTLR'(.|\n)*did you mean 'HBD_CTRL'"),
    ("systems.toml", 'measures = ["CBP", "HBD_CTRL"]', 'measures = ["CBP", "BCS"]',
     r"measures that the plan does not call contracted"),
    ("systems.toml", 'system_id = "S02"', 'system_id = "S20"', r"contract\[2\]\.system_id: unknown system 'S20'"),
    ("systems.toml", 'id = "S02"', 'id = "S01"', r"system\[2\]\.id: duplicate id 'S01'"),
    ("systems.toml", 'masked_label = "System C"', 'masked_label = "System H"', r"duplicate masked_label 'System H'"),
    ("systems.toml", 'contract_id = "C02"', 'contract_id = "C01"', r"duplicate contract_id 'C01'"),
    ("systems.toml", "cohort = 2023", "cohort = 2031", r"contract\[1\]\.cohort: the contract starts outside the study's years"),
    ("systems.toml", "effective = 2023-01-01", "effective = 2022-07-01", r"the cohort is the year of the effective date"),
    ("systems.toml", "ended = 2024-05-06", "ended = 2021-05-06", r"the contract ends before it starts"),
    ("systems.toml", "date = 2024-05-06", "date = 2031-05-06", r"exit\[1\]\.date: the exit lies outside data\.years"),
    ("systems.toml", 'illustrative = ["ended"]', 'illustrative = ["endet"]', r"unknown field 'endet'(.|\n)*did you mean 'ended'"),
    ("systems.toml", 'sources = ["S1", "R7", "R24"]', 'sources = ["S1", "R77", "R24"]', r"unknown source 'R77'"),
    ("systems.toml", "white = 0.77", "white = 0.87", r"race_mix: the shares must sum to 1"),
    ("systems.toml", 'arm = "participating"', 'arm = "comparison"', r"the comparison system 'S01' has a contract"),
    ("systems.toml", 'arm = "participating"', 'arm = "participant"', r"system\[1\]\.arm: unknown word"),
    ("events.csv", "policy,all,Equity plan", "polcy,all,Equity plan",
     r"events\.csv:3:1: column 'scope' has an unknown word(.|\n)*'policy'"),
    ("events.csv", "2021-02-03", "3 Feb 2021", r"events\.csv:3:1: column 'date' has the wrong type\n  expected: a date written"),
    ("events.csv", "event_id,date", "event_id,day", r"unknown column 'day'(.|\n)*column 'date' is missing"),
    ("events.csv", "equity_report,", "equity_plan,", r"duplicate key\n  found:    event_id = equity_plan"),
    ("events.csv", "measure,CBP,", "measure,CPB,", r"'CPB' is not in the study"),
    ("threats.csv", ",attrition;", ",atrition;", r"'atrition' is not in the study(.|\n)*did you mean 'attrition'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"), BAD, ids=[f"{f}-{re.sub(r'[^a-zA-Z0-9]+', '_', n)}" for f, _, n, _ in BAD]
)
def test_bad_input_has_its_own_message(edited: Edit, file: str, old: str, new: str, expected: str) -> None:
    assert re.search(expected, message(edited(file, old, new)))


@pytest.mark.parametrize("gone", ["participating", "comparison"])
def test_an_empty_arm_is_refused(edited: Edit, gone: str) -> None:
    folder = edited("systems.toml", "[[system]]", "[[system]]")
    path = folder / "systems.toml"
    path.write_text(path.read_text(encoding="utf-8").replace(f'arm = "{gone}"', 'arm = "excluded"'), encoding="utf-8")
    assert f"no {gone} system is left: nothing to compare" in message(folder)


def test_all_problems_come_at_once(edited: Edit) -> None:
    edited("study.toml", "minimum_months", "minimun_months")
    edited("systems.toml", 'arm = "participating"', 'arm = "participant"')
    text = message(edited("events.csv", "2021-02-03", "yesterday"))
    assert text.startswith("study_copy: 3 problems in the study's files")
    assert all(part in text for part in ("minimun_months", "system[1].arm", "events.csv:3:1"))


def test_a_missing_file_and_a_missing_study(edited: Edit) -> None:
    folder = edited("study.toml", "[study]", "[study]")
    (folder / "systems.toml").unlink()
    assert "study_copy/systems.toml: file is missing" in message(folder)
    with pytest.raises(StudyError, match=f"did you mean '{FIRST}'"):
        load_study("bcbsma_pay_for_equit")


def test_a_deviation_must_name_an_item_of_the_plan(edited: Edit) -> None:
    folder = edited("deviations.csv", "deviation_id", "deviation_id")
    with (folder / "deviations.csv").open("a", encoding="utf-8") as stream:
        stream.write("D1,2026-10-01,balanse,Limit raised,Small sample,true,\n")
    assert "did you mean 'balance'" in message(folder)


def test_an_own_measure_may_not_redefine_the_dictionary(edited: Edit) -> None:
    folder = edited("study.toml", "[study]", "[study]")
    shutil.copy(study_dir(SECOND) / "measures.toml", folder / "measures.toml")
    path = folder / "measures.toml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("[HOMICIDE]", "[CBP]").replace("unit =", "units =", 1), encoding="utf-8"
    )
    text = message(folder)
    assert "the dictionary already defines 'CBP'" in text
    assert re.search(r"measures\.toml:\d+:1: CBP\.units: unknown key 'units'(.|\n)*did you mean 'unit'", text)


def test_a_byte_order_mark_does_no_harm(edited: Edit) -> None:
    folder = edited("study.toml", "[study]", "[study]")
    for file in ("study.toml", "systems.toml"):
        (folder / file).write_bytes(b"\xef\xbb\xbf" + (folder / file).read_bytes())
    assert load_study(folder).plan_hash == load_study(FIRST).plan_hash


def test_the_plan_itself_names_its_study(edited: Edit) -> None:
    folder = edited("study.toml", "[study]", "[study]")
    assert load_study(folder / "study.toml").folder == load_study(folder).folder
    (folder / "systems.toml").rename(folder / "study.tom")
    with pytest.raises(StudyError, match="no such study"):
        load_study(folder / "study.tom")


def test_leveling_needs_its_margin(edited: Edit) -> None:
    folder = edited("study.toml", "[leveling]", "[leveling]")
    path = folder / "study.toml"
    text = path.read_text(encoding="utf-8")
    start, end = text.index("[leveling]"), text.index("[selection]")
    path.write_text(text[:start] + text[end:], encoding="utf-8")
    assert re.search(r"estimator: judges who moved by a margin that the plan does not have", message(folder))


def test_sections_about_what_the_plan_does_not_hold_are_refused(edited: Edit) -> None:
    folder = edited("study.toml", "[payment]", "[payment]")
    path = folder / "study.toml"
    text = path.read_text(encoding="utf-8")
    start, end = text.index("[payment]"), text.index("[precision]")
    path.write_text(text[:start] + text[end:], encoding="utf-8")
    assert re.search(
        r"report\.sections: the section 'payments' is about what the plan does not hold\n  expected: \[payment\]", message(folder)
    )
    path.write_text(path.read_text(encoding="utf-8").replace('"payments", ', ""), encoding="utf-8")
    load_study(str(folder))
