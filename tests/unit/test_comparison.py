"""Comparing two runs: every table counts, order does not, and what is gone is told apart from what was never made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from p4equity.comparison import compare, print_comparison
from p4equity.errors import NotReproduced, UsageError
from p4equity.estimates import columns
from p4equity.manifest import folder_hashes


def table(folder: Path, name: str, rows: list[dict[str, object]]) -> None:
    """Writes a table of a run."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False)


def seal(folder: Path, tier: str = "C") -> None:
    """Writes the manifest over what is there."""
    facts = {"study": "x", "tier": tier, "outputs": folder_hashes(folder, skip=("manifest.json",))}
    (folder / "manifest.json").write_text(json.dumps(facts))


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """A small folder laid out as a run with a report."""
    folder = tmp_path / "first"
    rows = [
        {**dict.fromkeys(columns()), "row_id": f"r{i}", "estimate": 1.25 * i, "status": "ok", "plan_hash": "p"} for i in range(4)
    ]
    for place in ("", "results/"):
        table(folder, f"{place}estimates.csv", rows)
        table(folder, f"{place}diagnostics.csv", [{"row_id": "g", "finding": 0.5, "status": "PASS"}])
    rates = [{"arm": a, "year": y, "rate": 50.5 + y % 7} for a in ("with", "without") for y in (2019, 2021)]
    table(folder, "results/rate.csv", rates)
    table(folder, "results/cells.csv", [{"system_id": "S01", "year": y, "den": 40 + y % 3} for y in (2019, 2021, 2022)])
    table(folder, "exhibits/T1.csv", [{"level": w, "share": 0.25} for w in ("a", "b", "a")])
    table(folder, "in_text_numbers.csv", [{"section": "one", "text": "5", "row_id": "r1"}])
    seal(folder)
    return folder


@pytest.fixture
def second(first: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return shutil.copytree(first, tmp_path / "second")


def change(folder: Path, name: str, query: object) -> None:
    """Applies a function to a table in place."""
    path = folder / name
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    query(frame).to_csv(path, index=False)  # type: ignore[operator]


def test_a_copy_agrees_and_provenance_order_and_layout_do_not_count(first: Path, second: Path) -> None:
    change(second, "results/rate.csv", lambda f: f.iloc[::-1][["rate", "year", "arm"]])
    change(second, "exhibits/T1.csv", lambda f: f.iloc[::-1])
    for place in ("", "results/"):
        change(second, f"{place}estimates.csv", lambda f: f.assign(plan_hash="q"))
    (second / "results" / "cells.csv").rename(second / "cells.csv")  # as in an edition
    for name in ("estimates", "diagnostics"):
        (second / "results" / f"{name}.csv").unlink()
    seal(second)
    found = compare(first, second)
    assert found.differences == ()
    assert found.compared == 4 + 1 + 4 + 3 + 3 + 1


CHANGES = [
    ("results/rate.csv", lambda f: f.assign(rate="9"), "results/rate.csv: row with, 2019, rate: "),
    ("results/cells.csv", lambda f: f.iloc[1:], "cells.csv: row S01, 2019 only in the first"),
    ("results/cells.csv", lambda f: pd.concat([f, f.iloc[[0]]]), "cells.csv: row S01, 2019 (repeated 1) only in the second"),
    ("exhibits/T1.csv", lambda f: f.assign(share=["0.25", "0.3", "0.25"]), "exhibits/T1.csv: row b, share: 0.25 against 0.3"),
    ("exhibits/T1.csv", lambda f: f.iloc[:2], "exhibits/T1.csv: row a (repeated 1) only in the first"),
    ("in_text_numbers.csv", lambda f: f.assign(text="6"), "in_text_numbers.csv: row r1, text: 5 against 6"),
    ("diagnostics.csv", lambda f: f.assign(new="1"), "diagnostics.csv: column new only in the second"),
    ("diagnostics.csv", lambda f: f.drop(columns="finding"), "diagnostics.csv: column finding only in the first"),
    ("results/rate.csv", lambda f: f.assign(rate="many"), "against many"),
    ("results/estimates.csv", lambda f: f.assign(estimate="5"), "estimates.csv and results/estimates.csv of the second are not"),
]


@pytest.mark.parametrize(("name", "how", "line"), CHANGES)
def test_every_change_is_a_difference(first: Path, second: Path, name: str, how: object, line: str) -> None:
    change(second, name, how)
    found = compare(first, second)
    assert any(line in text for text in found.differences), found.differences
    with pytest.raises(NotReproduced, match="next: ") as caught:
        found.raise_for_differences()
    assert caught.value.exit_code == 14


def test_numbers_agree_within_the_tolerance(first: Path, second: Path) -> None:
    change(second, "results/rate.csv", lambda f: f.assign(rate=[repr(float(v) * (1 + 1e-6)) for v in f["rate"]]))
    assert len(compare(first, second).differences) == 4
    assert compare(first, second, tolerance=1e-5).differences == ()


@pytest.mark.parametrize("tolerance", [-1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_none(first: Path, tolerance: float) -> None:
    with pytest.raises(UsageError, match="not a tolerance"):
        compare(first, first, tolerance)


def test_a_table_that_is_gone_or_new(first: Path, second: Path) -> None:
    (second / "exhibits" / "T1.csv").unlink()
    table(second, "results/extra.csv", [{"a": 1}])
    found = compare(first, second).differences
    assert "exhibits/T1.csv: exhibits/T1.csv is in the manifest of the second and no longer there" in found
    assert "results/extra.csv: results/extra.csv of the second is not the file its manifest names" in found


def test_a_table_that_only_one_run_of_the_same_data_makes(first: Path, second: Path) -> None:
    (second / "results" / "rate.csv").unlink()
    seal(second)
    assert compare(first, second).differences == ("results/rate.csv: only in the first",)
    seal(second, tier="B")  # cells do not carry every table
    assert compare(first, second).differences == ()


def test_a_run_without_a_report_has_no_exhibits_to_compare(first: Path, second: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(second / "exhibits")
    (second / "in_text_numbers.csv").unlink()
    seal(second)
    found = compare(first, second)
    assert found.differences == ()
    print_comparison(found)
    said = " ".join(capsys.readouterr().out.split())
    assert "Reproduced: all 12 rows agree (4 tables)." in said
    assert "Not compared, the second has no report: exhibits/T1.csv, in_text_numbers.csv" in said
    change(first, "exhibits/T1.csv", lambda f: f.assign(share="9"))  # what is not made again must be what was released
    lines = compare(first, second).differences
    assert lines == ("exhibits/T1.csv: exhibits/T1.csv of the first is not the file its manifest names",)


def test_many_differences_stay_readable(first: Path, second: Path) -> None:
    for place in ("", "results/"):
        rows = [{**dict.fromkeys(columns()), "row_id": f"n{i}", "estimate": i, "status": "ok"} for i in range(60)]
        table(second, f"{place}estimates.csv", rows)
    with pytest.raises(NotReproduced) as caught:
        compare(first, second).raise_for_differences()
    text = str(caught.value)
    assert "64 differences in 16 rows" in text
    assert "estimates.csv: and 59 more" in text
    assert len(text.splitlines()) < 12
