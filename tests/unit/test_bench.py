"""The benchmark's pure parts: ratios, bars, agreements, the question asked, rows of members against cells; nothing is timed."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import p4equity
import pandas as pd
import pytest
from bench import columns, figures, measure, question, show
from bench.__main__ import chosen, sizes
from bench.growth import _judge
from bench.measure import Measured
from bench.members import write_members
from bench.parts import Bench
from p4equity.cells import build_cells
from p4equity.dictionary import load_dictionary
from p4equity.errors import UsageError
from p4equity.extract import Extract, open_extract
from p4equity.resources import root
from p4equity.study import Study, load_study
from p4equity.synthetic import simulate
from rich.console import Console


def took(*seconds: float, peak: int = 0, answer: Any = None) -> Measured:
    return Measured(seconds, seconds, peak, answer)


FAILED = Measured(failed="ImportError: nothing here")


@pytest.fixture(scope="module")
def study() -> Study:
    return load_study("bcbsma_pay_for_equity")


@pytest.fixture(scope="module")
def extract(tmp_path_factory: pytest.TempPathFactory, study: Study) -> Extract:
    folder = tmp_path_factory.mktemp("bench") / "extract"
    simulate(study, folder, members=6000, workers=1)
    return open_extract(folder)


def test_the_fastest_repetition_counts_and_the_first_is_kept() -> None:
    found = took(3.0, 1.5, 2.0)
    assert (found.best, found.first) == (1.5, 3.0)
    assert figures.ratio(found, took(0.5)) == 3.0
    assert math.isnan(figures.ratio(FAILED, took(0.5)))
    assert figures.faster_of(FAILED, took(2.0), took(1.0, 9.0)).wall == (1.0, 9.0)


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (figures.Figure("p", "n", took(1.0), "o", 3.9, bar=4), True),
        (figures.Figure("p", "n", took(1.0), "o", 4.1, bar=4), False),
        (figures.Figure("p", "n", took(1.0), "o", 49.0, bar=50, faster=True), False),
        (figures.Figure("p", "n", took(1.0), "o", 51.0, bar=50, faster=True), True),
        (figures.Figure("p", "n", took(1.0, peak=5), "o", 1.0, bar=4, memory=4), False),
        (figures.Figure("p", "n", took(2.5), seconds=2.0), False),
        (figures.Figure("p", "n", took(2.5)), None),
        (figures.Figure("p", "n", FAILED, bar=4), False),
        (figures.Figure("p", "n", took(1.0), "o", math.nan, bar=4), False),
    ],
)
def test_a_bar_is_met_or_missed(figure: figures.Figure, met: bool | None) -> None:
    assert figure.met is met
    assert ("bar missed" in " ".join(show.cells_of(figure))) is (met is False)


def test_differences_need_a_pair_and_an_answer() -> None:
    ours = [{"k": 1, "v": 2.0}, {"k": 2, "v": math.nan}, {"k": 3, "v": 5.0}]
    theirs = [{"k": 1, "v": 4.25}, {"k": 2, "v": 1.0}]
    assert figures.largest_difference(ours, theirs, ["k"], "v", 0.5) == pytest.approx(0.125)
    assert math.isnan(figures.largest_difference(ours, [], ["k"], "v"))
    assert not figures.Agreement("a", math.nan, 1.0).met
    assert figures.Agreement("a", 1e-11, 1e-10).met


def test_growth_is_judged_between_neighbours() -> None:
    bench = Bench("s", Path(), 1, 0, 1, 9, lambda *_: None)
    seconds = {1.0: {"cells": 2.0, "after": 12.0}, 4.0: {"cells": 9.5, "after": 12.5}, 0.1: {"cells": 0.5, "after": 10.0}}
    _judge(bench, seconds, {0.1: {"rows": 400, "systems": 8.0}, 1.0: {"rows": 500, "systems": 10.0}, 4.0: {}})
    assert [(f.name, f.met) for f in bench.found.figures] == [
        ("cells, 0.1x to 1x members", True),
        ("stages after the cells, 0.1x to 1x members", False),
        ("stages after the cells per answered row, 0.1x to 1x", None),
        ("cells, 1x to 4x members", False),
        ("stages after the cells, 1x to 4x members", True),
    ]
    each = bench.found.figures[2]
    assert each.ratio == pytest.approx(0.96)
    assert each.note == "answered rows 400 to 500, systems behind each 8.0 to 10.0"


def test_a_job_runs_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_jobs.py").write_text(
        "from bench.timing import run_job\n"
        "def add(spec):\n    return (lambda: sum(spec['numbers'])), (lambda found: found)\n"
        "def fail(spec):\n    raise ValueError('no file /here/or/there')\n"
        "run_job({'add': add, 'fail': fail})\n",
        "utf-8",
    )
    monkeypatch.setattr(measure, "SOURCE", f"{measure.SOURCE}:{tmp_path}")
    found = measure.measure("some_jobs", "add", {"numbers": [1, 2, 4]}, repeat=3)
    assert (found.answer, len(found.wall), found.failed) == (7, 3, "")
    assert found.peak > 5e6
    assert measure.measure("some_jobs", "fail", {}).failed == "ValueError: no file (path)"


def test_what_is_kept_names_no_machine(tmp_path: Path) -> None:
    found = figures.Found(
        [figures.Figure("p", "n", took(1.0, peak=10), "o", 2.0, bar=4), figures.Figure("p", "m", FAILED, bar=1)]
    )
    found.agreements.append(figures.Agreement("a", math.nan, 1e-8))
    show.write(found, {"members": 5, "seed": 1}, tmp_path / "latest.json")
    text = (tmp_path / "latest.json").read_text("utf-8")
    content = json.loads(text)
    assert content["bars_missed"] == ["m", "a"]
    assert {"date", "cores", "versions", "members", "seed", "how"} <= set(content["about"])
    assert content["figures"][0]["bar_met"] is True
    assert not re.search(r"/(home|root|work|tmp|Users)/", text)
    console = Console(width=150, record=True, file=(tmp_path / "shown").open("w"))
    show.show(found, console)
    assert console.export_text().count("bar missed") == 2


def test_scanned_columns_are_those_of_the_dictionary(extract: Extract) -> None:
    for table, names in columns.CELLS.items():
        assert set(names) <= {f.name for f in load_dictionary().table(table).fields}, table
    assert len(columns.scan_queries(extract, columns.CELLS, "max")) == len(columns.CELLS)
    assert 'max("birth_year")' in columns.scan_queries(extract, columns.CELLS, "max")[0]
    every = columns.all_columns(extract)
    assert set(every) == set(extract.tables)
    assert all(set(names) <= set(every[table]) for table, names in columns.CELLS.items())


def test_the_question_is_the_registered_one(study: Study) -> None:
    asked = question.primary_question(study)
    treated = asked.rows.dropna(subset=["cohort"])
    for (measure_id, system), rows in treated.groupby(["measure_id", "system_id"]):
        assert set(rows["cohort"]) == {study.cohort_of(str(system), str(measure_id))}
    assert set(asked.measures) == set(study.measure_ids("contracted"))
    assert not set(asked.years) & {2018, 2020}
    staggered = question.staggered_question(study)
    assert staggered.rows["cohort"].nunique() == 2


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, study: Study, extract: Extract) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of members of the primary question, and its cells."""
    asked, folder = question.primary_question(study), tmp_path_factory.mktemp("members")
    counted = write_members(extract, study, load_dictionary(), {"primary": asked}, folder)
    members = pd.read_parquet(folder / "primary.parquet")
    assert counted == {"primary": len(members)}
    cell = build_cells(extract, study, load_dictionary(), threads=1).numeric().cell
    cell = cell[(cell["map"] == "baseline") & (cell["race_version"] == "frozen") & cell["group"].isin(asked.groups)]
    cell = cell.merge(asked.rows, on=["measure_id", "system_id", "year"])
    return members, cell


def test_rows_of_members_add_up_to_the_cells(both: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    members, cell = both
    keys = ["measure_id", "system_id", "group", "year"]
    sums = cell.groupby(keys)[["den", "num"]].sum()
    rows = members.rename(columns={"measure": "measure_id", "system": "system_id"})
    counted = rows.groupby(keys)["y"].agg(den="size", num="sum")
    pd.testing.assert_frame_equal(sums.astype(float), counted.astype(float))


def test_cells_give_the_regression_on_members(both: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    members, cell = both
    options: dict[str, Any] = {"time": "year", "cohort": "cohort", "within": "measure", "inference": "cr1", "ssc": "stata"}
    rows = members.assign(cohort=members["cohort"].where(members["cohort"] > 0))
    one = p4equity.fit("did", rows, outcome="y", unit="system", **options).iloc[0]
    cells = cell.assign(rate=cell["num"] / cell["den"]).rename(columns={"measure_id": "measure"})
    counts = {"weights": "den", "weights_type": "fweights"}
    many = p4equity.fit("did", cells, outcome="rate", unit="system_id", **counts, **options).iloc[0]
    assert many["estimate"] == pytest.approx(one["estimate"], abs=1e-12)
    assert many["std_error"] == pytest.approx(one["std_error"], abs=1e-12)
    assert np.isfinite(one["std_error"])


def test_options_of_the_command() -> None:
    assert chosen("") == ("scans", "regressions", "methods", "plan", "growth")
    assert chosen("methods") == ("regressions", "methods")
    assert sizes("10") == (0.1, 1.0, 4.0, 10.0)
    assert sizes("1,0.5") == (0.5, 1.0)
    with pytest.raises(UsageError, match="unknown part"):
        chosen("scan")
    for bad in ("many", "0", "-1,2"):
        with pytest.raises(UsageError, match="no sizes"):
            sizes(bad)


def test_the_other_libraries_import_nothing_of_the_toolkit() -> None:
    code = "import sys, bench.others; print([m for m in sys.modules if m.startswith('p4equity')])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(measure.SOURCE)},
        timeout=60,
    )
    assert done.stdout.strip() == "[]"


def test_the_lock_of_the_other_libraries_has_hashes_and_the_versions_of_the_first() -> None:
    own, first = ((root() / name).read_text("utf-8") for name in ("requirements-bench.lock", "requirements.lock"))
    entries = re.split(r"\n(?=[a-zA-Z0-9])", own.strip())
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"https?://", own)
    pins = [set(re.findall(r"^([\w.-]+==[\w.]+)", text, flags=re.M)) for text in (own, first)]
    names = [{pin.split("==")[0] for pin in each} for each in pins]
    assert {pin for pin in pins[0] if pin.split("==")[0] in names[1]} <= pins[1]
