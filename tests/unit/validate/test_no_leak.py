"""At tiers A and C no value of a person's row reaches a message: planted values are looked for in everything that is written."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from p4equity.errors import DataError
from p4equity.extract import open_extract
from p4equity.study import Study
from p4equity.validate import validate
from rich.console import Console

from .conftest import PERSON_MARK
from .test_faults import replace, rewrite

FAULTS = {
    "member": replace("sex", "'QQLEAKSEX'", "birth_year = 1950"),
    "spending": replace("allowed_total", "-987654.25", "year = 2020"),
    "measure_event": replace("measure_id", "'QQLEAKID'", "year = 2021"),
    "attribution": "SELECT * FROM t UNION ALL SELECT * REPLACE ('QQLEAKPRACTICE' AS practice_id) FROM t WHERE year = 2019",
    "race_ethnicity": replace("race_eth", "'QQLEAKRACE'", "version = 'V1'"),
    "enrollment_span": replace("start", "DATE '2021-06-01'", "start = DATE '2022-01-01'"),
    "survey_response": replace("response", "987654", "true"),
}


def test_no_value_of_a_person_is_written(extract_copy: Path, study: Study, tmp_path: Path) -> None:
    for table, query in FAULTS.items():
        rewrite(extract_copy, table, query)
    report = validate(open_extract(extract_copy), study)
    assert set(FAULTS) <= {t for p in report.errors for t in p.table.split(", ")}
    report.write_json(tmp_path / "validation.json")
    terminal = io.StringIO()
    report.render(Console(file=terminal, width=200))
    with pytest.raises(DataError) as e:
        report.raise_for_problems()
    written = (tmp_path / "validation.json").read_text() + terminal.getvalue() + str(e.value)
    for secret in (PERSON_MARK, "QQLEAK", "987654"):
        assert secret not in written


def test_a_csv_of_persons_that_cannot_be_read_is_not_quoted(extract_copy: Path, study: Study) -> None:
    (extract_copy / "member.parquet").unlink()
    header = "member_id,birth_year,sex,adi_national_pct,language_pref,death_year"
    (extract_copy / "member.csv").write_text(f"{header}\n{PERSON_MARK}1,1950,F,3,English,,surplus,{PERSON_MARK}\n")
    report = validate(open_extract(extract_copy), study)
    words = " ".join(p.words() for p in report.errors if p.table == "member")
    assert "member.csv" in words
    assert PERSON_MARK not in words
