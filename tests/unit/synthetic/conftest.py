"""One synthetic extract for all tests of this folder, and small helpers to read it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from p4equity.study import Study
from p4equity.synthetic import SimulationSummary, simulate
from p4equity.synthetic.build import build_plan
from p4equity.synthetic.plan import Plan
from p4equity.synthetic.truth import Planted, load_truth

SEED, MEMBERS = 7, 120_000
Query = Callable[[str], pd.DataFrame]


@pytest.fixture(scope="session")
def planted(study: Study) -> Planted:
    return load_truth(study, "default")


@pytest.fixture(scope="session")
def plan(study: Study, planted: Planted) -> Plan:
    return build_plan(study, planted, members=MEMBERS, seed=SEED)


@pytest.fixture(scope="session")
def summary(study: Study, tmp_path_factory: pytest.TempPathFactory) -> SimulationSummary:
    return simulate(study, tmp_path_factory.mktemp("extract") / "default", members=MEMBERS, seed=SEED, workers=1)


@pytest.fixture(scope="session")
def truth(summary: SimulationSummary) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((summary.out / "truth.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="session")
def query(study: Study, summary: SimulationSummary) -> Query:
    """SQL over the tables of the extract, and `grp`: the group of each member by the frozen version."""
    return open_tables(study, summary.out)


def open_tables(study: Study, folder: Path) -> Query:
    """SQL over the tables of an extract."""
    con = duckdb.connect()
    for path in sorted(folder.iterdir()):
        if path.suffix == ".json":
            continue
        files = f"{path}/*.parquet" if path.is_dir() else str(path)
        con.execute(f"CREATE VIEW {path.stem} AS SELECT * FROM read_parquet('{files}')")
    assert study.scheme is not None
    assert study.race is not None
    cases = " ".join(
        f"WHEN race_eth IN ({', '.join(repr(c) for c in group.categories)}) THEN '{group.id}'" for group in study.scheme.groups
    )
    con.execute(
        f"CREATE TABLE grp AS SELECT member_id, version, source, CASE {cases} END AS g FROM race_ethnicity "
        f"WHERE version = '{study.race.frozen_version}'"
    )
    return lambda sql: con.sql(sql).df()
