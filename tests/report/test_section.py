"""Looking numbers up: exactly one row, words for what is not a number, a trace on each."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from p4equity import words
from p4equity.errors import DataError, UsageError
from p4equity.section import Section, open_section

from .conftest import context_of


@pytest.fixture
def section(run_dir: Path) -> Section:
    return open_section(str(run_dir))


def test_number_is_one_traced_row(section: Section) -> None:
    assert section.number("r1") == '[−2.4]{.num row-id="r1"}'
    assert section.number(measure_id="M1", inference="permutation", what="p_value") == '[0.20]{.num row-id="r2"}'


@pytest.mark.parametrize(
    ("row_id", "what", "said"),
    [
        ("r1", "interval", "−4.1 to −0.6"),
        ("r2", "interval", "−4.6 to 0.0"),
        ("r3", "interval", "unbounded"),
        ("r1", "estimate_interval", "−2.4 percentage points (95% interval −4.1 to −0.6)"),
        ("r1", "p_value", "0.012"),
        ("r1", "n_clusters", "12"),
        ("r1", "unit", "percentage points"),
        ("r4", "estimate", "not estimable (one treated system)"),
        ("r4", "interval", "not estimable (one treated system)"),
    ],
)
def test_parts_of_a_row(section: Section, row_id: str, what: str, said: str) -> None:
    assert section.number(row_id, what=what).split("]{")[0].removeprefix("[").replace("\\", "") == said


def test_several_rows_are_an_error_that_says_which_columns_differ(section: Section) -> None:
    with pytest.raises(UsageError) as error:
        section.number(measure_id="M1")
    assert "2 rows, which differ in" in str(error.value)
    assert "inference" in str(error.value)


def test_no_row_is_an_error_that_names_the_nearest_value(section: Section) -> None:
    with pytest.raises(UsageError) as error:
        section.number(measure_id="M1", inference="permutaton")
    assert "did you mean 'permutation'?" in str(error.value)
    with pytest.raises(UsageError, match="did you mean 'measure_id'"):
        section.number(measure="M1")
    with pytest.raises(UsageError, match="did you mean 'estimate'"):
        section.number("r1", what="estimat")


def test_unknown_exhibit_and_table(section: Section) -> None:
    with pytest.raises(DataError, match=r"exhibits/F99\.json"):
        section.exhibit("F99")
    with pytest.raises(DataError, match=r"results/estimate\.csv"):
        section.results("estimate")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run"):
        open_section(str(tmp_path))
    with pytest.raises(UsageError, match="unknown audience"):
        open_section("", audience="everyone")


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (None, None, "unbounded"),
        (None, -0.6, "up to −0.6"),
        (1.0, None, "1.0 and above"),
        (-0.04, 0.04, "0.0 to 0.0"),
    ],
)
def test_intervals(low: float | None, high: float | None, said: str) -> None:
    assert words.interval(low, high) == said


def test_small_p_values() -> None:
    assert [words.p_value(p) for p in (0.0004, 0.0125, 0.0102, 0.01)] == ["<0.001", "0.013", "0.010", "0.01"]


@pytest.mark.usefixtures("rendered")
def test_context_names_the_study_without_a_path(run_dir: Path) -> None:
    assert context_of(run_dir) == {"study": "bcbsma_pay_for_equity", "edition": "test", "synthetic": True, "tier": "C"}


def test_empty_run_dir_is_the_latest_finished_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p4equity.section.lookup.root", lambda: tmp_path)
    with pytest.raises(UsageError, match="no finished run"):
        open_section()
    for name, finished in (("old", True), ("new", True), ("half", False)):
        results = tmp_path / "reports" / "runs" / name / "results"
        results.mkdir(parents=True)
        (results / "estimates.csv").write_text("row_id\nr1\n")
        os.utime(results / "estimates.csv", (0, {"old": 1, "new": 2, "half": 3}[name]))
        if finished:
            (results.parent / "report.json").write_text("{}")
    assert open_section().run_dir.name == "new"
