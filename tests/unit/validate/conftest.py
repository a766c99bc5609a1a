"""A small valid extract of tier A and of tier B for the first study; tests plant one fault each in a copy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from p4equity.dictionary import load_dictionary
from p4equity.study import Study, load_study

STUDY = "bcbsma_pay_for_equity"
PERSON_MARK = "ZZSENTINEL"  # part of every identifier of a person, so that a leaked value is found in any message
_SQL = Path(__file__).with_name("good_extract.sql")
_CELLS = ("cell", "cell_overlap", "cell_flow")


@pytest.fixture(scope="session")
def study() -> Study:
    """The first study."""
    return load_study(STUDY)


@pytest.fixture(scope="session")
def good_extract(tmp_path_factory: pytest.TempPathFactory, study: Study) -> Path:
    """A valid extract of tier A, as Parquet."""
    return write_extract(tmp_path_factory.mktemp("good") / "extract", study, 600)


@pytest.fixture(scope="session")
def good_cells(tmp_path_factory: pytest.TempPathFactory, study: Study) -> Path:
    """A valid extract of tier B, as CSV."""
    return write_extract(tmp_path_factory.mktemp("good") / "cells", study, 0, cells=True)


@pytest.fixture
def extract_copy(good_extract: Path, tmp_path: Path) -> Path:
    """A copy of the valid extract to plant a fault in."""
    return _copy(good_extract, tmp_path / "extract", "A")


@pytest.fixture
def cells_copy(good_cells: Path, tmp_path: Path) -> Path:
    """A copy of the valid cells to plant a fault in."""
    return _copy(good_cells, tmp_path / "cells", "B")


def write_extract(folder: Path, study: Study, n: int, cells: bool = False, mark: str = PERSON_MARK) -> Path:
    """Writes a valid extract with n members, or valid cells."""
    folder.mkdir(parents=True)
    (folder / "extract.json").write_text(json.dumps({"synthetic": True}))
    words = _words(study, n, mark)
    with duckdb.connect() as con:
        for name, frame in _study_tables(study).items():
            con.register(name, frame)
        for name, sql in _statements():
            query = sql
            for key, value in words.items():
                query = query.replace("{" + key + "}", value)
            con.execute(f"CREATE TABLE {name} AS {query}")
            if (name in _CELLS) == cells:
                end = "csv' (HEADER)" if cells else "parquet' (FORMAT parquet)"
                con.execute(f"COPY {name} TO '{folder / name}.{end}")
    return folder


def _statements() -> list[tuple[str, str]]:
    parts = re.split(r"^-- table: (\w+)$", _SQL.read_text(), flags=re.M)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def _words(study: Study, n: int, mark: str) -> dict[str, str]:
    d = load_dictionary()
    streams: dict[str, tuple[int, int]] = {}
    for m in d.measures.values():
        if m.kind == "proportion" and m.constant_definition and m.age_min is not None and m.age_max is not None:
            streams.setdefault(m.events, (m.age_min, m.age_max))
    spending = {m.id: m.kind == "spending" for m in d.measures.values()}
    versions = sorted({study.race.frozen_version, *study.race.contemporaneous_versions.values()}) if study.race else []
    return {
        "n": str(n),
        "mark": mark,
        "years": ", ".join(map(str, study.years)),
        "streams": ", ".join(f"{{events: '{e}', low: {a}, high: {b}}}" for e, (a, b) in streams.items()),
        "measures": ", ".join(f"{{measure_id: '{m}', spending: {str(s).lower()}}}" for m, s in spending.items()),
        "versions": _listed(versions),
        "groups": _listed(study.group_ids),
    }


def _listed(items: Iterable[str]) -> str:
    return ", ".join(f"'{i}'" for i in items)


def _study_tables(study: Study) -> dict[str, pd.DataFrame]:
    exits = {e.system_id: pd.Timestamp(e.date).date() for e in study.exits}
    keys = ("contract_id", "system_id", "cohort", "effective", "announced", "ended")
    contracts = pd.DataFrame([{k: getattr(c, k) for k in keys} for c in study.contracts]).astype({"ended": "datetime64[s]"})
    of = pd.DataFrame([{"contract_id": c.contract_id, "measure_id": m} for c in study.contracts for m in c.measures])
    return {
        "study_system": pd.DataFrame([{"system_id": s.id, "arm": s.arm, "exit_date": exits.get(s.id)} for s in study.systems]),
        "study_contract": contracts,
        "study_contract_measure": of.merge(contracts, on="contract_id"),
        "study_grant": pd.DataFrame([g.model_dump(exclude={"sources", "illustrative", "note"}) for g in study.grants]),
    }


def _copy(good: Path, copy: Path, tier: str) -> Path:
    copy.mkdir()
    for f in good.iterdir():
        (copy / f.name).write_bytes(f.read_bytes())
    (copy / "extract.json").write_text(json.dumps({"tier": tier, "synthetic": True}))
    return copy
