"""Cells on disk: threads, fingerprints, round trips through Parquet and through tier B, bad input, published aggregates."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from p4equity.cells import CellTables, build_cells, cells_hash, read_cells, value_cells, write_cells, write_tier_b
from p4equity.cells.plan import plan_of
from p4equity.cells.tables import KEYS
from p4equity.dictionary import load_dictionary
from p4equity.errors import DataError, StudyError, UsageError
from p4equity.extract import Extract, open_extract
from p4equity.study import Study, load_study
from pandas.testing import assert_frame_equal


def same(one: CellTables, other: CellTables) -> None:
    for (name, a), (_, b) in zip(one.items(), other.items(), strict=True):
        assert_frame_equal(a, b, obj=name)


def test_one_and_two_threads_give_the_same_integers(
    random_extract: Extract, small_study: Study, random_cells: CellTables
) -> None:
    two = build_cells(random_extract, small_study, load_dictionary(), threads=2)
    same(random_cells, two)
    assert cells_hash(random_cells) == cells_hash(two)


def test_progress_names_each_step(random_extract: Extract, small_study: Study) -> None:
    said: list[str] = []
    build_cells(random_extract, small_study, load_dictionary(), threads=1, progress=said.append)
    assert said[0] == "population"
    assert said[-1] == "spending"
    assert "overlap" in said


def test_fingerprint_knows_every_value_and_no_order(random_cells: CellTables) -> None:
    base = cells_hash(random_cells)
    shuffled = replace(random_cells, cell=random_cells.cell.sample(frac=1, random_state=1))
    assert cells_hash(shuffled) == base
    for name, column in (("cell", "num_sq"), ("cell", "with_reading"), ("cell_overlap", "num_num"), ("cell_flow", "n")):
        frame = getattr(random_cells, name).copy()
        row = frame.index[frame[column].notna()][-1]
        frame.loc[row, column] = frame.loc[row, column] + 1
        assert cells_hash(replace(random_cells, **{name: frame})) != base


def test_numeric_has_plain_columns(random_cells: CellTables) -> None:
    plain = random_cells.numeric()
    assert plain.cell["den"].dtype == "int64"
    assert plain.cell["with_reading"].dtype == "float64"
    assert plain.cell["num_sq"].dtype == "float64"
    assert plain.cell_overlap["num_num"].dtype == "float64"
    exact = random_cells.cell["num_sq"].dropna()
    assert plain.cell["num_sq"].dropna().tolist() == [float(v) for v in exact]
    assert exact.max() > 2**53  # so the decimals are needed


def test_parquet_round_trip(random_cells: CellTables, tmp_path: Path) -> None:
    write_cells(random_cells, tmp_path / "restricted")
    same(read_cells(tmp_path / "restricted"), random_cells)
    assert sorted(p.name for p in (tmp_path / "restricted").iterdir()) == [
        "cell.parquet", "cell_age.parquet", "cell_flow.parquet", "cell_history.parquet", "cell_overlap.parquet",
        "cell_probability.parquet", "cell_profile.parquet", "cell_self_report.parquet", "race_bin.parquet",
    ]  # fmt: skip


def test_tier_b_gives_the_same_cells(
    random_extract: Extract, small_study: Study, random_cells: CellTables, tmp_path: Path
) -> None:
    folder = tmp_path / "b"
    grants = pd.DataFrame([("G1", "S01", 5.0)], columns=["grant_id", "system_id", "amount"])
    grants.reindex(columns=list(load_dictionary().table("grant").names)).to_csv(random_extract.path / "grant.csv", index=False)
    write_tier_b(random_cells, small_study, folder, source=open_extract(random_extract.path))
    (random_extract.path / "grant.csv").unlink()
    opened = open_extract(folder)
    assert opened.tier == "B"
    assert set(opened.tables) == {*KEYS, "grant"}  # no table of members
    assert opened.metadata["cells_hash"] == cells_hash(random_cells)
    same(read_cells(opened), random_cells)
    write_tier_b(random_cells, small_study, folder)  # an earlier tier-B extract is replaced
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_tier_b_as_csv_is_exact(random_cells: CellTables, tmp_path: Path) -> None:
    large = random_cells.cell_overlap.copy()
    row = large.index[large["measure_1"] == "SPEND"][0]
    large.loc[row, "num_num"] = Decimal(10**21 + 7)
    tables = replace(random_cells, cell_overlap=large)
    for name, frame in tables.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    same(read_cells(open_extract(tmp_path)), tables)


def test_suppressed_rows_hold_nothing_and_a_lone_cell_table_is_enough(random_cells: CellTables, tmp_path: Path) -> None:
    frame = random_cells.cell.assign(suppressed=False)
    frame.loc[:9, "suppressed"] = True
    frame.loc[:9, ["den", "num", "with_reading"]] = pd.NA
    frame.to_csv(tmp_path / "cell.csv", index=False)
    read = read_cells(open_extract(tmp_path))
    assert_frame_equal(read.cell, random_cells.cell.iloc[10:].reset_index(drop=True))
    assert len(read.cell_overlap) == 0
    assert list(read.cell_overlap.columns) == list(random_cells.cell_overlap.columns)


def test_a_folder_with_something_else_is_left_alone(random_cells: CellTables, small_study: Study, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="already holds something else"):
        write_tier_b(random_cells, small_study, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_nothing_half_made_is_left_when_writing_fails(
    random_cells: CellTables, small_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(json, "dumps", full)
    with pytest.raises(OSError, match="no space"):
        write_tier_b(random_cells, small_study, tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_unknown_engine(random_extract: Extract, small_study: Study) -> None:
    with pytest.raises(UsageError, match="duckdb"):
        build_cells(random_extract, small_study, load_dictionary(), engine="duckbd")


def test_a_value_that_does_not_fit_names_no_person(
    random_tables: dict[str, pd.DataFrame], small_study: Study, build: Callable[..., CellTables], tmp_path: Path
) -> None:
    for name, frame in random_tables.items():
        full = frame.reindex(columns=list(load_dictionary().table(name).names)).astype("object")
        if name == "attribution":
            full.loc[3, "year"] = "SECRET"
        full.to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(DataError, match="do not fit its type") as caught:
        build(open_extract(tmp_path), small_study)
    assert "SECRET" not in str(caught.value)


def test_a_missing_table_is_named(random_extract: Extract, small_study: Study, build: Callable[..., CellTables]) -> None:
    lacking = replace(random_extract, tables={k: v for k, v in random_extract.tables.items() if k != "attribution"})
    with pytest.raises(DataError, match="table attribution"):
        build(lacking, small_study)


def test_no_spending_table_means_no_cells_of_spending(
    random_extract: Extract, small_study: Study, build: Callable[..., CellTables], random_cells: CellTables
) -> None:
    lacking = replace(random_extract, tables={k: v for k, v in random_extract.tables.items() if k != "spending"})
    cell = build(lacking, small_study).cell
    kept = random_cells.cell[random_cells.cell["measure_id"] != "SPEND"].reset_index(drop=True)
    assert_frame_equal(cell, kept)


def test_a_study_without_groups_counts_everyone(
    random_extract: Extract, small_study: Study, build: Callable[..., CellTables], random_cells: CellTables
) -> None:
    nobody = small_study.groups.model_copy(update={"scheme": "none", "reference": None, "compared": ()})
    analyses = tuple(a.model_copy(update={"race_version": "frozen"}) for a in small_study.analyses)
    study = replace(small_study, groups=nobody, race=None, scheme=load_dictionary().schemes["none"], analyses=analyses)
    whole = build(random_extract, study).cell
    assert set(whole["group"]) == {"all"}
    keys = ["map", "system_id", "practice_id", "measure_id", "year", "stratum"]
    summed = random_cells.cell[random_cells.cell["race_version"] == "frozen"].groupby(keys)[["den", "num"]].sum()
    assert_frame_equal(whole.set_index(keys)[["den", "num"]].sort_index(), summed.sort_index())


def test_published_panel_as_cells(tmp_path: Path) -> None:
    study = load_study("castle_doctrine")
    tables = value_cells(study)
    cell = tables.cell
    source = study.data.value
    assert source is not None
    assert len(cell) == 50 * 11 * len(source.outcomes)
    assert cell["den"].isna().all()
    import causaldata

    panel = causaldata.castle.load_pandas().data
    florida = panel[(panel["sid"] == int(study.system("S09").source_key or 0)) & (panel["year"] == 2007)].iloc[0]
    mine = cell[(cell["system_id"] == "S09") & (cell["year"] == 2007)].set_index("measure_id")
    assert mine["value"]["HOMICIDE"] == pytest.approx(math.log(florida["homicide"]), abs=1e-6)
    assert mine["value"]["ROBBERY"] == math.log(florida["robbery"])
    assert mine["weight"]["HOMICIDE"] == florida["popwt"]
    write_tier_b(tables, study, tmp_path / "b")
    same(read_cells(open_extract(tmp_path / "b")), tables)


def test_published_panel_must_agree_with_the_study() -> None:
    study = load_study("castle_doctrine")
    later = tuple(c.model_copy(update={"cohort": c.cohort + 1}) if i == 0 else c for i, c in enumerate(study.contracts))
    with pytest.raises(DataError, match="disagree on the first treated year"):
        value_cells(replace(study, contracts=later))
    assert study.data.value is not None
    for update, error, match in (
        ({"version": "0.0.1"}, DataError, "another version"),
        ({"weight": "popwtt"}, StudyError, "did you mean 'popwt'"),
        ({"package": "no_such_package"}, DataError, "pip install"),
        ({"dataset": "no_such_set"}, StudyError, "no such dataset"),
    ):
        source = study.data.value.model_copy(update=update)
        with pytest.raises(error, match=match):
            value_cells(replace(study, data=study.data.model_copy(update={"value": source})))
    fewer = tuple(s.model_copy(update={"source_key": "99"}) if i == 0 else s for i, s in enumerate(study.systems))
    with pytest.raises(DataError, match="exactly once"):
        value_cells(replace(study, systems=fewer))


def test_a_sensitivity_variant_has_what_its_analyses_read(small_study: Study) -> None:
    primary, *others = plan_of(small_study, load_dictionary()).variants
    assert len(primary.measures) == 5
    assert primary.spending
    assert [len(v.measures) for v in others] == [5, 5]
    alone = replace(
        small_study, analyses=small_study.analyses[:1]
    )  # the sensitivities are set, but only the first analysis is registered
    plan = plan_of(alone, load_dictionary())
    for variant in plan.variants[1:]:
        assert {plan.measures[i].id for i in variant.measures} == {"COL_50_75", "CBP", "WCV"}
        assert not variant.spending
